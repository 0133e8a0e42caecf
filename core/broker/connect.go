package broker

import (
	"cmp"
	"crypto/rand"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/session"
	"github.com/weir-edge/weir/core/topic"
)

// attempt is a CONNECT on its way to being accepted.
type attempt struct {
	version    packet.Version
	clientID   string
	assigned   bool // by us
	cleanStart bool
	expiry     time.Duration
	keepalive  time.Duration // as asked for; cut says that we give less
	cut        bool
	window     int // the client's Receive Maximum
	maxPacket  int
	aliases    uint16 // the client's Topic Alias Maximum
	will       *will
	method     string // of the enhanced authentication; "": none
	informs    bool   // the client asks for response information
}

// maxClientID bounds what is kept for every session.
const maxClientID = 1024

// handleConnect reads a CONNECT and asks the authenticator. No state of a session
// is touched before it has answered.
func (c *conn) handleConnect(h packet.Header, body []byte) error {
	p, err := packet.Parse(h, body, 0)
	connect, ok := p.(*packet.Connect)
	if !ok {
		return errors.Join(err, errors.New("not a CONNECT"))
	}
	c.version, c.bridge = connect.Version, connect.Bridge
	if err != nil {
		c.refuseMalformed(err)
		return nil
	}
	a, refusal := c.attempt(connect)
	if refusal != packet.Success {
		c.refuse(refusal)
		return nil
	}
	c.authenticate(connect, a)
	return nil
}

// refuseMalformed answers a CONNECT that could not be read, where the peer's
// language is known [MQTT-3.1.2-1] [MQTT-3.1.2-2]; otherwise it only closes.
func (c *conn) refuseMalformed(err error) {
	e, ok := errors.AsType[*packet.Error](err)
	c.broker.complain("protocol error", "address", c.remote, "error", err)
	switch {
	case ok && e.Reason == packet.UnsupportedProtocolVersion:
		if c.version < packet.V5 {
			c.version = packet.V311
		} else {
			c.version = packet.V5
		}
		c.refuse(e.Reason)
	case ok && c.version == packet.V5:
		c.refuse(e.Reason)
	default:
		c.broker.count(packet.MalformedPacket.String())
		c.close()
	}
}

// attempt checks what can be checked without knowing who it is.
func (c *conn) attempt(p *packet.Connect) (attempt, packet.Reason) {
	a := attempt{
		version: p.Version, clientID: string(p.ClientID), cleanStart: p.CleanStart,
		keepalive: time.Duration(p.Keepalive) * time.Second,
		window:    c.broker.cfg.Limits.MaxInflight, maxPacket: maxPacketSize,
	}
	if p.Version < packet.V5 && !p.CleanStart {
		a.expiry = core.NeverExpires
	}
	if !c.listener.speaks(p.Version) {
		return a, packet.UnsupportedProtocolVersion
	}
	c.explains, c.maxPacket = p.Version >= packet.V5, a.maxPacket
	if r := c.listener.Redirect.reason(); r != packet.Success {
		return a, r
	}
	if props := p.Properties; props != nil {
		a.properties(props)
		c.explains, c.maxPacket = c.explains && (props.RequestProblemInfo == nil || *props.RequestProblemInfo == 1), a.maxPacket
	}
	a.expiry = min(a.expiry, c.broker.cfg.Limits.MaxSessionExpiry)
	a.window = min(a.window, c.broker.cfg.Limits.MaxInflight)
	if limit := c.broker.cfg.Limits.MaxKeepalive; limit > 0 && (a.keepalive == 0 || a.keepalive > limit) {
		if p.Version < packet.V5 {
			return a, packet.ClientIdentifierNotValid // the only refusal that a client won't retry at once
		}
		a.keepalive, a.cut = limit, true
	}
	if r := a.identify(); r != packet.Success {
		return a, r
	}
	return a, c.attemptWill(&a, p.Will)
}

// maxPacketSize is what MQTT can express.
const maxPacketSize = packet.MaxLength + 5

