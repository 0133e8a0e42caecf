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

func TestAllSubscriptions(t *testing.T) { // D4, by several sessions
	cfg := broker.Config{Limits: broker.Limits{MaxAllSubscriptions: 5}}
	onBoth(t, "D4 of all", cfg, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		a, b := join(s, lasting(v, "a")), join(s, lasting(v, "b"))
		for i := range 4 {
			a.Subscribe(fmt.Sprint("t/", i), 0)
		}
		b.Subscribe("t", 0)
		want := packet.QuotaExceeded
		if v < packet.V5 {
			want = packet.UnspecifiedError
		}
		b.Send(&packet.Subscribe{PacketID: 9, Filters: []packet.Filter{{Filter: []byte("u")}, {Filter: []byte("t")}}})
		b.Expect(&packet.Suback{PacketID: 9, Reasons: []packet.Reason{want, 0}}) // what is there may be subscribed to again
		a.Close()
		hello := lasting(v, "a")
		hello.CleanStart = true
		s.Pipe().Connect(hello)
		synctest.Wait()
		b.Subscribe("u", 0)
	})
}

// TestHalfPackets: large packets of which the end never comes take bounded memory all
// together. Small ones are let come whole, and those that do are taken.
func TestHalfPackets(t *testing.T) {
	cfg := broker.Config{Limits: broker.Limits{MaxPendingBytes: 200 << 10}}
	onBoth(t, "of all", cfg, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		whole := raw(&packet.Publish{Topic: []byte("t"), Payload: make([]byte, 100<<10)}, v)
		r := join(s, lasting(v, "r"))
		r.Subscribe("#", 0)
		slow := join(s, lasting(v, "slow")) // it came first, and is slow without meaning harm
		slow.Write(whole[:1000]...)
		var hostile []*brokertest.Client
		for i := range 4 {
			c := join(s, lasting(v, fmt.Sprint("hostile ", i)))
			c.Write(whole[:90<<10]...)
			synctest.Wait()
			hostile = append(hostile, c)
		}
		slow.Write(whole[1000:2000]...)
		small := raw(&packet.Publish{Topic: []byte("small"), Payload: []byte("x")}, v)
		slow2 := join(s, lasting(v, "slow 2"))
		slow2.Write(small[:5]...)
		synctest.Wait()
		slow2.Write(small[5:]...)
		r.Receive("small", "x")
		ended := s.Status().Refused[packet.QuotaExceeded.String()]
		if ended < 2 {
			t.Errorf("%d were ended", ended)
		}
		for _, c := range hostile {
			c.Close()
		}
		synctest.Wait()
		slow.Write(whole[2000:]...)
		if m := r.NextPublish(); len(m.Payload) != 100<<10 {
			t.Errorf("%d bytes", len(m.Payload))
		}
	})
}

// TestOneUserOfAllDevices: by default one user may have as many sessions as may be
// connected.
func TestOneUserOfAllDevices(t *testing.T) {
	cfg := broker.Config{Auth: users{"plant": "x"}, Limits: broker.Limits{MaxConnections: 8}}
	onBoth(t, "D3 by default", cfg, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		for i := range 8 {
			c := s.Pipe()
			c.Connect(as(v, "plant", "x", fmt.Sprint(i), false))
			c.Close()
			synctest.Wait()
		}
		if ack := s.Pipe().TryConnect(as(v, "plant", "x", "one more", false)); ack.Reason != quotaOf(v, packet.QuotaExceeded) {
			t.Errorf("got %s", ack.Reason)
		}
		for i := range 8 {
			s.Pipe().Connect(as(v, "plant", "x", fmt.Sprint(i), false)) // all of them are there again
		}
	})
}
