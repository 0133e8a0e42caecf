package broker_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

func TestConnack(t *testing.T) {
	for name, tc := range map[string]struct {
		connect packet.Connect
		cfg     broker.Config
		check   func(t *testing.T, a *packet.Connack)
	}{
		"3.1.1": {
			connect: packet.Connect{Version: packet.V311, CleanStart: true},
			check:   func(t *testing.T, a *packet.Connack) {},
		},
		"3.1": {
			connect: packet.Connect{Version: packet.V31, CleanStart: true, ClientID: []byte("x")},
			check:   func(t *testing.T, a *packet.Connack) {},
		},
		"assigned id": { // [MQTT-3.1.3-7]
			connect: packet.Connect{CleanStart: true},
			check: func(t *testing.T, a *packet.Connack) {
				if len(a.Properties.AssignedClientID) < 10 {
					t.Errorf("assigned %q", a.Properties.AssignedClientID)
				}
			},
		},
		"honest": {
			connect: clean("x"),
			check: func(t *testing.T, a *packet.Connack) {
				p := a.Properties
				if p.SharedSubscriptionsAvl != nil || p.WildcardAvailable != nil || p.AssignedClientID != nil {
					t.Errorf("%+v", p)
				}
				if *p.ReceiveMaximum != 256 || *p.MaximumPacketSize != 2<<20 || *p.TopicAliasMaximum != 32 {
					t.Errorf("%d %d %d", *p.ReceiveMaximum, *p.MaximumPacketSize, *p.TopicAliasMaximum)
				}
			},
		},
		"keep alive cut": { // [MQTT-3.1.2-21]
			connect: packet.Connect{CleanStart: true, Keepalive: 600},
			cfg:     broker.Config{Limits: broker.Limits{MaxKeepalive: time.Minute}},
			check: func(t *testing.T, a *packet.Connack) {
				if k := a.Properties.ServerKeepalive; k == nil || *k != 60 {
					t.Errorf("server keep alive %v", k)
				}
			},
		},
		"session expiry cut": {
			connect: durable("x"),
			cfg:     broker.Config{Limits: broker.Limits{MaxSessionExpiry: time.Minute}},
			check: func(t *testing.T, a *packet.Connack) {
				if e := a.Properties.SessionExpiry; e == nil || *e != 60 {
					t.Errorf("session expiry %v", e)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, tc.cfg, func(t *testing.T, s *brokertest.Server) {
				c := s.Pipe()
				tc.check(t, c.Connect(tc.connect))
				c.ExpectNothing()
			})
		})
	}
}

func TestRefusals(t *testing.T) {
	for name, tc := range map[string]struct {
		connect packet.Connect
		want    packet.Reason
	}{
		"3.1.1 without id": {packet.Connect{Version: packet.V311}, packet.V3IdentifierRejected}, // [MQTT-3.1.3-8]
		"3.1 without id":   {packet.Connect{Version: packet.V31, CleanStart: true}, packet.V3IdentifierRejected},
		"B11 method":       {packet.Connect{Properties: &packet.Properties{AuthMethod: []byte("x")}}, packet.BadAuthenticationMethod}, // [MQTT-4.12.0-1]
		"will to $":        {packet.Connect{Will: &packet.Will{Topic: []byte("$CONTROL/x")}}, packet.TopicNameInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
				c := s.Pipe()
				if ack := c.TryConnect(tc.connect); ack == nil || ack.Reason != tc.want || ack.SessionPresent {
					t.Errorf("got %+v, want %s", ack, tc.want)
				}
				c.ExpectClosed() // [MQTT-3.2.2-7]
			})
		})
	}
}

