package broker_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

// TestOrderAcrossQoS: what a publisher sends to a topic arrives in its order,
// although a message of QoS 2 waits for the disk and others don't.
func TestOrderAcrossQoS(t *testing.T) {
	for name, hello := range map[string]packet.Connect{"clean": clean("r"), "durable": durable("r")} {
		for granted := range byte(3) {
			t.Run(fmt.Sprintf("%s, granted %d", name, granted), func(t *testing.T) {
				in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
					p, r, keeper := s.Pipe(), s.Pipe(), s.Pipe()
					p.Connect(durable("p"))
					keeper.Connect(durable("keeper")) // QoS 2 is owed to somebody
					keeper.Subscribe("#", 2)
					r.Connect(hello)
					r.Subscribe("#", packet.Options(granted))
					r.AcknowledgeAll()
					keeper.AcknowledgeAll()
					s.Store.Hold(true)
					send := func(topic, payload string, qos byte) {
						m := &packet.Publish{Topic: []byte(topic), Payload: []byte(payload), QoS: qos}
						if qos > 0 {
							m.PacketID = p.NextID()
						}
						p.Send(m)
					}
					send("t", "1", 2)
					send("t", "2", 1)
					send("t", "3", 0)
					send("t", "4", 2)
					send("t", "5", 1)
					send("u", "another topic", 1)
					synctest.Wait()
					// Another topic, another publisher: nobody waits.
					if m := r.NextPublish(); string(m.Topic) != "u" {
						t.Errorf("got %s", brokertest.Show(m))
					}
					s.Broker.Publish(&core.Message{Topic: "t", Payload: []byte("inside"), QoS: 1, Publisher: "adapter:a"})
					if m := r.NextPublish(); string(m.Payload) != "inside" {
						t.Errorf("got %s", brokertest.Show(m))
					}
					r.ExpectNothing()
					s.Store.Hold(false)
					for i := range 5 {
						if m := r.NextPublish(); string(m.Payload) != fmt.Sprint(i+1) {
							t.Fatalf("message %d: %s", i+1, brokertest.Show(m))
						}
					}
					r.ExpectNothing()
				})
			})
		}
	}
}

// TestOrderAcrossReconnect: a receiver that comes back in the middle finds the
// stored and the live ones in one order.
func TestOrderAcrossReconnect(t *testing.T) {
	in(t, broker.Config{Limits: broker.Limits{MaxInflight: 3}}, func(t *testing.T, s *brokertest.Server) {
		p := s.Pipe()
		p.Connect(durable("p"))
		p.AcknowledgeAll()
		r := s.Pipe()
		r.Connect(durable("r"))
		r.Subscribe("t", 2)
		r.AcknowledgeAll()
		next, n := 0, 0
		send := func() {
			n++
			p.Send(&packet.Publish{Topic: []byte("t"), Payload: fmt.Append(nil, n), QoS: byte(1 + n%2), PacketID: uint16(n)})
			synctest.Wait()
			for a, ok := p.Poll(); ok; a, ok = p.Poll() {
				if a, ok := a.(*packet.Ack); ok && a.Kind == packet.PUBREC {
					p.Send(&packet.Ack{Kind: packet.PUBREL, PacketID: a.PacketID})
				}
			}
		}
		for round := range 20 {
			s.Store.Hold(round%3 == 0)
			for range 10 {
				send()
			}
			s.Store.Hold(false)
			synctest.Wait()
			for m, ok := r.Poll(); ok; m, ok = r.Poll() {
				var got int
				fmt.Sscan(string(m.(*packet.Publish).Payload), &got)
				if got > next+1 {
					t.Fatalf("got %d after %d", got, next)
				}
				next = max(next, got)
			}
			if round%4 == 3 {
				r.Close()
				r = s.Pipe()
				r.AcknowledgeAll()
				r.Connect(durable("r"))
			}
		}
		if next != n {
			t.Errorf("got %d of %d", next, n)
		}
	})
}