func (a *attempt) properties(p *packet.Properties) {
	a.method = string(p.AuthMethod)
	if p.SessionExpiry != nil {
		a.expiry = expiry(*p.SessionExpiry)
	}
	if p.ReceiveMaximum != nil { // [MQTT-3.3.4-9]
		a.window = int(*p.ReceiveMaximum)
	}
	if p.MaximumPacketSize != nil { // [MQTT-3.1.2-24]
		a.maxPacket = int(min(*p.MaximumPacketSize, maxPacketSize))
	}
	if p.TopicAliasMaximum != nil {
		a.aliases = *p.TopicAliasMaximum
	}
	a.informs = p.RequestResponseInfo != nil && *p.RequestResponseInfo == 1
}

// expiry is a session expiry interval as on the wire.
func expiry(seconds uint32) time.Duration {
	if seconds == 1<<32-1 {
		return core.NeverExpires
	}
	return time.Duration(seconds) * time.Second
}

// identify checks the client id, or gives one.
func (a *attempt) identify() packet.Reason {
	switch {
	case len(a.clientID) > maxClientID:
		return packet.ClientIdentifierNotValid
	case a.clientID != "":
		return packet.Success
	case a.version == packet.V31, a.version == packet.V311 && !a.cleanStart: // [MQTT-3.1.3-8]
		return packet.ClientIdentifierNotValid
	}
	a.clientID, a.assigned = "auto-"+rand.Text(), true // [MQTT-3.1.3-6] [MQTT-3.2.2-16]
	return packet.Success
}

// attemptWill checks and copies the will.
func (c *conn) attemptWill(a *attempt, w *packet.Will) packet.Reason {
	switch {
	case w == nil:
		return packet.Success
	case w.Properties != nil && w.Properties.PayloadFormat != nil && *w.Properties.PayloadFormat == 1 && !utf8.Valid(w.Payload):
		return packet.PayloadFormatInvalid
	case topic.ValidName(w.Topic) != nil, strings.HasPrefix(string(w.Topic), "$"):
		return packet.TopicNameInvalid
	}
	a.will = newWill(w, a.clientID)
	a.will.message.Topic = c.listener.MountPoint + a.will.message.Topic
	a.will.message.Properties = c.mountedProperties(a.will.message.Properties)
	if c.overlong(a.will.message) {
		return packet.TopicNameInvalid
	}
	return packet.Success
}

// refuse answers a CONNECT with an error and closes. Session present is 0
// [MQTT-3.2.2-6].
func (c *conn) refuse(r packet.Reason) { c.refuseBecause(r, "") }

func (c *conn) refuseBecause(r packet.Reason, why string) {
	about := []any{"address", c.remote, "reason", cmp.Or(why, r.String())}
	if c.login != nil {
		about = append(about, "client", c.login.attempt.clientID, "user", c.login.user)
	}
	c.broker.complain("connection refused", about...)
	if c.login != nil {
		id := c.login.attempt.clientID
		if c.login.attempt.assigned { // drawn, so that each would be another
			id = ""
		}
		c.audit("login refused", c.login.user, id, "reason", cmp.Or(why, r.String()))
	}
	c.broker.count(r.String())
	if c.version < packet.V5 {
		r = r.V3()
	}
	p := &packet.Connack{Reason: r}
	if to := c.listener.Redirect.To; to != "" && c.version >= packet.V5 {
		p.Properties = &packet.Properties{ServerReference: []byte(to)}
	} else {
		p.Properties = c.explained(explanation(r), p.Size(c.version))
	}
	c.send(p)
	c.close() // [MQTT-3.2.2-7]
}

