package bridgetest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/session"
	"github.com/weir-edge/weir/core/topic"
)

// Upstream is a broker with quirks. It keeps sessions by client id, takes what is
// published, and notes where a client breaks the rules.
type Upstream struct {
	Quirks Quirks // set before it serves

	mu         sync.Mutex
	sessions   map[string]*Session
	got        []Received
	connects   []packet.Connect
	violations []string
	pings      int
	discarded  int
}

// Quirks are what makes an upstream special. Zero values are an easy one.
type Quirks struct {
	ReceiveMaximum  uint16
	MaximumQoS      *byte
	NoRetain        bool
	MaxPacket       uint32
	ServerKeepalive *uint16
	Aliases         uint16

	// Refuse is the reason code of the CONNACK.
	Refuse func(*packet.Connect) packet.Reason
	// CloseV5 closes the connection at a CONNECT of MQTT 5.
	CloseV5 bool
	// Reference is the server that a client is sent to with a DISCONNECT.
	Reference string
	// Publish decides about a message, before anything else is done with it.
	Publish func(Received) Reaction
	// Subscribe decides about a filter.
	Subscribe  func(filter string) packet.Reason
	NoPingresp bool
	// Limit of messages without acknowledgement, of which the client is not told.
	// The connection is reset where there are more.
	Limit int
	// Forget: sessions end with their connection.
	Forget bool
}

// Reaction is what is done with a message.
type Reaction struct {
	Close      bool          // the connection
	Disconnect packet.Reason // with this reason, if it is an error
	Answer     packet.Reason // the reason code of the acknowledgement
	Ignore     bool          // no acknowledgement; the message is not taken
}

// Received is a message that was published.
type Received struct {
	Topic      string
	Payload    string
	QoS        byte
	Retain     bool
	Dup        bool
	PacketID   uint16
	User       map[string]string
	Expiry     *uint32
	Connection int // counted from 1
}

// Session is what the upstream knows of a client beyond its connection.
type Session struct {
	held    map[uint16]string // packet ids of QoS 2 that came, and their payload
	filters map[string]packet.Options

	// To the client.
	unsent []*outMessage
	open   []*outMessage // not acknowledged, in order
	conn   *serving      // nil: not connected
}

type outMessage struct {
	topic, payload string
	qos            byte
	props          *packet.Properties
	pid            uint16
	released       bool
	times          int // sent
}

// serving is one connection.
type serving struct {
	u       *Upstream
	conn    net.Conn
	version packet.Version
	number  int
	session *Session
	lasts   bool              // the session, beyond the connection
	unacked map[uint16]string // messages of QoS 1 and 2 of this connection, by packet id
	aliases *session.AliasesIn
	dead    bool
}

// Serve talks to one client until the connection ends.
func (u *Upstream) Serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	c := &serving{u: u, conn: conn, unacked: make(map[uint16]string)}
	h, body, err := read(r)
	if err != nil || h.Type != packet.CONNECT {
		return
	}
	p, err := packet.Parse(h, body, packet.V5)
	if err != nil {
		return
	}
	if !c.greet(p.(*packet.Connect)) {
		return
	}
	defer c.leave()
	for {
		h, body, err := read(r)
		if err != nil {
			return
		}
		if !c.handle(h, body) {
			return
		}
	}
}

func read(r *bufio.Reader) (packet.Header, []byte, error) {
	var head []byte
	for {
		b, err := r.ReadByte()
		if err != nil {
			return packet.Header{}, nil, err
		}
		head = append(head, b)
		h, n, err := packet.ReadHeader(head)
		if err != nil {
			return h, nil, err
		}
		if n == 0 {
			continue
		}
		body := make([]byte, h.Length)
		_, err = io.ReadFull(r, body)
		return h, body, err
	}
}

func (u *Upstream) violate(format string, args ...any) {
	u.violations = append(u.violations, fmt.Sprintf(format, args...))
}

