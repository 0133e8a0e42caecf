package broker_test

import (
	"bytes"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

// asking is an authenticator with a method, "ask", of two steps: it asks for the
// user's name, and then for the name again.
type asking struct {
	lasts    time.Duration // of logins; 0: for ever
	gone     atomic.Bool   // logins hold no longer
	renewals atomic.Int32  // that were begun
}

func (a *asking) Authenticate(c broker.Credentials, verdict func(broker.Verdict)) {
	if c.Method != "ask" {
		go verdict(broker.Verdict{Reason: packet.BadAuthenticationMethod})
		return
	}
	if c.Renews {
		a.renewals.Add(1)
	}
	name := string(c.Data)
	verdict(broker.Verdict{Data: []byte("again"), Next: func(data []byte, verdict func(broker.Verdict)) {
		v := broker.Verdict{
			OK: bytes.Equal(data, []byte(name)), Identity: name, Reason: packet.BadUserNameOrPassword, Data: []byte("welcome"),
			Holds: func() bool { return !a.gone.Load() },
		}
		if a.lasts > 0 {
			v.Until = time.Now().Add(a.lasts)
		}
		go verdict(v)
	}})
}

// hello is a CONNECT that begins with a method.
func hello(method, data string) packet.Connect {
	p := durable("c")
	p.Version = packet.V5
	p.Properties.AuthMethod, p.Properties.AuthData = []byte(method), []byte(data)
	return p
}

func authPacket(r packet.Reason, method, data string) *packet.Auth {
	p := &packet.Auth{Reason: r, Properties: &packet.Properties{AuthMethod: []byte(method)}}
	if data != "" {
		p.Properties.AuthData = []byte(data)
	}
	return p
}

// prove goes through the steps of "ask" and gives the CONNACK.
func prove(t *testing.T, c *brokertest.Client, name string) *packet.Connack {
	t.Helper()
	c.Speak(packet.V5)
	p := hello("ask", name)
	c.Send(&p)
	c.Expect(authPacket(packet.ContinueAuthentication, "ask", "again")) // [MQTT-4.12.0-2]
	c.Send(authPacket(packet.ContinueAuthentication, "ask", name))
	ack, ok := c.Next().(*packet.Connack)
	if !ok || ack.Reason != packet.Success {
		t.Fatalf("not connected: %+v", ack)
	}
	if p := ack.Properties; string(p.AuthMethod) != "ask" || string(p.AuthData) != "welcome" { // [MQTT-4.12.0-5]
		t.Fatalf("CONNACK with %s, %s", p.AuthMethod, p.AuthData)
	}
	return ack
}

// exchange is a packet to send, and what is to come then; nil is nothing.
type exchange struct{ send, want packet.Packet }

func TestEnhancedAuthentication(t *testing.T) {
	auth := func(r packet.Reason, method, data string) packet.Packet { return authPacket(r, method, data) }
	const more, again = packet.ContinueAuthentication, packet.ReAuthenticate
	refused := func(r packet.Reason) packet.Packet { return &packet.Connack{Reason: r} }
	ended := func(r packet.Reason) packet.Packet { return &packet.Disconnect{Reason: r} }
	begin := exchange{new(hello("ask", "alice")), auth(more, "ask", "again")}
	// connected: the steps follow a successful authentication as "alice".
	for name, tc := range map[string]struct {
		connected bool
		steps     []exchange
		open      bool // afterwards
	}{
		"another method":                 {steps: []exchange{{new(hello("other", "")), refused(packet.BadAuthenticationMethod)}}},             // [MQTT-4.12.0-1]
		"wrong answer":                   {steps: []exchange{begin, {auth(more, "ask", "bob"), refused(packet.BadUserNameOrPassword)}}},       // [MQTT-4.12.0-4]
		"answer of another method":       {steps: []exchange{begin, {auth(more, "other", "alice"), refused(packet.BadAuthenticationMethod)}}}, // [MQTT-4.12.0-5]
		"re-authenticate before CONNACK": {steps: []exchange{begin, {auth(again, "ask", "alice"), refused(packet.ProtocolError)}}},
		"PUBLISH before CONNACK":         {steps: []exchange{begin, {&packet.Publish{Topic: []byte("t")}, refused(packet.ProtocolError)}}}, // [MQTT-3.1.2-30]
		"gives up":                       {steps: []exchange{begin, {&packet.Disconnect{}, nil}}},
		"renewed": {connected: true, open: true, steps: []exchange{
			{auth(again, "ask", "alice"), auth(more, "ask", "again")},
			{auth(more, "ask", "alice"), auth(packet.Success, "ask", "welcome")},
		}},
		"renewed in vain": {connected: true, steps: []exchange{ // [MQTT-4.12.1-2]
			{auth(again, "ask", "alice"), auth(more, "ask", "again")},
			{auth(more, "ask", "eve"), ended(packet.BadUserNameOrPassword)},
		}},
		"renewed as another": {connected: true, steps: []exchange{
			{auth(again, "ask", "bob"), auth(more, "ask", "again")},
			{auth(more, "ask", "bob"), ended(packet.NotAuthorized)},
		}},
		"renewed by another method": {connected: true, steps: []exchange{{auth(again, "other", "alice"), ended(packet.BadAuthenticationMethod)}}}, // [MQTT-4.12.1-1]
		"answer without a question": {connected: true, steps: []exchange{{auth(more, "ask", "alice"), ended(packet.ProtocolError)}}},
		"renewed twice at once": {connected: true, steps: []exchange{
			{auth(again, "ask", "alice"), auth(more, "ask", "again")},
			{auth(again, "ask", "alice"), ended(packet.ProtocolError)},
		}},
		"AUTH without a method": {connected: true, steps: []exchange{{&packet.Auth{Reason: again}, ended(packet.BadAuthenticationMethod)}}},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, broker.Config{Auth: new(asking)}, func(t *testing.T, s *brokertest.Server) {
				c := s.Pipe()
				c.Speak(packet.V5)
				if tc.connected {
					prove(t, c, "alice")
				}
				for _, exchange := range tc.steps {
					c.Send(exchange.send)
					switch want := exchange.want.(type) {
					case nil:
					case *packet.Connack:
						if ack, ok := c.Next().(*packet.Connack); !ok || ack.Reason != want.Reason {
							t.Fatalf("got %+v, want %s", ack, want.Reason)
						}
					default:
						c.Expect(want)
					}
				}
				if tc.open {
					c.ExpectNothing()
					return
				}
				c.ExpectClosed()
			})
		})
	}
}