// open makes the connection that of its session.
func (c *conn) open(a attempt, v Verdict, old *client) {
	b, identity := c.broker, v.Identity
	if old != nil && old.conn != nil {
		// 1. The older connection goes first [MQTT-3.1.4-3]; a session without
		//    expiry ends with it.
		old.conn.end(packet.SessionTakenOver)
		b.reap()
		old = b.clients[a.clientID]
	}
	if old != nil && a.cleanStart { // 2. [MQTT-3.1.2-4]
		b.dropSession(old, "clean start")
		old = nil
	}
	cl, present := old, old != nil
	if t := b.ending[a.clientID]; !present && t != 0 { // 3. that it is over is on disk
		c.awaitEnd(t, v)
		return
	}
	if !present { // [MQTT-3.1.2-6]
		cl = b.newClient(a.clientID, identity)
	}
	c.adopt(a)
	c.client = cl
	// 4. CONNACK is the first packet [MQTT-3.2.0-1] but for AUTH, whatever the
	//    session brings.
	c.send(c.connack(a, v, present))
	c.keepLogin(v)
	// 5. What the session was about to send.
	cl.attach(c, a, present)
	b.counters.connects++
	c.audit("login", identity, cl.id, "listener", c.listener.Name)
	b.tell(cl, "connected", connectedEvent{
		Client: cl.id, User: identity, Address: c.remote, Listener: c.listener.Name, Protocol: versionName(c.version),
		Keepalive: a.keepalive.Seconds(), CleanStart: a.cleanStart, SessionPresent: present, Time: b.now.UTC(),
	})
	b.log.Debug("client connected", "client", cl.id, "user", identity, "address", c.remote,
		"protocol", versionName(c.version), "session_present", present)
}

// adopt takes over what the CONNECT says about the connection.
func (c *conn) adopt(a attempt) {
	c.phase = open
	c.broker.opening--
	c.maxPacket, c.keepalive = a.maxPacket, a.keepalive
	c.since = c.broker.now
	if a.aliases > 0 {
		c.aliasesOut = session.NewAliasesOut(min(a.aliases, maxAliases))
	}
	c.broker.timers.stop(&c.timer)
	// One and a half times the keep alive, in whole durations: no overflow.
	c.silence = a.keepalive + a.keepalive/2
	if c.silence > 0 {
		c.broker.timers.set(&c.timer, c.broker.now.Add(c.silence))
	}
}

// connack says what the server gives where it differs from what is assumed.
func (c *conn) connack(a attempt, v Verdict, present bool) *packet.Connack {
	p := &packet.Connack{SessionPresent: present} // [MQTT-3.2.2-2] [MQTT-3.2.2-3]
	if c.version < packet.V5 {
		return p
	}
	limits := c.broker.cfg.Limits
	p.Properties = &packet.Properties{
		ReceiveMaximum:    new(uint16(limits.ReceiveMaximum)),
		MaximumPacketSize: new(uint32(c.listener.maxPacket())),
		TopicAliasMaximum: new(uint16(maxAliases)),
	}
	if a.method != "" { // [MQTT-4.12.0-5]
		p.Properties.AuthMethod, p.Properties.AuthData = []byte(a.method), v.Data
	}
	if a.assigned { // [MQTT-3.1.3-7]
		p.Properties.AssignedClientID = []byte(a.clientID)
	}
	if a.cut { // [MQTT-3.1.2-21]
		p.Properties.ServerKeepalive = new(uint16(a.keepalive / time.Second))
	}
	if answers := c.listener.Answers; a.informs && answers != "" { // [MQTT-3.1.2-28]
		p.Properties.ResponseInfo = []byte(strings.ReplaceAll(answers, "{client}", escapeID.Replace(a.clientID)))
	}
	if limits.MaxSessionExpiry < core.NeverExpires {
		p.Properties.SessionExpiry = new(session.Seconds(a.expiry))
	}
	return p
}

func versionName(v packet.Version) string {
	switch v {
	case packet.V31:
		return "3.1"
	case packet.V311:
		return "3.1.1"
	}
	return "5.0"
}

// handleDisconnect ends a connection at the client's wish.
func (c *conn) handleDisconnect(p *packet.Disconnect) error {
	cl := c.client
	if cl == nil { // it gives up in the middle of an authentication
		c.close()
		return nil
	}
	if props := p.Properties; props != nil && props.SessionExpiry != nil {
		wish := min(expiry(*props.SessionExpiry), c.broker.cfg.Limits.MaxSessionExpiry)
		if cl.expiry == 0 && wish != 0 { // section 3.14.2.2.2
			return &packet.Error{Reason: packet.ProtocolError, Text: "session expiry in DISCONNECT of a session without"}
		}
		cl.expiry = wish
	}
	if p.Reason == packet.Success { // [MQTT-3.14.4-3] [MQTT-3.1.2-10]
		cl.takeWill()
	}
	c.reason = p.Reason
	c.close()
	return nil
}
