package broker

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/weir-edge/weir/core/packet"
)

// login is what is left to do about who a peer is: an authentication under way, or
// one that can end or be renewed.
type login struct {
	attempt attempt // the CONNECT that waits for it, until the connection is open
	user    string  // of that, for the log
	method  string  // of the enhanced authentication; "": user name and password

	busy bool                               // the authenticator has not answered
	next func(data []byte, v func(Verdict)) // what the next AUTH goes to; nil: none is expected

	until time.Time
	holds func() bool
	timer timer // to look at until
}

// maxLogged bounds what a stranger, who calls himself by 60 KiB, can put into the log
// and the audit.
const maxLogged = 256

// authenticate finds out who it is. The connection is not read from meanwhile.
func (c *conn) authenticate(p *packet.Connect, a attempt) {
	c.phase = deciding
	auth := c.broker.cfg.Auth
	c.login = &login{attempt: a, method: a.method}
	if p.HasUsername {
		c.login.user = string(p.Username[:min(len(p.Username), maxLogged)])
	}
	switch {
	case a.method != "" && auth == nil: // [MQTT-4.12.0-1]
		c.decide(Verdict{Reason: packet.BadAuthenticationMethod})
	case a.method == "" && c.certificate != nil: // its certificate says who it is, whatever else it says
		c.decide(Verdict{OK: true, Identity: c.certificate.Identity})
	case a.method == "" && (auth == nil || !p.HasUsername && !p.HasPassword):
		c.decide(Verdict{Anonymous: true})
	default:
		who := c.credentials(a.clientID, p.Properties)
		who.HasUsername, who.Username = p.HasUsername, string(p.Username)
		who.HasPassword, who.Password = p.HasPassword, append([]byte(nil), p.Password...)
		c.ask(func(v func(Verdict)) { auth.Authenticate(who, v) })
	}
}

// credentials are those of a CONNECT or AUTH, without a user name and password.
func (c *conn) credentials(clientID string, p *packet.Properties) Credentials {
	who := Credentials{Listener: c.listener.Name, Address: c.remote, From: c.addr, ClientID: clientID, Method: c.login.method}
	if p != nil {
		who.Data = append([]byte(nil), p.AuthData...)
	}
	return who
}

// ask puts a question to the authenticator. Who is not connected yet is not read
// from until it has answered.
func (c *conn) ask(question func(v func(Verdict))) {
	c.login.busy, c.login.next = true, nil
	if c.phase != open {
		c.phase = deciding
		c.link.listen(false)
	}
	question(func(v Verdict) {
		c.broker.mail.post(func() { c.answered(v) })
	})
}

// answered acts on an answer of the authenticator.
func (c *conn) answered(v Verdict) {
	if c.phase == closed {
		return // gone meanwhile
	}
	c.login.busy = false
	switch {
	case v.Next != nil: // [MQTT-4.12.0-2]
		c.login.next = v.Next
		if c.phase == deciding {
			c.phase = proving
		}
		c.sendAuth(packet.ContinueAuthentication, v.Data)
	case c.phase == open:
		c.renew(v)
		return // it was read from all the while
	default:
		c.decide(v)
	}
	c.resume()
}

// decide acts on the verdict about a CONNECT.
func (c *conn) decide(v Verdict) {
	a := c.login.attempt
	if v.Anonymous {
		v = Verdict{OK: c.listener.Anonymous, Why: "no user name"}
	}
	if v.OK && c.certificate != nil && v.Identity != c.certificate.Identity {
		v = Verdict{Why: "the certificate is another's"}
	}
	if !v.good() || !c.certificateHolds() {
		c.refuseBecause(v.refusal(), v.Why) // [MQTT-4.12.0-4]
		return
	}
	who := Principal{Identity: v.Identity, ClientID: a.clientID, From: c.addr}
	old := c.broker.clients[a.clientID]
	switch {
	case old != nil && old.identity != v.Identity:
		// A session belongs to who made it: its owner stays connected, its state
		// as it is.
		c.refuseBecause(packet.NotAuthorized, "the session belongs to another user")
	case a.will != nil && !c.broker.may(who, Publish, a.will.message.Topic):
		c.refuseBecause(packet.NotAuthorized, "the will's topic is denied")
	case c.broker.cfg.Fleeting && a.expiry > 0:
		c.refuse(packet.ServerUnavailable)
	default:
		c.admit(a, v, old)
	}
}

// admit lets in who may come in, unless that is too much: of sessions, of wills, or of
// one client that comes again and again.
func (c *conn) admit(a attempt, v Verdict, old *client) {
	b, limits := c.broker, c.broker.cfg.Limits
	switch {
	case old == nil && len(b.clients) >= limits.MaxSessions:
		c.refuseBecause(packet.QuotaExceeded, "too many sessions")
	case old == nil && b.sessionsOf[v.Identity] >= limits.MaxSessionsPerUser:
		c.refuseBecause(packet.QuotaExceeded, "too many sessions of the user")
	case b.willBytes+a.will.size() > limits.MaxWillBytes:
		c.refuseBecause(packet.QuotaExceeded, "too many wills")
	case b.hopeless(a, old):
		c.refuseUnended()
	case old != nil && !old.mayComeBack():
		c.refuseBecause(packet.ConnectionRateExceeded, "it comes back too often")
	default:
		c.open(a, v, old)
	}
}