// TestAuthSaysNoMore: AUTH has neither a reason string nor user properties, so that it
// is never larger for them than the client takes [MQTT-3.15.2-2] [MQTT-3.15.2-3].
func TestAuthSaysNoMore(t *testing.T) {
	in(t, broker.Config{Auth: new(asking)}, func(t *testing.T, s *brokertest.Server) {
		c := s.Pipe()
		prove(t, c, "alice")
		for _, r := range []packet.Reason{packet.ReAuthenticate, packet.ContinueAuthentication} { // a question, the success
			c.Send(authPacket(r, "ask", "alice"))
			answer, ok := c.Next().(*packet.Auth)
			if !ok || answer.Properties.ReasonString != nil || answer.Properties.User != nil {
				t.Fatalf("got %+v", answer)
			}
		}
	})
}

// TestPublishWhileRenewing: other packets go on during a re-authentication.
func TestPublishWhileRenewing(t *testing.T) {
	auth := new(asking)
	in(t, broker.Config{Auth: auth}, func(t *testing.T, s *brokertest.Server) {
		c := s.Pipe()
		prove(t, c, "alice")
		if n := auth.renewals.Load(); n != 0 {
			t.Errorf("%d renewals", n)
		}
		c.Subscribe("t", 1)
		c.Send(authPacket(packet.ReAuthenticate, "ask", "alice"))
		c.Expect(authPacket(packet.ContinueAuthentication, "ask", "again"))
		c.Publish("t", "x", 0)
		c.Receive("t", "x")
		c.Send(authPacket(packet.ContinueAuthentication, "ask", "alice"))
		c.Expect(authPacket(packet.Success, "ask", "welcome"))
		if n := auth.renewals.Load(); n != 1 {
			t.Errorf("%d renewals", n)
		}
	})
}

// TestSilentInTheMiddle: who begins an authentication and says no more is gone
// after the connect timeout.
func TestSilentInTheMiddle(t *testing.T) {
	in(t, broker.Config{Auth: new(asking)}, func(t *testing.T, s *brokertest.Server) {
		c := s.Pipe()
		c.Speak(packet.V5)
		p := hello("ask", "alice")
		began := time.Now()
		c.Send(&p)
		c.Expect(authPacket(packet.ContinueAuthentication, "ask", "again"))
		c.ExpectClosed()
		if took := time.Since(began); took != 4900*time.Millisecond {
			t.Errorf("closed after %v", took)
		}
	})
}

// TestLoginExpires: a login with an end ends its connection then; one that is
// renewed in time does not.
func TestLoginExpires(t *testing.T) {
	in(t, broker.Config{Auth: &asking{lasts: time.Hour}}, func(t *testing.T, s *brokertest.Server) {
		c := s.Pipe()
		prove(t, c, "alice")
		time.Sleep(40 * time.Minute)
		c.Send(authPacket(packet.ReAuthenticate, "ask", "alice"))
		c.Expect(authPacket(packet.ContinueAuthentication, "ask", "again"))
		c.Send(authPacket(packet.ContinueAuthentication, "ask", "alice"))
		c.Expect(authPacket(packet.Success, "ask", "welcome"))
		time.Sleep(time.Hour - time.Second)
		c.ExpectNothing()
		time.Sleep(time.Second)
		c.ExpectReason(packet.NotAuthorized)
	})
}

// TestRecheck: logins that hold no longer end; their sessions stay.
func TestRecheck(t *testing.T) {
	auth := new(asking)
	in(t, broker.Config{Auth: auth}, func(t *testing.T, s *brokertest.Server) {
		c, anonymous := s.Pipe(), s.Pipe()
		prove(t, c, "alice")
		anonymous.Connect(clean("a"))
		s.Recheck()
		synctest.Wait()
		c.ExpectNothing()
		auth.gone.Store(true)
		s.Recheck()
		c.ExpectReason(packet.NotAuthorized)
		anonymous.ExpectNothing()
		if n := s.Status().Sessions; n != 2 {
			t.Errorf("%d sessions", n)
		}
	})
}