func TestSessionPresent(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		dial := func(p packet.Connect, want bool) *brokertest.Client {
			t.Helper()
			c := s.Pipe()
			if ack := c.Connect(p); ack.SessionPresent != want {
				t.Errorf("session present %v", ack.SessionPresent)
			}
			return c
		}
		first := dial(durable("c"), false)
		first.Subscribe("t", 1)
		second := dial(durable("c"), true) // [MQTT-3.1.2-5]
		first.ExpectReason(packet.SessionTakenOver)
		second.Publish("t", "x", 0)
		second.Receive("t", "x")
		fresh := durable("c")
		fresh.CleanStart = true
		third := dial(fresh, false) // [MQTT-3.1.2-4]
		second.ExpectReason(packet.SessionTakenOver)
		third.Publish("t", "x", 1)
		third.ExpectNothing()
		third.Send(&packet.Disconnect{Properties: &packet.Properties{SessionExpiry: new(uint32(0))}})
		third.ExpectClosed()
		dial(durable("c"), false)
	})
}

func TestSessionExpiry(t *testing.T) { // [MQTT-3.1.2-23] [MQTT-4.1.0-2]
	for name, tc := range map[string]struct {
		connect packet.Connect
		away    time.Duration
		want    bool
	}{
		"none":              {clean("c"), 0, false},
		"in time":           {durable("c"), 3599 * time.Second, true},
		"too late":          {durable("c"), 3600 * time.Second, false},
		"3.1.1, for ever":   {packet.Connect{Version: packet.V311, ClientID: []byte("c")}, 10000 * time.Hour, true},
		"5.0, for ever":     {packet.Connect{ClientID: []byte("c"), Properties: &packet.Properties{SessionExpiry: new(uint32(1<<32 - 1))}}, 10000 * time.Hour, true},
		"3.1.1, clean":      {packet.Connect{Version: packet.V311, ClientID: []byte("c"), CleanStart: true}, 0, false},
		"5.0, clean, stays": {packet.Connect{ClientID: []byte("c"), CleanStart: true, Properties: &packet.Properties{SessionExpiry: new(uint32(10))}}, 5 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, broker.Config{SysInterval: -1}, func(t *testing.T, s *brokertest.Server) {
				c := s.Pipe()
				c.Connect(tc.connect)
				c.Close()
				synctest.Wait()
				time.Sleep(tc.away)
				synctest.Wait()
				c = s.Pipe()
				again := tc.connect
				again.CleanStart = false
				if ack := c.Connect(again); ack.SessionPresent != tc.want {
					t.Errorf("session present %v", ack.SessionPresent)
				}
			})
		})
	}
}

// users is an authenticator that takes its time.
type users map[string]string

func (u users) Authenticate(c broker.Credentials, verdict func(broker.Verdict)) {
	go func() {
		time.Sleep(10 * time.Millisecond)
		verdict(broker.Verdict{
			OK:       c.HasPassword && len(c.Password) > 0 && u[c.Username] == string(c.Password),
			Identity: c.Username, Reason: packet.BadUserNameOrPassword,
		})
	}()
}

// denying is an authorizer: nobody reads or writes below "denied".
type denying struct{}

func (d denying) Rights(broker.Principal) broker.Rights { return d }

func (denying) May(do broker.Access, topic string) bool {
	return do == broker.Subscribe || topic != "denied"
}

func TestAuthorisation(t *testing.T) {
	cfg := broker.Config{Access: denying{}}
	in(t, cfg, func(t *testing.T, s *brokertest.Server) {
		c := s.Pipe()
		c.Connect(clean("c"))
		c.Subscribe("#", 1)
		c.Send(&packet.Publish{Topic: []byte("denied"), QoS: 1, PacketID: 50})
		c.Expect(&packet.Ack{Kind: packet.PUBACK, PacketID: 50, Reason: packet.NotAuthorized})
		c.Publish("denied", "", 0)
		s.Publish(&core.Message{Topic: "denied", QoS: 1})
		c.ExpectNothing() // not even through a wildcard
		will := clean("w")
		will.Will = &packet.Will{Topic: []byte("denied")}
		w := s.Pipe()
		if ack := w.TryConnect(will); ack.Reason != packet.NotAuthorized {
			t.Errorf("will: %s", ack.Reason)
		}
		if n := s.Status().Dropped[core.DroppedDenied]; n != 2 {
			t.Errorf("%d denied, want 2", n)
		}
	})
}

