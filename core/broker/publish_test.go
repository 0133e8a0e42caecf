package broker_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

// durable is a CONNECT of a session that outlives its connection.
func durable(id string) packet.Connect {
	return packet.Connect{ClientID: []byte(id), Properties: &packet.Properties{SessionExpiry: new(uint32(3600))}}
}

// clean is a CONNECT of a session that does not.
func clean(id string) packet.Connect { return packet.Connect{ClientID: []byte(id), CleanStart: true} }

// TestEverythingIsServed: every QoS and retained messages are, in subscriptions and
// wills too, and so CONNACK says nothing of a limit [MQTT-3.2.2-9] [MQTT-3.2.2-10]
// [MQTT-3.2.2-12] [MQTT-3.2.2-13]. That each is delivered as such: TestQoSGranted,
// TestRetained.
func TestEverythingIsServed(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		for qos := range byte(3) {
			c, dying := s.Pipe(), s.Pipe()
			ack := c.Connect(clean(fmt.Sprint("c", qos)))
			if p := ack.Properties; p.MaximumQoS != nil || p.RetainAvailable != nil || p.WildcardAvailable != nil || p.SharedSubscriptionsAvl != nil {
				t.Errorf("CONNACK with limits: %+v", p)
			}
			c.Send(&packet.Subscribe{PacketID: 1, Filters: []packet.Filter{{Filter: []byte("t"), Options: packet.Options(qos)}}})
			c.Expect(&packet.Suback{PacketID: 1, Reasons: []packet.Reason{packet.Reason(qos)}})
			hello := clean(fmt.Sprint("dying", qos))
			hello.Will = &packet.Will{Topic: []byte(fmt.Sprint("will/", qos)), Payload: []byte("gone"), QoS: qos, Retain: true}
			dying.Connect(hello)
			dying.Close()
			synctest.Wait()
			c.Subscribe(fmt.Sprint("will/", qos), 2)
			if m := c.NextPublish(); m.QoS != qos || !m.Retain {
				t.Errorf("will of QoS %d came as %d, retained %v", qos, m.QoS, m.Retain)
			}
		}
	})
}

func TestQoSGranted(t *testing.T) { // [MQTT-3.8.4-8]
	for pub := range byte(3) {
		for sub := range byte(3) {
			for _, session := range []packet.Connect{clean("s"), durable("s")} {
				t.Run(fmt.Sprintf("%d to %d", pub, sub), func(t *testing.T) {
					in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
						p, r := s.Pipe(), s.Pipe()
						p.Connect(clean("p"))
						r.Connect(session)
						r.Subscribe("t", packet.Options(sub))
						go r.Receive("t", "x")
						p.Publish("t", "x", pub)
						synctest.Wait()
						p.ExpectNothing()
						r.ExpectNothing()
						if owed := s.Store.Status(); owed.Messages+uint64(owed.Held) != 0 {
							t.Errorf("still owed: %+v", owed)
						}
					})
				})
			}
		}
	}
}

// TestAcknowledgedFromMemory: a QoS 1 message whose receivers acknowledge in time
// is never written.
func TestAcknowledgedFromMemory(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		p, r := s.Pipe(), s.Pipe()
		p.Connect(durable("p"))
		r.Connect(durable("r"))
		r.Subscribe("t", 1)
		id := p.NextID()
		p.Send(&packet.Publish{Topic: []byte("t"), QoS: 1, PacketID: id})
		m := r.NextPublish() // delivered at once
		p.ExpectNothing()    // but not acknowledged
		r.Acknowledge(m)
		p.Expect(&packet.Ack{Kind: packet.PUBACK, PacketID: id})
		if n := s.Store.Written(); n != 0 {
			t.Errorf("%d messages written", n)
		}
	})
}

func TestSpill(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		p, r := s.Pipe(), s.Pipe()
		p.Connect(clean("p"))
		r.Connect(durable("r"))
		r.Subscribe("t", 1)
		start := time.Now()
		p.Publish("t", "slow", 1)
		if took := time.Since(start); took < 250*time.Millisecond || took > 260*time.Millisecond {
			t.Errorf("PUBACK after %v, want the spill time", took)
		}
		if n := s.Store.Written(); n != 1 {
			t.Errorf("%d messages written, want 1", n)
		}
		r.Close()
		synctest.Wait()
		start = time.Now()
		p.Publish("t", "offline", 1)
		if took := time.Since(start); took != 0 {
			t.Errorf("PUBACK after %v: there was nothing to wait for", took)
		}
	})
}