func (c *serving) greet(p *packet.Connect) bool {
	u := c.u
	u.mu.Lock()
	defer u.mu.Unlock()
	p.ClientID, p.Username, p.Password = slices.Clone(p.ClientID), slices.Clone(p.Username), slices.Clone(p.Password)
	u.connects = append(u.connects, *p)
	c.version, c.number = p.Version, len(u.connects)
	c.lasts = lasts(p)
	c.aliases = session.NewAliasesIn(u.Quirks.Aliases)
	if u.Quirks.CloseV5 && p.Version == packet.V5 {
		return false
	}
	ack := packet.Connack{}
	if u.Quirks.Refuse != nil {
		ack.Reason = u.Quirks.Refuse(p)
	}
	if ack.Reason == packet.Success {
		ack.SessionPresent = c.resume(string(p.ClientID), p.CleanStart)
		ack.Properties = u.limits()
	}
	c.send(&ack)
	if ack.Reason != packet.Success {
		return false
	}
	c.session.resend(c)
	return true
}

// lasts says whether a client wants its session to be kept.
func lasts(p *packet.Connect) bool {
	if p.Version < packet.V5 {
		return !p.CleanStart
	}
	return p.Properties != nil && p.Properties.SessionExpiry != nil && *p.Properties.SessionExpiry > 0
}

// resume finds the session, and takes it from an older connection.
func (c *serving) resume(id string, clean bool) (present bool) {
	u := c.u
	if u.sessions == nil {
		u.sessions = make(map[string]*Session)
	}
	s := u.sessions[id]
	present = s != nil && !clean
	if s != nil && s.conn != nil {
		s.conn.takenOver()
	}
	if !present {
		if s != nil {
			u.discarded += len(s.held)
		}
		s = &Session{held: make(map[uint16]string), filters: make(map[string]packet.Options)}
		u.sessions[id] = s
	}
	s.conn, c.session = c, s
	return present
}

// takenOver ends a connection for another one with the same client id. It closes
// a moment after it has said why [MQTT-3.1.4-3], so that a reset does not overtake
// that.
func (c *serving) takenOver() {
	c.dead = true
	if c.version == packet.V5 {
		c.send(&packet.Disconnect{Reason: packet.SessionTakenOver})
	}
	time.AfterFunc(100*time.Millisecond, func() { c.conn.Close() })
}

func (u *Upstream) limits() *packet.Properties {
	q, p := &u.Quirks, new(packet.Properties)
	if q.ReceiveMaximum > 0 {
		p.ReceiveMaximum = &q.ReceiveMaximum
	}
	if q.MaxPacket > 0 {
		p.MaximumPacketSize = &q.MaxPacket
	}
	if q.NoRetain {
		p.RetainAvailable = new(byte(0))
	}
	if q.Aliases > 0 {
		p.TopicAliasMaximum = &q.Aliases
	}
	p.MaximumQoS, p.ServerKeepalive = q.MaximumQoS, q.ServerKeepalive
	return p
}

func (c *serving) leave() {
	c.u.mu.Lock()
	defer c.u.mu.Unlock()
	if c.dead {
		return
	}
	c.session.conn = nil
	if c.u.Quirks.Forget || !c.lasts {
		for id, s := range c.u.sessions {
			if s == c.session {
				delete(c.u.sessions, id)
			}
		}
	}
}

// handle returns false to close the connection.
func (c *serving) handle(h packet.Header, body []byte) bool {
	u := c.u
	u.mu.Lock()
	defer u.mu.Unlock()
	if c.dead {
		return true
	}
	if u.Quirks.MaxPacket > 0 && h.Length > int(u.Quirks.MaxPacket) {
		u.violate("a packet of %d bytes", h.Length)
	}
	p, err := packet.Parse(h, body, c.version)
	if err != nil {
		u.violate("%v", err)
		return false
	}
	switch p := p.(type) {
	case *packet.Publish:
		return c.publish(p)
	case *packet.Ack:
		c.ack(p)
	case *packet.Subscribe:
		c.subscribe(p)
	case *packet.Unsubscribe:
		for _, f := range p.Filters {
			delete(c.session.filters, string(f))
		}
		c.send(&packet.Unsuback{PacketID: p.PacketID, Reasons: make([]packet.Reason, len(p.Filters))})
	case *packet.Pingreq:
		u.pings++
		if !u.Quirks.NoPingresp {
			c.send(&packet.Pingresp{})
		}
	case *packet.Disconnect:
		return false
	default:
		u.violate("a client sent %s", h.Type)
	}
	return true
}

