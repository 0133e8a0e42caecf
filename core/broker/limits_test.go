package broker_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

func TestMaxSessions(t *testing.T) { // D3
	in(t, broker.Config{Limits: broker.Limits{MaxSessions: 3}}, func(t *testing.T, s *brokertest.Server) {
		for i := range 3 {
			s.Pipe().Connect(durable(fmt.Sprint(i)))
		}
		c := s.Pipe()
		if ack := c.TryConnect(durable("one more")); ack.Reason != packet.QuotaExceeded {
			t.Errorf("got %s", ack.Reason)
		}
		s.Pipe().Connect(durable("0")) // one that is there may come back
	})
}

func TestMaxSubscriptions(t *testing.T) { // D4
	in(t, broker.Config{Limits: broker.Limits{MaxSubscriptions: 3}}, func(t *testing.T, s *brokertest.Server) {
		c := s.Pipe()
		c.Connect(clean("c"))
		p := &packet.Subscribe{PacketID: 1}
		for i := range 5 {
			p.Filters = append(p.Filters, packet.Filter{Filter: fmt.Append(nil, i)})
		}
		c.Send(p)
		c.Expect(&packet.Suback{PacketID: 1, Reasons: []packet.Reason{0, 0, 0, packet.QuotaExceeded, packet.QuotaExceeded}})
		c.Send(&packet.Unsubscribe{PacketID: 2, Filters: [][]byte{[]byte("1")}})
		c.Expect(&packet.Unsuback{PacketID: 2, Reasons: []packet.Reason{0}})
		c.Subscribe("5", 0)
	})
}

// TestManySubscriptions: a session with many of them is ended in slices.
func TestManySubscriptions(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		c := s.Pipe()
		c.Connect(durable("c"))
		p := &packet.Subscribe{PacketID: 1}
		for i := range 5000 {
			p.Filters = append(p.Filters, packet.Filter{Filter: fmt.Appendf(nil, "a/%d/+", i), Options: 1})
		}
		c.Send(p)
		if ack, ok := c.Next().(*packet.Suback); !ok || len(ack.Reasons) != 5000 {
			t.Fatal("not subscribed")
		}
		c.Close()
		other := s.Pipe()
		hello := durable("c")
		hello.CleanStart = true
		other.Connect(hello)
		synctest.Wait()
		if n := s.Status().Subscriptions; n != 0 {
			t.Errorf("%d subscriptions left", n)
		}
	})
}