func TestLearnedPatience(t *testing.T) {
	in(t, broker.Config{SpillAfter: time.Second}, func(t *testing.T, s *brokertest.Server) {
		p, r := s.Pipe(), s.Pipe()
		p.Connect(clean("p"))
		r.Connect(durable("r"))
		r.Subscribe("t", 1)
		for range 50 { // it takes 100 ms to acknowledge
			go func() {
				m := r.NextPublish()
				time.Sleep(100 * time.Millisecond)
				r.Acknowledge(m)
			}()
			p.Publish("t", "x", 1)
		}
		start := time.Now()
		p.Publish("t", "not acknowledged", 1)
		if took := time.Since(start); took < 290*time.Millisecond || took > 320*time.Millisecond {
			t.Errorf("written after %v, want three times what is usual", took)
		}
	})
}

// TestPubackOrder: acknowledgements leave in the order of their messages, even if
// the promise about a later one holds first [MQTT-4.6.0-2].
func TestPubackOrder(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		p, r := s.Pipe(), s.Pipe()
		p.Connect(clean("p"))
		r.Connect(durable("r"))
		r.Subscribe("owed", 1)
		for i, name := range []string{"owed", "free", "owed", "free"} {
			p.Send(&packet.Publish{Topic: []byte(name), QoS: 1, PacketID: uint16(i + 1)})
		}
		first, second := r.NextPublish(), r.NextPublish()
		r.Acknowledge(second)
		p.ExpectNothing()
		r.Acknowledge(first)
		for i, reason := range []packet.Reason{0, packet.NoMatchingSubscribers, 0, packet.NoMatchingSubscribers} {
			p.Expect(&packet.Ack{Kind: packet.PUBACK, PacketID: uint16(i + 1), Reason: reason})
		}
	})
}

// commit lets the broker come to rest and then its store write everything.
func commit(s *brokertest.Server) {
	synctest.Wait()
	s.Store.Commit()
}

// TestExactlyOnceIn: the message and its packet id are on disk before PUBREC and
// before it goes on; a repetition is answered and not delivered [MQTT-4.3.3-10].
func TestExactlyOnceIn(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		p, r := s.Pipe(), s.Pipe()
		p.Connect(durable("p"))
		r.Connect(durable("r"))
		r.Subscribe("t", 1)
		s.Store.Hold(true)
		m := &packet.Publish{Topic: []byte("t"), QoS: 2, PacketID: 1}
		p.Send(m)
		p.ExpectNothing()
		r.ExpectNothing()
		p.Close() // before PUBREC
		p = s.Pipe()
		p.Connect(durable("p"))
		m.Dup = true
		p.Send(m)
		p.ExpectNothing()
		commit(s)
		p.Expect(&packet.Ack{Kind: packet.PUBREC, PacketID: 1})
		r.Receive("t", "")
		r.ExpectNothing()
		p.Send(m)
		commit(s)
		p.Expect(&packet.Ack{Kind: packet.PUBREC, PacketID: 1})
		r.ExpectNothing()
		p.Send(&packet.Ack{Kind: packet.PUBREL, PacketID: 1})
		p.ExpectNothing() // the release is not on disk
		commit(s)
		p.Expect(&packet.Ack{Kind: packet.PUBCOMP, PacketID: 1})
		p.Send(&packet.Publish{Topic: []byte("t"), QoS: 2, PacketID: 1}) // [MQTT-4.3.3-12]
		s.Store.Hold(false)
		p.Expect(&packet.Ack{Kind: packet.PUBREC, PacketID: 1})
		r.Receive("t", "")
	})
}

// TestExactlyOnceOut: the packet id is on disk before PUBLISH, the release before PUBREL.
func TestExactlyOnceOut(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		p, r := s.Pipe(), s.Pipe()
		p.Connect(clean("p"))
		r.Connect(durable("r"))
		r.Subscribe("t", 2)
		s.Store.Hold(true)
		p.Send(&packet.Publish{Topic: []byte("t"), QoS: 2, PacketID: 1})
		commit(s) // the message
		p.Expect(&packet.Ack{Kind: packet.PUBREC, PacketID: 1})
		r.ExpectNothing()
		commit(s) // its packet id
		m := r.NextPublish()
		rec := &packet.Ack{Kind: packet.PUBREC, PacketID: m.PacketID}
		r.Send(rec)
		r.ExpectNothing()
		r.Send(rec) // a second one changes nothing
		r.ExpectNothing()
		commit(s) // the release
		rel := &packet.Ack{Kind: packet.PUBREL, PacketID: m.PacketID}
		r.Expect(rel)
		r.Close()
		r = s.Pipe()
		if ack := r.Connect(durable("r")); !ack.SessionPresent {
			t.Error("session lost")
		}
		r.Expect(rel) // [MQTT-4.4.0-1]
		r.Send(&packet.Ack{Kind: packet.PUBCOMP, PacketID: m.PacketID})
		r.ExpectNothing()
	})
}