// TestPipelined: packets may follow CONNECT before its answer, also where that
// takes a while.
func TestPipelined(t *testing.T) {
	in(t, broker.Config{Auth: users{"a": "b"}}, func(t *testing.T, s *brokertest.Server) {
		c := s.Pipe()
		hello := clean("c")
		hello.HasUsername, hello.Username, hello.HasPassword, hello.Password = true, []byte("a"), true, []byte("b")
		hello.Version = packet.V5
		c.Send(&hello, &packet.Publish{Topic: []byte("t")}, &packet.Pingreq{})
		if ack, ok := c.Next().(*packet.Connack); !ok || ack.Reason != 0 {
			t.Fatal("not connected")
		}
		c.Expect(&packet.Pingresp{})
	})
}

func TestWill(t *testing.T) {
	with := func(delay, expiry uint32) packet.Connect {
		return packet.Connect{
			ClientID: []byte("w"), Properties: &packet.Properties{SessionExpiry: new(expiry)},
			Will: &packet.Will{Topic: []byte("will"), Payload: []byte("gone"), QoS: 1, Properties: &packet.Properties{WillDelay: new(delay)}},
		}
	}
	cut := func(_ *testing.T, _ *brokertest.Server, c *brokertest.Client) { c.Close() }
	disconnect := func(r packet.Reason) func(*testing.T, *brokertest.Server, *brokertest.Client) {
		return func(_ *testing.T, _ *brokertest.Server, c *brokertest.Client) { c.Send(&packet.Disconnect{Reason: r}) }
	}
	again := func(p packet.Connect) func(*testing.T, *brokertest.Server, *brokertest.Client) {
		return func(t *testing.T, s *brokertest.Server, _ *brokertest.Client) {
			p.Will = nil
			s.Pipe().Connect(p)
		}
	}
	const never = -1
	for name, tc := range map[string]struct {
		connect packet.Connect
		end     func(*testing.T, *brokertest.Server, *brokertest.Client)
		after   time.Duration
	}{
		"connection cut":             {with(0, 60), cut, 0}, // [MQTT-3.1.2-8]
		"disconnect 0":               {with(0, 60), disconnect(0), never},
		"disconnect with will":       {with(0, 60), disconnect(packet.DisconnectWithWill), 0},
		"delay":                      {with(20, 60), cut, 20 * time.Second},
		"delay, session ends first":  {with(60, 20), cut, 20 * time.Second},
		"delay, session without end": {with(30, 1<<32-1), cut, 30 * time.Second},
		"delay, no session":          {with(60, 0), cut, 0},
		"taken over":                 {with(0, 60), again(with(0, 60)), 0},
		"taken over within delay":    {with(30, 60), again(with(0, 60)), never}, // [MQTT-3.1.3-9]
		"taken over, session ended":  {with(30, 60), again(clean("w")), 0},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
				r, c := s.Pipe(), s.Pipe()
				r.Connect(clean("r"))
				r.Subscribe("will", 1)
				c.Connect(tc.connect)
				start := time.Now()
				tc.end(t, s, c)
				if tc.after == never {
					time.Sleep(time.Hour)
					r.ExpectNothing()
					return
				}
				time.Sleep(tc.after)
				r.Receive("will", "gone")
				if took := time.Since(start); took != tc.after {
					t.Errorf("sent after %v, want %v", took, tc.after)
				}
				time.Sleep(2 * time.Minute)
				r.ExpectNothing() // once [MQTT-3.1.2-10]
			})
		})
	}
}

func TestWillOfKeepAlive(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		r, c := s.Pipe(), s.Pipe()
		r.Connect(clean("r"))
		r.Subscribe("will", 0)
		c.Connect(packet.Connect{
			Version: packet.V311, CleanStart: true, Keepalive: 4,
			Will: &packet.Will{Topic: []byte("will"), Payload: []byte("x"), Retain: true},
		})
		c.ExpectClosed()
		r.Receive("will", "x")
		late := s.Pipe()
		late.Connect(clean("late"))
		late.Subscribe("will", 0) // [MQTT-3.1.2-15]
		late.Receive("will", "x")
	})
}