// good says whether the verdict is a yes, and still is: rules may have changed
// while it was on its way.
func (v Verdict) good() bool { return v.OK && (v.Holds == nil || v.Holds()) }

func (v Verdict) refusal() packet.Reason { return cmp.Or(v.Reason, packet.NotAuthorized) }

// resume goes on with the input after the authenticator has answered.
func (c *conn) resume() {
	if c.phase == closed || c.phase == deciding {
		return
	}
	c.link.listen(true)
	c.digest()
}

// handleAuth takes a step of an enhanced authentication, before or after CONNACK.
func (c *conn) handleAuth(p *packet.Auth) error {
	l := c.login
	wrong := func(r packet.Reason, clause, text string) error {
		return &packet.Error{Reason: r, Clause: clause, Text: text}
	}
	if l == nil || l.method == "" {
		return wrong(packet.ProtocolError, "MQTT-4.12.0-7", "AUTH without an authentication method in CONNECT")
	}
	if p.Properties == nil || string(p.Properties.AuthMethod) != l.method {
		return wrong(packet.BadAuthenticationMethod, "MQTT-4.12.0-5", "AUTH with another method than CONNECT")
	}
	switch next := l.next; {
	case p.Reason == packet.ContinueAuthentication && next != nil: // [MQTT-4.12.0-3]
		data := append([]byte(nil), p.Properties.AuthData...)
		c.ask(func(v func(Verdict)) { next(data, v) })
	case p.Reason == packet.ReAuthenticate && c.phase == open && next == nil && !l.busy: // [MQTT-4.12.1-1]
		who := c.credentials(c.client.id, p.Properties)
		who.Renews = true
		c.ask(func(v func(Verdict)) { c.broker.cfg.Auth.Authenticate(who, v) })
	default:
		return wrong(packet.ProtocolError, "", "AUTH ("+p.Reason.String()+") that is not expected")
	}
	return nil
}

// renew ends a re-authentication. It cannot make a client another one.
func (c *conn) renew(v Verdict) {
	if v.OK && v.Identity != c.client.identity {
		v = Verdict{Why: "the session belongs to another user"}
	}
	if !v.good() { // [MQTT-4.12.1-2]
		c.broker.complain("re-authentication failed", "client", c.client.id, "address", c.remote, "reason", cmp.Or(v.Why, v.refusal().String()))
		c.end(v.refusal())
		return
	}
	c.keepLogin(v)
	c.sendAuth(packet.Success, v.Data)
}

// sendAuth sends a step of the method [MQTT-4.12.0-5]. A client for which it is too
// large cannot use the method [MQTT-3.1.2-24].
func (c *conn) sendAuth(r packet.Reason, data []byte) {
	p := &packet.Auth{Reason: r, Properties: &packet.Properties{AuthMethod: []byte(c.login.method), AuthData: data}}
	limit := c.maxPacket
	if c.phase != open {
		limit = c.login.attempt.maxPacket
	}
	switch {
	case p.Size(c.version) <= limit:
		c.send(p)
	case c.phase == open:
		c.end(packet.PacketTooLarge)
	default:
		c.refuse(packet.PacketTooLarge)
	}
}

// recheckEvery is how often the end of a login is compared with the wall clock,
// which may be set at any time.
const recheckEvery = time.Minute

// keepLogin keeps what can change about a login after it was good.
func (c *conn) keepLogin(v Verdict) {
	method := c.login.method
	c.dropLogin()
	if method == "" && v.Until.IsZero() && v.Holds == nil {
		return
	}
	c.login = &login{method: method, until: v.Until, holds: v.Holds}
	if !v.Until.IsZero() {
		c.login.timer.ring = c.lapse
		c.lapse(c.broker.now)
	}
}

func (c *conn) dropLogin() {
	if c.login != nil {
		c.broker.timers.stop(&c.login.timer)
		c.login = nil
	}
}

// lapse ends the connection if its login has ended by now.
func (c *conn) lapse(now time.Time) {
	if left := c.login.until.Sub(now); left > 0 {
		c.broker.timers.set(&c.login.timer, now.Add(min(left, recheckEvery)))
		return
	}
	c.broker.complain("login has expired", "client", c.client.id, "address", c.remote)
	c.end(packet.NotAuthorized)
}

// Recheck ends the connections whose logins or certificates do not hold any more. It
// is to be called when the rules of the authenticator, or certificates, have changed.
func (b *Broker) Recheck() {
	b.mail.post(func() {
		conns := slices.Collect(maps.Keys(b.conns))
		b.work(func() (more bool) {
			n := min(len(conns), sliceSize)
			for _, c := range conns[:n] {
				c.recheck()
			}
			conns = conns[n:]
			return len(conns) > 0
		})
	})
}

func (c *conn) recheck() {
	l := c.login
	if c.phase != open || c.certificateHolds() && (l == nil || l.holds == nil || l.holds()) {
		return
	}
	c.broker.complain("login holds no longer", "client", c.client.id, "address", c.remote)
	c.end(packet.NotAuthorized)
}

// certificateHolds says whether the peer's certificate, if it has shown one, is still
// good.
func (c *conn) certificateHolds() bool { return c.certificate == nil || c.certificate.Holds() }