func TestStoreFull(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		p, old, r := s.Pipe(), s.Pipe(), s.Pipe()
		p.Connect(durable("p"))
		old.Connect(packet.Connect{Version: packet.V311, ClientID: []byte("old")})
		r.Connect(durable("r"))
		r.Subscribe("t", 2)
		s.Store.SetFull(true)
		p.Send(&packet.Publish{Topic: []byte("t"), QoS: 1, PacketID: 1})
		p.Expect(&packet.Ack{Kind: packet.PUBACK, PacketID: 1, Reason: packet.QuotaExceeded})
		p.Send(&packet.Publish{Topic: []byte("t"), QoS: 2, PacketID: 2})
		p.Expect(&packet.Ack{Kind: packet.PUBREC, PacketID: 2, Reason: packet.QuotaExceeded})
		old.Send(&packet.Publish{Topic: []byte("t"), QoS: 2, PacketID: 1})
		old.ExpectClosed() // an acknowledgement would be a lie
		r.ExpectNothing()
		p.Publish("t", "QoS 0 goes on", 0)
		r.Receive("t", "QoS 0 goes on")
		r.Publish("nobody", "", 1)

		s.Store.SetFull(false)
		old = s.Pipe()
		old.Connect(packet.Connect{Version: packet.V311, ClientID: []byte("old")})
		old.Send(&packet.Publish{Dup: true, Topic: []byte("t"), QoS: 2, PacketID: 1}) // again, and taken now
		old.Expect(&packet.Ack{Kind: packet.PUBREC, PacketID: 1})
		r.Receive("t", "")
		p.Send(&packet.Publish{Topic: []byte("t"), QoS: 2, PacketID: 2}) // the id is new [MQTT-4.3.3-9]
		p.Expect(&packet.Ack{Kind: packet.PUBREC, PacketID: 2})
		r.Receive("t", "")
		if n := s.Status().Dropped[core.DroppedStoreFull]; n != 3 {
			t.Errorf("%d counted, want 3", n)
		}
	})
}

// TestOrderBehindRefusal: what a client has sent behind a refused message, before
// it could know, is refused as well until the message comes again.
func TestOrderBehindRefusal(t *testing.T) {
	send := func(p *brokertest.Client, id uint16, payload string, want packet.Reason) {
		t.Helper()
		p.Send(&packet.Publish{Topic: []byte("t"), Payload: []byte(payload), QoS: 1, PacketID: id})
		p.Expect(&packet.Ack{Kind: packet.PUBACK, PacketID: id, Reason: want})
	}
	begin := func(t *testing.T, s *brokertest.Server) (p, r *brokertest.Client) {
		p, r = s.Pipe(), s.Pipe()
		p.Connect(durable("p"))
		r.Connect(durable("r"))
		r.Subscribe("t", 1)
		s.Store.SetFull(true)
		send(p, 1, "a", packet.QuotaExceeded)
		s.Store.SetFull(false)
		return p, r
	}
	cfg := broker.Config{Limits: broker.Limits{ReceiveMaximum: 4}}
	t.Run("sent again", func(t *testing.T) {
		in(t, cfg, func(t *testing.T, s *brokertest.Server) {
			p, r := begin(t, s)
			send(p, 2, "b", packet.QuotaExceeded) // there is room, but not for b before a
			send(p, 3, "c", packet.QuotaExceeded)
			for i, payload := range []string{"a", "b", "c"} {
				send(p, uint16(4+i), payload, packet.Success)
				r.Receive("t", payload)
			}
		})
	})
	t.Run("given up", func(t *testing.T) {
		in(t, cfg, func(t *testing.T, s *brokertest.Server) {
			p, r := begin(t, s)
			for i := range uint16(4) {
				send(p, 2+i, "b", packet.QuotaExceeded)
			}
			send(p, 9, "c", packet.Success)
			r.Receive("t", "c")
		})
	})
	t.Run("given up, and quiet", func(t *testing.T) {
		in(t, cfg, func(t *testing.T, s *brokertest.Server) {
			p, r := begin(t, s)
			time.Sleep(2 * time.Second)
			send(p, 9, "c", packet.Success)
			r.Receive("t", "c")
		})
	})
}