func TestShutdown(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		c, old := s.Pipe(), s.Pipe()
		c.Connect(clean("c"))
		old.Connect(packet.Connect{Version: packet.V311, CleanStart: true})
		go s.Stop()
		c.ExpectReason(packet.ServerShuttingDown)
		old.ExpectClosed()
		synctest.Wait()
		if err := s.Publish(&core.Message{Topic: "t"}); err != core.ErrClosed {
			t.Errorf("publish: %v", err)
		}
		if st := s.Status(); st.Sessions != 0 {
			t.Errorf("status %+v", st)
		}
	})
}

// TestRestart: what a session was owed, it gets after a crash, in order.
func TestRestart(t *testing.T) {
	for qos := byte(1); qos <= 2; qos++ {
		t.Run(fmt.Sprintf("QoS %d", qos), func(t *testing.T) {
			in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
				p, r := s.Pipe(), s.Pipe()
				p.Connect(clean("p"))
				r.Connect(durable("r"))
				r.Subscribe("t/#", packet.Options(qos))
				for i := range 3 { // sent, not acknowledged
					p.Publish("t/1", fmt.Sprint(i), qos)
				}
				var sent []*packet.Publish
				for range 3 {
					sent = append(sent, r.NextPublish())
				}
				r.Close()
				synctest.Wait()
				for i := 3; i < 600; i++ {
					p.Publish("t/1", fmt.Sprint(i), qos)
				}
				s = s.Crash()
				p, r = s.Pipe(), s.Pipe()
				p.Connect(clean("p"))
				r.AcknowledgeAll()
				if ack := r.Connect(durable("r")); !ack.SessionPresent {
					t.Fatal("the session is gone")
				}
				p.Publish("t/1", "600", 0)
				for i := range 600 {
					m := r.NextPublish()
					if string(m.Payload) == "600" { // QoS 0 does not wait
						m = r.NextPublish()
					}
					if string(m.Payload) != fmt.Sprint(i) {
						t.Fatalf("message %d: %s", i, brokertest.Show(m))
					}
					if qos == 2 && i < 3 && (!m.Dup || m.PacketID != sent[i].PacketID) { // [MQTT-4.4.0-1]
						t.Errorf("message %d has packet id %d, not %d: %s", i, m.PacketID, sent[i].PacketID, brokertest.Show(m))
					}
				}
			})
		})
	}
}

// TestExactlyOnceAcrossRestart: held packet ids and released ones survive.
func TestExactlyOnceAcrossRestart(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		p, r := s.Pipe(), s.Pipe()
		p.Connect(durable("p"))
		r.Connect(durable("r"))
		r.Subscribe("t", 2)
		p.Send(&packet.Publish{Topic: []byte("t"), QoS: 2, PacketID: 8})
		p.Expect(&packet.Ack{Kind: packet.PUBREC, PacketID: 8})
		m := r.NextPublish()
		r.Send(&packet.Ack{Kind: packet.PUBREC, PacketID: m.PacketID})
		r.Expect(&packet.Ack{Kind: packet.PUBREL, PacketID: m.PacketID})
		s = s.Crash()
		p, r = s.Pipe(), s.Pipe()
		r.Connect(durable("r"))
		r.Expect(&packet.Ack{Kind: packet.PUBREL, PacketID: m.PacketID})
		r.Send(&packet.Ack{Kind: packet.PUBCOMP, PacketID: m.PacketID})
		p.Connect(durable("p"))
		p.Send(&packet.Publish{Dup: true, Topic: []byte("t"), QoS: 2, PacketID: 8})
		p.Expect(&packet.Ack{Kind: packet.PUBREC, PacketID: 8})
		p.Send(&packet.Ack{Kind: packet.PUBREL, PacketID: 8})
		p.Expect(&packet.Ack{Kind: packet.PUBCOMP, PacketID: 8})
		r.ExpectNothing()
	})
}

