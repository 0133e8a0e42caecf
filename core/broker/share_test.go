package broker_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

// drain counts the PUBLISHes that have come to a client, by payload.
func drain(c *brokertest.Client, into map[string]int) (n int) {
	synctest.Wait()
	for p, ok := c.Poll(); ok; p, ok = c.Poll() {
		if m, ok := p.(*packet.Publish); ok {
			into[string(m.Payload)]++
			n++
		}
	}
	return n
}

func member(t *testing.T, s *brokertest.Server, hello packet.Connect, o packet.Options) *brokertest.Client {
	t.Helper()
	c := s.Pipe()
	c.Connect(hello)
	c.Subscribe("$share/g/t/#", o)
	return c
}

func TestShareIsFair(t *testing.T) {
	for name, session := range map[string]func(string) packet.Connect{"clean": clean, "durable": durable} {
		for qos := range byte(3) {
			t.Run(fmt.Sprintf("%s, QoS %d", name, qos), func(t *testing.T) {
				in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
					var members []*brokertest.Client
					for i := range 3 {
						c := member(t, s, session(fmt.Sprint("m", i)), packet.Options(qos))
						c.AcknowledgeAll()
						members = append(members, c)
					}
					p, all := s.Pipe(), s.Pipe()
					p.Connect(clean("p"))
					all.Connect(clean("all"))
					all.Subscribe("t/#", 0) // others get everything
					for i := range 90 {
						p.Publish("t/x", fmt.Sprint(i), qos)
					}
					got := map[string]int{}
					for i, c := range members {
						if n := drain(c, got); n != 30 {
							t.Errorf("member %d got %d", i, n)
						}
					}
					if len(got) != 90 || drain(all, map[string]int{}) != 90 {
						t.Errorf("%d messages", len(got))
					}
				})
			})
		}
	}
}

// TestShareLeaves: what a member has not acknowledged at QoS 1 goes to another one.
func TestShareLeaves(t *testing.T) {
	for name, session := range map[string]func(string) packet.Connect{"clean": clean, "durable": durable} {
		t.Run(name, func(t *testing.T) {
			in(t, broker.Config{Limits: broker.Limits{MaxInflight: 5}}, func(t *testing.T, s *brokertest.Server) {
				silent, busy := member(t, s, session("silent"), 1), member(t, s, session("busy"), 1)
				busy.AcknowledgeAll()
				p := s.Pipe()
				p.Connect(clean("p"))
				for i := range 50 {
					p.Publish("t", fmt.Sprint(i), 1)
				}
				first := map[string]int{}
				if n := drain(silent, first); n != 5 {
					t.Errorf("the silent one got %d, more than its window", n)
				}
				got := map[string]int{}
				drain(busy, got)
				silent.Close()
				drain(busy, got)
				if len(got) != 50 {
					t.Errorf("the other one got %d of 50", len(got))
				}
			})
		})
	}
}

// TestShareWaits: a durable share keeps what is published while nobody is there,
// also through a crash, for whoever comes first.
func TestShareWaits(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		for _, id := range []string{"a", "b"} {
			member(t, s, durable(id), 1).Close()
		}
		synctest.Wait()
		p := s.Pipe()
		p.Connect(clean("p"))
		for i := range 600 {
			p.Publish("t", fmt.Sprint(i), 1)
		}
		s = s.Crash()
		b := s.Pipe()
		b.AcknowledgeAll()
		b.Connect(durable("b"))
		got := map[string]int{}
		if drain(b, got); len(got) != 600 {
			t.Fatalf("got %d of 600", len(got))
		}
		p = s.Pipe()
		p.Connect(clean("p"))
		p.Publish("t", "live", 1)
		if drain(b, got); got["live"] != 1 {
			t.Error("not live again")
		}
		if st := s.Store.Status(); st.Messages+uint64(st.Held) != 0 {
			t.Errorf("still owed: %+v", st)
		}
		for _, id := range []string{"a", "b"} { // the last one takes the share with it
			end := durable(id)
			end.CleanStart = true
			s.Pipe().Connect(end)
		}
		p.Publish("t", "for nobody", 1)
		if st := s.Store.Status(); st.Messages+uint64(st.Held) != 0 {
			t.Errorf("still owed: %+v", st)
		}
	})
}