func TestReceiveMaximum(t *testing.T) {
	t.Run("ours D1", func(t *testing.T) { // [MQTT-3.3.4-7]
		cfg := broker.Config{Limits: broker.Limits{ReceiveMaximum: 3}}
		in(t, cfg, func(t *testing.T, s *brokertest.Server) {
			p := s.Pipe()
			ack := p.Connect(clean("p"))
			if got := *ack.Properties.ReceiveMaximum; got != 3 {
				t.Fatalf("receive maximum %d", got)
			}
			for i := range uint16(3) {
				p.Send(&packet.Publish{Topic: []byte("t"), QoS: 2, PacketID: i + 1})
				p.Expect(&packet.Ack{Kind: packet.PUBREC, PacketID: i + 1, Reason: packet.NoMatchingSubscribers})
			}
			p.Send(&packet.Publish{Topic: []byte("t"), QoS: 2, PacketID: 4})
			p.ExpectReason(packet.ReceiveMaximumExceeded)
		})
	})
	t.Run("the client's", func(t *testing.T) { // [MQTT-3.3.4-9] [MQTT-3.3.4-10]
		in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
			p, r := s.Pipe(), s.Pipe()
			p.Connect(clean("p"))
			hello := clean("r")
			hello.Properties = &packet.Properties{ReceiveMaximum: new(uint16(2))}
			r.Connect(hello)
			r.Subscribe("t", 2)
			for i := range 5 {
				p.Publish("t", fmt.Sprint(i), byte(1+i%2))
			}
			a, b := r.NextPublish(), r.NextPublish()
			r.ExpectNothing()
			r.Acknowledge(a)
			c := r.NextPublish()
			r.ExpectNothing()
			r.Send(&packet.Ack{Kind: packet.PUBREC, PacketID: b.PacketID})
			r.Expect(&packet.Ack{Kind: packet.PUBREL, PacketID: b.PacketID})
			r.ExpectNothing() // QoS 2 counts until PUBCOMP
			r.Send(&packet.Ack{Kind: packet.PUBCOMP, PacketID: b.PacketID})
			d := r.NextPublish()
			var got []string
			for _, m := range []*packet.Publish{a, b, c, d} {
				got = append(got, string(m.Payload))
			}
			if diff := cmp.Diff([]string{"0", "1", "2", "3"}, got); diff != "" {
				t.Error(diff)
			}
		})
	})
}

// TestSlowReceiver: one that does not read costs bounded memory. A durable one
// loses nothing.
func TestSlowReceiver(t *testing.T) {
	const n = 2000
	cfg := broker.Config{Limits: broker.Limits{MaxClientMessages: 50, MaxClientBytes: 64 << 10}}
	payload := strings.Repeat("x", 1000)
	for name, tc := range map[string]struct {
		session packet.Connect
		qos     byte
		lossy   bool
	}{
		"durable, QoS 1": {session: durable("r"), qos: 1},
		"durable, QoS 2": {session: durable("r"), qos: 2},
		"durable, QoS 0": {session: durable("r"), qos: 0, lossy: true},
		"clean, QoS 1":   {session: clean("r"), qos: 1, lossy: true},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, cfg, func(t *testing.T, s *brokertest.Server) {
				p, r := s.Pipe(), s.Pipe()
				p.Connect(clean("p"))
				r.Connect(tc.session)
				r.Subscribe("t", packet.Options(tc.qos))
				r.AcknowledgeAll()
				r.Hold(true)
				for i := range n {
					p.Publish("t", fmt.Sprintf("%d %s", i, payload), tc.qos)
				}
				p.ExpectNothing() // nobody else is held up
				r.Hold(false)
				next := 0
				for next < n {
					m := r.NextPublish()
					var i int
					fmt.Sscan(string(m.Payload), &i)
					if i < next || i > next && !tc.lossy {
						t.Fatalf("got message %d, want %d", i, next)
					}
					next = i + 1
					if tc.lossy && s.Clients()[1].Queued == 0 {
						break
					}
				}
				dropped := s.Status().Dropped[core.DroppedQueueFull]
				if got := dropped > 0; got != tc.lossy {
					t.Errorf("%d dropped", dropped)
				}
				p.Publish("t", "last", tc.qos) // it is live again
				for string(r.NextPublish().Payload) != "last" {
				}
			})
		})
	}
}

