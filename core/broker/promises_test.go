package broker_test

import (
	"testing"
	"testing/synctest"

	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

// The promises of acknowledgements, when a connection ends at the wrong moment.

func exact(pid uint16, name, payload string, dup bool) *packet.Publish {
	return &packet.Publish{Topic: []byte(name), Payload: []byte(payload), QoS: 2, PacketID: pid, Dup: dup}
}

// TestReleasedTwice: PUBCOMP says that the packet id is free. To say so of one whose end is
// not on disk, because the PUBREL has come before, would lose the next message that has it:
// after a kill it would be taken for a repetition.
func TestReleasedTwice(t *testing.T) {
	for name, again := range map[string]func(*brokertest.Server, *brokertest.Client, packet.Version) *brokertest.Client{
		"on one connection": func(_ *brokertest.Server, p *brokertest.Client, _ packet.Version) *brokertest.Client { return p },
		"on the next": func(s *brokertest.Server, p *brokertest.Client, v packet.Version) *brokertest.Client {
			p.Close()
			synctest.Wait()
			return join(s, lasting(v, "p"))
		},
	} {
		onBoth(t, name, broker.Config{}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
			p, r := join(s, lasting(v, "p")), join(s, lasting(v, "r"))
			r.AcknowledgeAll()
			r.Subscribe("t", 2)
			p.Send(exact(7, "t", "x", false))
			p.Expect(&packet.Ack{Kind: packet.PUBREC, PacketID: 7})
			r.Receive("t", "x")
			s.Store.Hold(true)
			rel := &packet.Ack{Kind: packet.PUBREL, PacketID: 7}
			p.Send(rel)
			synctest.Wait()
			p = again(s, p, v)
			p.Send(rel)
			p.ExpectNothing()

			s = s.Crash()
			p, r = join(s, lasting(v, "p")), join(s, connect(v))
			r.AcknowledgeAll()
			r.Subscribe("t", 2)
			p.Send(rel)
			p.Expect(&packet.Ack{Kind: packet.PUBCOMP, PacketID: 7})
			p.Send(exact(7, "t", "y", false))
			p.Expect(&packet.Ack{Kind: packet.PUBREC, PacketID: 7})
			r.Receive("t", "y")
		})
	}
}

// TestUnsubscribedTwice: nor does UNSUBACK say that a subscription is over which a kill would
// bring back.
func TestUnsubscribedTwice(t *testing.T) {
	onBoth(t, "on two connections", broker.Config{}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		c := join(s, lasting(v, "c"))
		c.Subscribe("t", 1)
		s.Store.Hold(true)
		end := &packet.Unsubscribe{PacketID: 9, Filters: [][]byte{[]byte("t")}}
		c.Send(end)
		c.Close()
		synctest.Wait()
		c = join(s, lasting(v, "c"))
		c.Send(end)
		c.ExpectNothing()
		s.Store.Hold(false)
		synctest.Wait()
		if _, ok := c.Next().(*packet.Unsuback); !ok {
			t.Error("no UNSUBACK")
		}
	})
}

// TestRefusedUnheard: a message that was refused is not held. Its refusal waits behind what
// has come before it, and may never leave; a repetition on the next connection is a message
// like any other.
func TestRefusedUnheard(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		p, r := join(s, lasting(packet.V5, "p")), join(s, lasting(packet.V5, "r"))
		r.AcknowledgeAll()
		r.Subscribe("t", 2)
		s.Store.Hold(true)
		p.Send(exact(7, "t", "x", false))
		synctest.Wait()
		s.Store.SetFull(true)
		p.Send(exact(8, "t", "y", false))
		p.ExpectNothing() // two answers, which leave in order
		p.Close()
		synctest.Wait()
		fillStore(s, false)
		p = join(s, lasting(packet.V5, "p"))
		p.Send(exact(7, "t", "x", true))
		p.Expect(&packet.Ack{Kind: packet.PUBREC, PacketID: 7})
		p.Send(exact(8, "t", "y", true))
		p.Expect(&packet.Ack{Kind: packet.PUBREC, PacketID: 8})
		r.Receive("t", "x")
		r.Receive("t", "y")
		r.ExpectNothing()
	})
}
