package broker_test

import (
	"testing"
	"testing/synctest"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

// fillStore lets the store be as one whose disk is full: it refuses and writes nothing.
func fillStore(s *brokertest.Server, full bool) {
	s.Store.SetFull(full)
	s.Store.Hold(full)
	synctest.Wait()
}

func subscribeTo(c *brokertest.Client, pid uint16, filter string, want packet.Reason) {
	c.Send(&packet.Subscribe{PacketID: pid, Filters: []packet.Filter{{Filter: []byte(filter), Options: 1}}})
	c.Expect(&packet.Suback{PacketID: pid, Reasons: []packet.Reason{want}})
}

// TestSubscribeWithoutRoom: what cannot be kept is refused at once, is not there when
// there is room again, nor after a kill, and nothing that stands is lost by it.
func TestSubscribeWithoutRoom(t *testing.T) {
	onBoth(t, "subscribe", broker.Config{}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		no := packet.QuotaExceeded
		if v < packet.V5 {
			no = packet.UnspecifiedError
		}
		c, short := join(s, lasting(v, "c")), join(s, connect(v))
		c.AcknowledgeAll()
		subscribeTo(c, 1, "kept", 1)
		fillStore(s, true)
		subscribeTo(c, 2, "new", no)
		subscribeTo(c, 3, "kept", 1) // it is there
		c.Send(&packet.Subscribe{PacketID: 4, Filters: []packet.Filter{{Filter: []byte("kept"), Options: 2}}})
		c.Expect(&packet.Suback{PacketID: 4, Reasons: []packet.Reason{no}}) // as it was, not at QoS 2
		subscribeTo(short, 1, "new", 1)                                     // is not to be kept
		if v == packet.V5 {
			c.Send(&packet.Unsubscribe{PacketID: 5, Filters: [][]byte{[]byte("kept"), []byte("new")}})
			c.Expect(&packet.Unsuback{PacketID: 5, Reasons: []packet.Reason{packet.ImplementationSpecificError, packet.NoSubscriptionExisted}})
		}
		refused := s.Status().Refused
		if n := refused["store full: subscribe"]; n != 2 {
			t.Errorf("counted %v", refused)
		}
		check := func(s *brokertest.Server, c *brokertest.Client) {
			p := join(s, lasting(v, "p"))
			p.Publish("new", "x", 1)
			p.Publish("kept", "y", 1)
			c.Receive("kept", "y")
			c.ExpectNothing()
		}
		fillStore(s, false)
		check(s, c)
		short.Receive("new", "x")
		killed := s.Crash()
		again := join(killed, lasting(v, "c"))
		again.AcknowledgeAll()
		check(killed, again)
	})
}

// TestResubscribedBeforeItIsKept: a repeated SUBSCRIBE promises no more than the first.
func TestResubscribedBeforeItIsKept(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		c := join(s, lasting(packet.V5, "c"))
		s.Store.Hold(true)
		c.Send(&packet.Subscribe{PacketID: 1, Filters: []packet.Filter{{Filter: []byte("t"), Options: 1}}})
		synctest.Wait()
		s.Store.SetFull(true)
		subscribeTo(c, 2, "t", packet.QuotaExceeded) // whether the first will be kept is not known
		fillStore(s, false)
		c.Expect(&packet.Suback{PacketID: 1, Reasons: []packet.Reason{1}})
		fillStore(s, true)
		subscribeTo(c, 3, "t", 1)
		fillStore(s, false)
	})
}

// TestPublishWithoutRoom: what waits for more than its receivers is refused as an
// ordinary message is, though nobody durable gets it, and leaves nothing behind.
func TestPublishWithoutRoom(t *testing.T) {
	for name, m := range map[string]*packet.Publish{
		"QoS 2":                  {Topic: []byte("t"), Payload: []byte("x"), QoS: 2, PacketID: 7},
		"retained":               {Topic: []byte("t"), Payload: []byte("x"), QoS: 1, PacketID: 7, Retain: true},
		"retained and QoS 2":     {Topic: []byte("t"), Payload: []byte("x"), QoS: 2, PacketID: 7, Retain: true},
		"what was retained ends": {Topic: []byte("old"), QoS: 1, PacketID: 7, Retain: true},
	} {
		onBoth(t, name, broker.Config{}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
			p, r := join(s, lasting(v, "p")), join(s, connect(v))
			r.AcknowledgeAll()
			p.Publish("old", "there", 1)
			p.Send(&packet.Publish{Topic: []byte("old"), Payload: []byte("there"), Retain: true})
			fillStore(s, true)
			p.Send(m)
			kind := packet.PUBACK
			if m.QoS == 2 {
				kind = packet.PUBREC
			}
			if v == packet.V5 {
				p.Expect(&packet.Ack{Kind: kind, PacketID: 7, Reason: packet.QuotaExceeded})
			} else {
				p.ExpectClosed()
			}
			if n := s.Status().Dropped[core.DroppedStoreFull]; n != 1 {
				t.Errorf("%d counted", n)
			}
			r.Subscribe("#", 2)
			r.Receive("old", "there")
			r.ExpectNothing()
			fillStore(s, false)
			if v < packet.V5 {
				p = join(s, lasting(v, "p"))
			}
			p.Send(m) // the packet id is free
			reason := packet.Success
			p.Expect(&packet.Ack{Kind: kind, PacketID: 7, Reason: reason})
			r.Receive(string(m.Topic), string(m.Payload))
		})
	}
}

// TestRepeatedWithoutRoom: what was kept before is acknowledged without the disk.
func TestRepeatedWithoutRoom(t *testing.T) {
	onBoth(t, "held", broker.Config{}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		m := &packet.Publish{Topic: []byte("t"), Payload: []byte("x"), QoS: 2, PacketID: 7}
		p := join(s, lasting(v, "p"))
		p.Send(m)
		p.Expect(&packet.Ack{Kind: packet.PUBREC, PacketID: 7, Reason: noMatch(v)})
		p.Close()
		synctest.Wait()
		fillStore(s, true)
		p = join(s, lasting(v, "p"))
		m.Dup = true
		p.Send(m)
		p.Expect(&packet.Ack{Kind: packet.PUBREC, PacketID: 7})
		p.Send(&packet.Ack{Kind: packet.PUBREL, PacketID: 7})
		p.ExpectNothing() // until that is on disk
		fillStore(s, false)
		p.Expect(&packet.Ack{Kind: packet.PUBCOMP, PacketID: 7})
	})
}