// TestSubackIsDurable: a subscription that was acknowledged survives.
func TestSubackIsDurable(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		r := s.Pipe()
		r.Connect(durable("r"))
		s.Store.Hold(true)
		r.Send(&packet.Subscribe{PacketID: 1, Properties: &packet.Properties{SubscriptionIDs: []uint32{77}}, Filters: []packet.Filter{{Filter: []byte("t"), Options: 2}}})
		r.ExpectNothing()
		s.Store.Hold(false)
		r.Expect(&packet.Suback{PacketID: 1, Reasons: []packet.Reason{2}})
		s = s.Crash()
		p := s.Pipe()
		p.Connect(clean("p"))
		p.Publish("t", "x", 2)
		r = s.Pipe()
		r.Connect(durable("r"))
		if m := r.Receive("t", "x"); m.QoS != 2 || m.Properties.SubscriptionIDs[0] != 77 {
			t.Errorf("got %s", brokertest.Show(m))
		}
	})
}

// TestSessionExpiryAcrossRestart: the time while the broker was down counts.
func TestSessionExpiryAcrossRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := broker.Config{Clock: core.NewClock()} // goes on while the broker is down
		s := brokertest.Start(t, cfg)
		for _, id := range []string{"short", "long"} {
			p := durable(id)
			if id == "short" {
				p.Properties.SessionExpiry = new(uint32(100))
			}
			c := s.Pipe()
			c.Connect(p)
			c.Subscribe("t", 1)
			c.Close()
		}
		synctest.Wait()
		s.Store.Commit()
		after := s.Store.Crash()
		s.Stop()
		time.Sleep(2 * time.Minute)
		s = brokertest.StartOn(t, cfg, after)
		synctest.Wait()
		clients := s.Clients()
		if len(clients) != 1 || clients[0].ClientID != "long" {
			t.Errorf("sessions: %+v", clients)
		}
		if n := s.Status().Subscriptions; n != 1 {
			t.Errorf("%d subscriptions", n)
		}
	})
}

// TestWillAcrossRestart: a will is not lost with the broker, whether it is killed or
// stopped. It waits for its client as long as it would have.
func TestWillAcrossRestart(t *testing.T) {
	for _, end := range []string{"crash", "stop"} {
		for name, tc := range map[string]struct {
			delay, expiry uint32
			back, leaves  bool
			after         time.Duration // < 0: never
		}{
			"clean session":          {},
			"session, no delay":      {expiry: 60},
			"delay":                  {expiry: 60, delay: 20, after: 20 * time.Second},
			"delay, client is back":  {expiry: 60, delay: 20, back: true, after: -1},
			"session ends before it": {expiry: 10, delay: 20, after: 10 * time.Second},
			"client had taken leave": {expiry: 60, leaves: true, after: -1},
		} {
			t.Run(end+", "+name, func(t *testing.T) {
				in(t, broker.Config{Clock: core.NewClock()}, func(t *testing.T, s *brokertest.Server) {
					r, c := s.Pipe(), s.Pipe()
					r.Connect(durable("r"))
					r.Subscribe("will", 1)
					hello := packet.Connect{
						ClientID: []byte("w"), Properties: &packet.Properties{SessionExpiry: new(tc.expiry)},
						Will: &packet.Will{Topic: []byte("will"), Payload: []byte("gone"), QoS: 1, Properties: &packet.Properties{WillDelay: new(tc.delay)}},
					}
					c.Connect(hello)
					if tc.leaves {
						c.Send(&packet.Disconnect{})
						c.ExpectClosed()
					}
					synctest.Wait()
					s.Store.Commit() // what is lazy
					if end == "stop" {
						s.Stop()
						s.Store.Commit()
					}
					s = s.Crash()
					start := time.Now()
					r = s.Pipe()
					r.Connect(durable("r"))
					if tc.back {
						hello.Will = nil
						s.Pipe().Connect(hello)
					}
					if tc.after < 0 {
						time.Sleep(time.Hour)
					} else {
						time.Sleep(tc.after)
						r.Receive("will", "gone")
						if took := time.Since(start); took != tc.after {
							t.Errorf("after %v, want %v", took, tc.after)
						}
					}
					synctest.Wait()
					if p, ok := r.Poll(); ok {
						t.Errorf("got %s", brokertest.Show(p))
					}
				})
			})
		}
	}
}
