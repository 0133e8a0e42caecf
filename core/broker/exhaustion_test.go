package broker_test

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

func TestHeldPacketIDs(t *testing.T) {
	onBoth(t, "D1 one id again and again", broker.Config{}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		r, c := join(s, lasting(v, "r")), join(s, lasting(v, "c"))
		r.Subscribe("#", 0)
		for i := range 10_000 {
			c.Send(&packet.Publish{Topic: []byte("t"), QoS: 2, PacketID: 1, Dup: i > 0})
			c.Expect(&packet.Ack{Kind: packet.PUBREC, PacketID: 1})
		}
		r.Receive("t", "")
		r.ExpectNothing()
	})
	t.Run("D1 more than the receive maximum", func(t *testing.T) {
		in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
			c := join(s, lasting(packet.V5, "c"))
			for pid := range uint16(256) {
				c.Send(&packet.Publish{Topic: []byte("t"), QoS: 2, PacketID: pid + 1})
				c.Next()
			}
			c.Send(&packet.Publish{Topic: []byte("t"), QoS: 2, PacketID: 257})
			c.ExpectReason(packet.ReceiveMaximumExceeded)
		})
	})
	t.Run("D1 all ids, MQTT 3.1.1", func(t *testing.T) { // which knows no maximum: as many as there are
		in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
			c := join(s, lasting(packet.V311, "c"))
			for pid := range uint16(65_535) {
				c.Send(&packet.Publish{Topic: []byte("t"), QoS: 2, PacketID: pid + 1})
				if ack, ok := c.Next().(*packet.Ack); !ok || ack.Kind != packet.PUBREC {
					t.Fatal("no PUBREC")
				}
			}
			alive(t, s)
		})
	})
}

func TestOfflineSessionIsBounded(t *testing.T) {
	onBoth(t, "D2", broker.Config{}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		r := join(s, lasting(v, "r"))
		r.Subscribe("t", 1)
		r.Close()
		c := join(s, lasting(v, "c"))
		c.Publish("t", "kept", 1)
		s.Store.SetFull(true)
		c.Send(&packet.Publish{Topic: []byte("t"), QoS: 1, PacketID: 900})
		if v >= packet.V5 {
			c.Expect(&packet.Ack{Kind: packet.PUBACK, PacketID: 900, Reason: packet.QuotaExceeded})
		} else {
			c.ExpectClosed() // there is no word for it, and an acknowledgement would be a lie
		}
		if n := s.Status().Dropped[core.DroppedStoreFull]; n != 1 {
			t.Errorf("%d counted", n)
		}
	})
}

// quotaOf is what a CONNECT beyond a quota is told.
func quotaOf(v packet.Version, r packet.Reason) packet.Reason {
	if v < packet.V5 {
		return r.V3()
	}
	return r
}

func TestSessionsOfOneUser(t *testing.T) {
	cfg := broker.Config{Auth: users{"alice": "x", "bob": "x"}, Limits: broker.Limits{MaxSessionsPerUser: 3}}
	onBoth(t, "D3", cfg, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		for i := range 3 {
			s.Pipe().Connect(as(v, "alice", "x", fmt.Sprint(i), false))
		}
		if ack := s.Pipe().TryConnect(as(v, "alice", "x", "3", false)); ack.Reason != quotaOf(v, packet.QuotaExceeded) {
			t.Errorf("got %s", ack.Reason)
		}
		s.Pipe().Connect(as(v, "alice", "x", "2", false)) // one that is there comes back
		s.Pipe().Connect(as(v, "bob", "x", "3", false))   // others are not concerned
	})
}

func TestOverlappingFilters(t *testing.T) {
	onBoth(t, "D4", broker.Config{Limits: broker.Limits{MaxSubscriptions: 1000}}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		c := join(s, lasting(v, "c"))
		// All of 1,024 filters of ten levels match the same topic.
		p := &packet.Subscribe{PacketID: 1}
		for i := range 1024 {
			var filter []byte
			for bit := range 10 {
				level := "/a"
				if i>>bit&1 == 1 {
					level = "/+"
				}
				filter = append(filter, level...)
			}
			p.Filters = append(p.Filters, packet.Filter{Filter: filter})
		}
		c.Send(p)
		refused := 0
		for _, r := range c.Next().(*packet.Suback).Reasons {
			if r.IsError() {
				refused++
			}
		}
		if refused != 24 {
			t.Errorf("%d filters refused, want those beyond 1000", refused)
		}
		w := join(s, lasting(v, "w"))
		for range 100 {
			w.Publish("/a/a/a/a/a/a/a/a/a/a", "x", 0)
			c.Receive("/a/a/a/a/a/a/a/a/a/a", "x") // one copy
		}
		c.ExpectNothing()
		c.Subscribe(string(p.Filters[0].Filter), 0) // what is there may be subscribed to again
	})
}