func (c *serving) publish(p *packet.Publish) bool {
	name := string(p.Topic)
	if p.Properties != nil && p.Properties.TopicAlias != nil {
		known, ok := c.aliases.Resolve(*p.Properties.TopicAlias, p.Topic)
		if !ok {
			c.u.violate("topic alias %d, which is not known", *p.Properties.TopicAlias)
		}
		name = known
	}
	r := Received{
		Topic: name, Payload: string(p.Payload), QoS: p.QoS, Retain: p.Retain,
		Dup: p.Dup, PacketID: p.PacketID, Connection: c.number,
	}
	if p.Properties != nil {
		r.Expiry = p.Properties.MessageExpiry
		for _, u := range p.Properties.User {
			if r.User == nil {
				r.User = make(map[string]string)
			}
			r.User[string(u.Name)] = string(u.Value)
		}
	}
	c.check(r)
	var do Reaction
	if c.u.Quirks.Publish != nil {
		do = c.u.Quirks.Publish(r)
	}
	switch {
	case c.u.Quirks.Limit > 0 && len(c.unacked) > c.u.Quirks.Limit:
		if conn, ok := c.conn.(*Conn); ok {
			conn.Cut()
		}
		return false
	case do.Close:
		return false
	case do.Disconnect.IsError():
		c.send(&packet.Disconnect{Reason: do.Disconnect})
		return false
	case do.Ignore:
		return true
	}
	c.take(r, do.Answer)
	return true
}

// check notes what a client must not do.
func (c *serving) check(r Received) {
	q, u := &c.u.Quirks, c.u
	if q.MaximumQoS != nil && c.version == packet.V5 && r.QoS > *q.MaximumQoS {
		u.violate("QoS %d", r.QoS)
	}
	if q.NoRetain && c.version == packet.V5 && r.Retain {
		u.violate("a retained message")
	}
	if r.QoS == 0 {
		return
	}
	if was, ok := c.unacked[r.PacketID]; ok && was != r.Payload {
		u.violate("packet id %d is used for %q and for %q", r.PacketID, was, r.Payload)
	}
	if was, ok := c.session.held[r.PacketID]; ok && was != r.Payload {
		u.violate("packet id %d is held for %q and used for %q", r.PacketID, was, r.Payload)
	}
	c.unacked[r.PacketID] = r.Payload
	if q.ReceiveMaximum > 0 && c.version == packet.V5 && len(c.unacked) > int(q.ReceiveMaximum) {
		u.violate("%d messages in a window of %d", len(c.unacked), q.ReceiveMaximum)
	}
}

// take delivers a message of QoS 2 when it comes first.
func (c *serving) take(r Received, answer packet.Reason) {
	switch r.QoS {
	case 0:
		c.u.got = append(c.u.got, r)
	case 1:
		if !answer.IsError() {
			c.u.got = append(c.u.got, r)
		}
		delete(c.unacked, r.PacketID)
		c.send(&packet.Ack{Kind: packet.PUBACK, PacketID: r.PacketID, Reason: answer})
	case 2:
		if answer.IsError() {
			delete(c.unacked, r.PacketID)
		} else if _, held := c.session.held[r.PacketID]; !held {
			c.session.held[r.PacketID] = r.Payload
			c.u.got = append(c.u.got, r)
		}
		c.send(&packet.Ack{Kind: packet.PUBREC, PacketID: r.PacketID, Reason: answer})
	}
}