func TestOverlap(t *testing.T) {
	sub := func(filter string, o packet.Options, id uint32) *packet.Subscribe {
		p := &packet.Subscribe{PacketID: 1, Filters: []packet.Filter{{Filter: []byte(filter), Options: o}}}
		if id > 0 {
			p.Properties = &packet.Properties{SubscriptionIDs: []uint32{id}}
		}
		return p
	}
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		p, r := s.Pipe(), s.Pipe()
		p.Connect(clean("p"))
		r.Connect(clean("r"))
		for _, q := range []*packet.Subscribe{sub("a/b", 0, 1), sub("a/+", 2, 2), sub("a/#", 1, 0), sub("+/b", 1, 268_435_455), sub("z", 2, 4)} {
			r.Send(q)
			r.Next()
		}
		p.Publish("a/b", "once", 2) // [MQTT-3.3.4-2] [MQTT-3.3.4-3] [MQTT-3.3.4-4]
		m := r.Receive("a/b", "once")
		ids := map[uint32]bool{}
		for _, id := range m.Properties.SubscriptionIDs {
			ids[id] = true
		}
		if diff := cmp.Diff(map[uint32]bool{1: true, 2: true, 268_435_455: true}, ids); diff != "" || m.QoS != 2 {
			t.Errorf("QoS %d, identifiers (-want +got):\n%s", m.QoS, diff)
		}
		r.ExpectNothing()
		p.Publish("z", "", 0)
		if m := r.NextPublish(); !cmp.Equal(m.Properties.SubscriptionIDs, []uint32{4}) {
			t.Errorf("identifiers %v", m.Properties.SubscriptionIDs)
		}
	})
}

func TestSubscriptionOptions(t *testing.T) {
	const noLocal, asPublished = 4, 8
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		c, other := s.Pipe(), s.Pipe()
		c.Connect(clean("c"))
		other.Connect(clean("other"))
		c.Subscribe("t", noLocal)
		c.Publish("t", "mine", 0) // [MQTT-3.8.3-3]
		c.ExpectNothing()
		retained := packet.Publish{Topic: []byte("t"), Payload: []byte("x"), Retain: true}
		other.PublishPacket(retained)
		if m := c.Receive("t", "x"); m.Retain { // [MQTT-3.3.1-12]
			t.Error("retain flag on a message that is not a retained one")
		}
		c.Subscribe("t", asPublished|2<<4) // replaces the one before [MQTT-3.8.4-3]
		other.PublishPacket(retained)
		if m := c.Receive("t", "x"); !m.Retain { // [MQTT-3.3.1-13]
			t.Error("no retain flag")
		}
		c.ExpectNothing()
		c.Publish("t", "mine", 0)
		c.Receive("t", "mine")
		c.PublishPacket(packet.Publish{Topic: []byte("kept"), Payload: []byte("mine"), Retain: true})
		other.PublishPacket(packet.Publish{Topic: []byte("kept/2"), Payload: []byte("not mine"), Retain: true})
		synctest.Wait()
		c.Subscribe("kept/#", noLocal)
		c.Receive("kept/2", "not mine")
		c.ExpectNothing()
		c.Subscribe("kept/#", 0)
		c.Receive("kept", "mine")
		c.Receive("kept/2", "not mine")
		c.Send(&packet.Unsubscribe{PacketID: 99, Filters: [][]byte{[]byte("kept/#")}})
		c.Expect(&packet.Unsuback{PacketID: 99, Reasons: []packet.Reason{0}})
		if n := s.Status().Subscriptions; n != 1 {
			t.Errorf("%d subscriptions", n)
		}
	})
}

func TestUnsubscribe(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		c := s.Pipe()
		c.Connect(durable("c"))
		for i := range 5 {
			c.Subscribe(fmt.Sprint("t", i), 1)
		}
		c.Send(&packet.Unsubscribe{PacketID: 9, Filters: [][]byte{[]byte("t1"), []byte("t"), []byte("t4"), []byte("t1")}})
		c.Expect(&packet.Unsuback{PacketID: 9, Reasons: []packet.Reason{
			0, packet.NoSubscriptionExisted, 0, packet.NoSubscriptionExisted,
		}})
		for i := range 5 {
			p := packet.Publish{Topic: fmt.Append(nil, "t", i)}
			c.PublishPacket(p)
		}
		for _, name := range []string{"t0", "t2", "t3"} {
			c.Receive(name, "")
		}
		c.ExpectNothing()
		after := s.Crash()
		if n := after.Status().Subscriptions; n != 3 {
			t.Errorf("%d subscriptions after a restart", n)
		}
	})
}