func TestRetainedBytes(t *testing.T) {
	cfg := broker.Config{Limits: broker.Limits{MaxRetainedBytes: 100 << 10}}
	onBoth(t, "D5 retained", cfg, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		c := join(s, lasting(v, "c"))
		payload := bytes.Repeat([]byte("x"), 1000)
		retain := func(name string, payload []byte, qos byte, pid uint16) {
			c.Send(&packet.Publish{Topic: []byte(name), Payload: payload, QoS: core.QoS(qos), PacketID: pid, Retain: true})
		}
		for i := range 1000 {
			retain(fmt.Sprint("t/", i), payload, 0, 0)
		}
		c.ExpectNothing()
		st := s.Status()
		if st.RetainedBytes > 100<<10 || st.Retained < 50 || st.Dropped[core.DroppedRetainedFull] != uint64(1000-st.Retained) {
			t.Errorf("%d bytes in %d, %d dropped", st.RetainedBytes, st.Retained, st.Dropped[core.DroppedRetainedFull])
		}
		for i := range 10 { // one that takes the place of another fits, and none makes room
			retain("t/0", payload, 0, 0)
			retain(fmt.Sprint("t/", i), nil, 0, 0)
			retain(fmt.Sprint("u/", i), payload, 0, 0)
		}
		c.ExpectNothing()
		if after := s.Status(); after.Retained != st.Retained && after.Retained != st.Retained+1 {
			t.Errorf("%d retained, before %d", after.Retained, st.Retained)
		}
		if err := s.Publish(&core.Message{Topic: "inside", Payload: payload, Retain: true}); err != nil {
			t.Fatal(err)
		}
		retain("one more", payload, 1, 7)
		if v >= packet.V5 {
			c.Expect(&packet.Ack{Kind: packet.PUBACK, PacketID: 7, Reason: packet.QuotaExceeded})
		} else {
			c.ExpectClosed()
		}
		after := s.Crash().Status() // what is counted is what there is
		if after.RetainedBytes > 100<<10 {
			t.Errorf("%d bytes after a restart", after.RetainedBytes)
		}
	})
}

func TestWillBytes(t *testing.T) {
	will := func(v packet.Version, id string) packet.Connect {
		p := lasting(v, id)
		p.Will = &packet.Will{Topic: []byte("w"), Payload: bytes.Repeat([]byte("x"), 10_000)}
		if v >= packet.V5 {
			p.Will.Properties = &packet.Properties{WillDelay: new(uint32(600))}
		}
		return p
	}
	onBoth(t, "D5 wills", broker.Config{Limits: broker.Limits{MaxWillBytes: 25_000}}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		a, b := join(s, will(v, "a")), join(s, will(v, "b"))
		if ack := s.Pipe().TryConnect(will(v, "c")); ack.Reason != quotaOf(v, packet.QuotaExceeded) {
			t.Errorf("got %s", ack.Reason)
		}
		s.Pipe().Connect(lasting(v, "c")) // without one
		a.Send(&packet.Disconnect{})
		a.ExpectClosed()
		s.Pipe().Connect(will(v, "c"))
		b.Close()
		synctest.Wait()
		time.Sleep(time.Hour)
		s.Pipe().Connect(will(v, "d"))
	})
}

func TestReconnectRate(t *testing.T) {
	onBoth(t, "D7", broker.Config{Limits: broker.Limits{ReconnectRate: 2}}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		refused := 0
		for range 100 { // one second
			c := s.Pipe()
			if ack := c.TryConnect(lasting(v, "c")); ack.Reason == quotaOf(v, packet.ConnectionRateExceeded) {
				refused++
			}
			c.Close()
			time.Sleep(10 * time.Millisecond)
		}
		if refused < 85 || refused > 89 { // five seconds' worth at once, and two in this one
			t.Errorf("%d of 100 refused", refused)
		}
		s.Pipe().Connect(lasting(v, "d"))
		time.Sleep(time.Second)
		s.Pipe().Connect(lasting(v, "c"))
	})
}

func TestPublishRate(t *testing.T) {
	onBoth(t, "D7 publications", broker.Config{Limits: broker.Limits{PublishRate: 100}}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		r, c, other := join(s, lasting(v, "r")), join(s, lasting(v, "c")), join(s, lasting(v, "o"))
		r.Subscribe("#", 0)
		start := time.Now()
		held := make(chan struct{})
		go func() {
			for i := range 1000 {
				if i == 500 {
					close(held)
				}
				c.Write(raw(&packet.Publish{Topic: []byte("t"), Payload: fmt.Append(nil, i)}, v)...)
			}
		}()
		<-held
		before := time.Now()
		other.Publish("o", "", 1) // is not kept waiting
		if took := time.Since(before); took > time.Second {
			t.Errorf("another client was kept waiting for %v", took)
		}
		for i := 0; i < 1000; { // nothing is lost, and the order is kept
			switch m := r.NextPublish(); {
			case string(m.Topic) == "o":
			case string(m.Payload) != fmt.Sprint(i):
				t.Fatalf("message %s came in the place of %d", m.Payload, i)
			default:
				i++
			}
		}
		if took := time.Since(start); took < 8900*time.Millisecond || took > 9200*time.Millisecond {
			t.Errorf("1000 messages took %v", took)
		}
		if s.Status().Held == 0 {
			t.Error("it is not counted")
		}
		c.Send(&packet.Pingreq{})
		c.Expect(&packet.Pingresp{})
	})
}