func (c *serving) ack(a *packet.Ack) {
	switch a.Kind {
	case packet.PUBREL:
		answer := packet.Ack{Kind: packet.PUBCOMP, PacketID: a.PacketID}
		if _, held := c.session.held[a.PacketID]; !held {
			answer.Reason = packet.PacketIdentifierNotFound
		}
		delete(c.session.held, a.PacketID)
		delete(c.unacked, a.PacketID)
		c.send(&answer)
	case packet.PUBACK, packet.PUBCOMP:
		c.session.done(c, a.PacketID)
	case packet.PUBREC:
		c.session.recorded(c, a)
	}
}

func (c *serving) subscribe(p *packet.Subscribe) {
	ack := packet.Suback{PacketID: p.PacketID}
	for _, f := range p.Filters {
		reason := packet.Reason(f.Options.QoS())
		if c.u.Quirks.Subscribe != nil {
			if r := c.u.Quirks.Subscribe(string(f.Filter)); r.IsError() {
				reason = r
			}
		}
		if !reason.IsError() {
			c.session.filters[string(f.Filter)] = f.Options
		}
		ack.Reasons = append(ack.Reasons, reason)
	}
	c.send(&ack)
}

func (c *serving) send(p packet.Packet) {
	c.conn.Write(p.AppendTo(nil, c.version)) // a connection that is gone shows at the next read
}

// Publish sends a message to every session that has asked for it, now or when it
// is connected again.
func (u *Upstream) Publish(name, payload string, qos byte, props *packet.Properties) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, s := range u.sessions {
		for f, options := range s.filters {
			if !topic.Match(f, name) {
				continue
			}
			s.unsent = append(s.unsent, &outMessage{topic: name, payload: payload, qos: min(qos, options.QoS()), props: props})
			s.pump()
			break
		}
	}
}

// window of messages to a client; less than any bridge takes.
const window = 20

func (s *Session) pump() {
	for s.conn != nil && len(s.unsent) > 0 && len(s.open) < window {
		m := s.unsent[0]
		s.unsent = s.unsent[1:]
		if m.qos > 0 {
			m.pid = s.unused()
			s.open = append(s.open, m)
		}
		s.send(s.conn, m)
	}
}

// unused is the lowest packet id that is not in use: ids are used again as soon
// as they may.
func (s *Session) unused() uint16 {
	for pid := uint16(1); ; pid++ {
		if s.find(pid) == nil {
			return pid
		}
	}
}

func (s *Session) send(c *serving, m *outMessage) {
	m.times++
	p := &packet.Publish{
		Topic: []byte(m.topic), Payload: []byte(m.payload), QoS: m.qos, PacketID: m.pid,
		Dup: m.qos > 0 && m.times > 1, Properties: m.props,
	}
	c.send(p)
}

func (s *Session) resend(c *serving) {
	for _, m := range s.open {
		if m.released {
			c.send(&packet.Ack{Kind: packet.PUBREL, PacketID: m.pid})
		} else {
			s.send(c, m)
		}
	}
	s.pump()
}

func (s *Session) find(pid uint16) *outMessage {
	for _, m := range s.open {
		if m.pid == pid {
			return m
		}
	}
	return nil
}

func (s *Session) done(c *serving, pid uint16) {
	m := s.find(pid)
	if m == nil {
		c.u.violate("an acknowledgement for packet id %d, which is not in use", pid)
		return
	}
	s.open = slices.DeleteFunc(s.open, func(o *outMessage) bool { return o == m })
	s.pump()
}

func (s *Session) recorded(c *serving, a *packet.Ack) {
	m := s.find(a.PacketID)
	switch {
	case m == nil:
		c.u.violate("a PUBREC for packet id %d, which is not in use", a.PacketID)
	case a.Reason.IsError():
		s.done(c, a.PacketID)
	default:
		m.released = true
		c.send(&packet.Ack{Kind: packet.PUBREL, PacketID: a.PacketID})
	}
}