// TestShareExactlyOnce: what was begun at QoS 2 stays with its client
// [MQTT-4.8.2-4], through a crash, and goes to nobody when its session ends
// [MQTT-4.8.2-5].
func TestShareExactlyOnce(t *testing.T) {
	for name, crash := range map[string]bool{"reconnect": false, "crash": true} {
		for _, ends := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, session ends %v", name, ends), func(t *testing.T) {
				in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
					a := member(t, s, durable("a"), 2)
					b := member(t, s, durable("b"), 2)
					p := s.Pipe()
					p.Connect(clean("p"))
					p.Publish("t", "1", 2)
					p.Publish("t", "2", 2)
					first := a.NextPublish()
					b.Receive("t", "2")
					a.Close()
					if crash {
						synctest.Wait()
						s = s.Crash()
						b = s.Pipe()
						b.AcknowledgeAll() // it may be released again
						b.Connect(durable("b"))
					}
					b.ExpectNothing()
					hello := durable("a")
					hello.CleanStart = ends
					a = s.Pipe()
					a.Connect(hello)
					if ends {
						a.ExpectNothing()
					} else if m := a.Receive("t", "1"); !m.Dup || m.PacketID != first.PacketID {
						t.Errorf("got %s", brokertest.Show(m))
					}
					b.ExpectNothing()
					synctest.Wait()
					if st := s.Store.Status(); st.Messages+uint64(st.Held) != 0 {
						t.Errorf("still owed: %+v", st)
					}
				})
			})
		}
	}
}

// TestShareEndsUnseen: what was begun at QoS 2 by a session that ends before it has
// come again after a crash goes to nobody, also after the next crash [MQTT-4.8.2-5].
func TestShareEndsUnseen(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		a := member(t, s, durable("a"), 2)
		p := s.Pipe()
		p.Connect(clean("p"))
		p.Publish("t", "1", 2)
		a.NextPublish()
		member(t, s, durable("b"), 2).Close()
		synctest.Wait()
		s = s.Crash()
		end := durable("a")
		end.CleanStart = true
		s.Pipe().Connect(end)
		synctest.Wait()
		s = s.Crash()
		b := s.Pipe()
		b.Connect(durable("b"))
		b.ExpectNothing()
		if st := s.Store.Status(); st.Messages+uint64(st.Held) != 0 {
			t.Errorf("still owed: %+v", st)
		}
	})
}

// TestShareHeldByNoMember: who has left a share and not yet acknowledged what it got
// from it keeps that for as long as it is there, whoever else comes and goes.
func TestShareHeldByNoMember(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		a := member(t, s, durable("a"), 1)
		p := s.Pipe()
		p.Connect(clean("p"))
		p.Publish("t", "1", 1)
		a.NextPublish()
		b := member(t, s, durable("b"), 1)
		a.Send(&packet.Unsubscribe{PacketID: 9, Filters: [][]byte{[]byte("$share/g/t/#")}})
		a.Expect(&packet.Unsuback{PacketID: 9, Reasons: []packet.Reason{0}})
		b.Close()
		synctest.Wait()
		b = s.Pipe()
		b.Connect(durable("b"))
		b.ExpectNothing()
		a.Close()
		b.Receive("t", "1")
		b.ExpectNothing()
	})
}

// TestShareRefused: what a member refuses goes to nobody [MQTT-4.8.2-6].
func TestShareRefused(t *testing.T) {
	for qos, kind := range map[byte]packet.Type{1: packet.PUBACK, 2: packet.PUBREC} {
		in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
			a, b := member(t, s, durable("a"), packet.Options(qos)), member(t, s, durable("b"), packet.Options(qos))
			p := s.Pipe()
			p.Connect(clean("p"))
			p.Send(&packet.Publish{Topic: []byte("t"), QoS: qos, PacketID: 1})
			m := a.NextPublish()
			a.Send(&packet.Ack{Kind: kind, PacketID: m.PacketID, Reason: packet.UnspecifiedError})
			a.ExpectNothing()
			b.ExpectNothing()
			a.Close()
			b.ExpectNothing()
		})
	}
}

func TestShareOptions(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		p := s.Pipe()
		p.Connect(clean("p"))
		retain(t, p, "t", "old", 1)
		a := s.Pipe()
		a.Connect(clean("a"))
		a.Send(&packet.Subscribe{
			PacketID: 1, Properties: &packet.Properties{SubscriptionIDs: []uint32{7}},
			Filters: []packet.Filter{{Filter: []byte("$share/g/t/#"), Options: 8}},
		})
		a.Expect(&packet.Suback{PacketID: 1, Reasons: []packet.Reason{0}})
		a.ExpectNothing() // no retained messages for a share
		b := member(t, s, durable("b"), 2)
		b.ExpectNothing()
		retain(t, p, "t", "1", 2)
		retain(t, p, "t", "2", 2)
		if m := a.Receive("t", "1"); m.QoS != 0 || !m.Retain || m.Properties.SubscriptionIDs[0] != 7 { // [MQTT-4.8.2-3]
			t.Errorf("got %s", brokertest.Show(m))
		}
		if m := b.Receive("t", "2"); m.QoS != 2 || m.Retain || m.Properties != nil {
			t.Errorf("got %s", brokertest.Show(m))
		}
		b.Send(&packet.Unsubscribe{PacketID: 9, Filters: [][]byte{[]byte("t/#"), []byte("$share/g/t/#")}})
		b.Expect(&packet.Unsuback{PacketID: 9, Reasons: []packet.Reason{packet.NoSubscriptionExisted, 0}})
		p.Publish("t", "3", 0)
		p.Publish("t", "4", 0)
		a.Receive("t", "3")
		a.Receive("t", "4")
		b.ExpectNothing()
	})
}
