package broker_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

func retain(t *testing.T, p *brokertest.Client, topic, payload string, qos byte) {
	t.Helper()
	p.PublishPacket(packet.Publish{Topic: []byte(topic), Payload: []byte(payload), QoS: qos, Retain: true})
}

func TestRetained(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		p, r := s.Pipe(), s.Pipe()
		p.Connect(clean("p"))
		r.Connect(clean("r"))
		r.AcknowledgeAll()
		retain(t, p, "a/1", "old", 1)
		retain(t, p, "a/1", "new", 2) // [MQTT-3.3.1-5]
		retain(t, p, "a/2", "gone", 1)
		retain(t, p, "a/2", "", 1)   // [MQTT-3.3.1-6] [MQTT-3.3.1-7]
		p.Publish("a/1", "plain", 1) // [MQTT-3.3.1-8]
		retain(t, p, "b", "x", 0)
		const newOnly, never = 1 << 4, 2 << 4
		r.Subscribe("a/+", 1)
		if m := r.Receive("a/1", "new"); !m.Retain || m.QoS != 1 {
			t.Errorf("got %s", brokertest.Show(m))
		}
		r.Subscribe("a/+", 1|newOnly) // [MQTT-3.3.1-10]
		r.ExpectNothing()
		r.Subscribe("#", 2|newOnly)
		r.Receive("a/1", "new")
		r.Receive("b", "x")
		r.Subscribe("b", 2|never) // [MQTT-3.3.1-11]
		r.ExpectNothing()
		r.Subscribe("#", 0) // again [MQTT-3.8.4-4]
		r.Receive("a/1", "new")
		r.Receive("b", "x")
		retain(t, p, "a/1", "", 0)
		if m := r.NextPublish(); len(m.Payload) != 0 { // passed on [MQTT-3.3.1-6]
			t.Errorf("got %s", brokertest.Show(m))
		}
		if n := s.Status().Retained; n != 1 {
			t.Errorf("%d retained", n)
		}
	})
}

// TestRetainedIsDurable: at QoS 1 with the acknowledgement, at QoS 0 within the
// flush time.
func TestRetainedIsDurable(t *testing.T) {
	in(t, broker.Config{RetainedFlush: 10 * time.Second}, func(t *testing.T, s *brokertest.Server) {
		p := s.Pipe()
		p.Connect(clean("p"))
		s.Store.Hold(true)
		p.Send(&packet.Publish{Topic: []byte("eager"), Payload: []byte("x"), QoS: 1, Retain: true, PacketID: 1})
		p.ExpectNothing()
		s.Store.Hold(false)
		p.Expect(&packet.Ack{Kind: packet.PUBACK, PacketID: 1, Reason: packet.NoMatchingSubscribers})
		for i := range 1000 {
			retain(t, p, "lazy", fmt.Sprint(i), 0)
			s.Publish(&core.Message{Topic: "reading", Payload: fmt.Append(nil, i), QoS: 1, Retain: true})
		}
		synctest.Wait()
		if got := retainedAfter(t, s); got != "eager=x" {
			t.Errorf("at once: %s", got)
		}
		commits := s.Store.Commits()
		time.Sleep(10 * time.Second)
		retain(t, p, "eager", "y", 1) // the lazy ones ride with it
		if got := retainedAfter(t, s); got != "eager=y lazy=999 reading=999" {
			t.Errorf("after the flush: %s", got)
		}
		if n := s.Store.Commits() - commits; n != 1 {
			t.Errorf("%d commits", n)
		}
		retain(t, p, "lazy", "", 0)
		retain(t, p, "eager", "", 1)
		s.Stop() // flushes
		s.Store.Commit()
		if got := retainedAfter(t, s); got != "reading=999" {
			t.Errorf("at the end: %s", got)
		}
	})
}

// retainedAfter is what a broker has that finds the store after a crash now.
func retainedAfter(t *testing.T, s *brokertest.Server) string {
	t.Helper()
	other := brokertest.StartOn(t, broker.Config{}, s.Store.Crash())
	defer other.Stop()
	c := other.Pipe()
	c.Connect(packet.Connect{CleanStart: true})
	c.Subscribe("#", 0)
	var all []string
	for range other.Status().Retained {
		m := c.NextPublish()
		all = append(all, fmt.Sprintf("%s=%s", m.Topic, m.Payload))
	}
	return strings.Join(all, " ")
}

// TestRetainedExpires: what has expired goes from memory and from the store, also
// when nobody asks for it; what has not stays.
func TestRetainedExpires(t *testing.T) {
	in(t, broker.Config{RetainedFlush: time.Second}, func(t *testing.T, s *brokertest.Server) {
		p := s.Pipe()
		p.Connect(clean("p"))
		expires := func(topic string, seconds uint32) {
			p.PublishPacket(packet.Publish{
				Topic: []byte(topic), Payload: []byte("x"), QoS: 1, Retain: true,
				Properties: &packet.Properties{MessageExpiry: &seconds},
			})
		}
		for i := range 500 {
			expires(fmt.Sprint("soon/", i), 30)
		}
		expires("later", 100)
		retain(t, p, "never", "x", 1)
		for _, c := range []struct {
			wait time.Duration
			n    int
			kept string
		}{{70 * time.Second, 2, "later=x never=x"}, {70 * time.Second, 1, "never=x"}, {time.Hour, 1, "never=x"}} {
			time.Sleep(c.wait)
			retain(t, p, "never", "x", 1) // what is lazy rides with it
			synctest.Wait()
			if n := s.Status().Retained; n != c.n {
				t.Errorf("%d retained, want %d", n, c.n)
			}
			if got := retainedAfter(t, s); got != c.kept {
				t.Errorf("in the store: %.60s, want %s", got, c.kept)
			}
		}
	})
}

// TestManyRetained: all of them arrive, however many, and others are served
// meanwhile.
func TestManyRetained(t *testing.T) {
	const n = 30_000
	for name, hello := range map[string]packet.Connect{"clean": clean("r"), "durable": durable("r")} {
		for qos := range byte(2) {
			t.Run(fmt.Sprintf("%s, QoS %d", name, qos), func(t *testing.T) {
				in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
					for i := range n {
						publishRetained(t, s, i)
					}
					r, other := s.Pipe(), s.Pipe()
					r.AcknowledgeAll()
					r.Connect(hello)
					other.Connect(clean("other"))
					r.Hold(true)
					r.Send(&packet.Subscribe{PacketID: 1, Filters: []packet.Filter{{Filter: []byte("m/#"), Options: packet.Options(qos)}}})
					other.ExpectNothing()
					r.Hold(false)
					r.Expect(&packet.Suback{PacketID: 1, Reasons: []packet.Reason{packet.Reason(qos)}})
					for i := range n {
						if m := r.NextPublish(); string(m.Topic) != fmt.Sprintf("m/%06d", i) || !m.Retain || m.QoS != qos {
							t.Fatalf("message %d: %s", i, brokertest.Show(m))
						}
					}
					r.ExpectNothing()
					if w := s.Store.Written(); w > n/100 {
						t.Errorf("%d written", w)
					}
				})
			})
		}
	}
}

func publishRetained(t *testing.T, s *brokertest.Server, i int) {
	t.Helper()
	m := &core.Message{Topic: fmt.Sprintf("m/%06d", i), Payload: []byte("x"), QoS: 1, Retain: true}
	if err := s.Publish(m); err != nil {
		t.Fatal(err)
	}
	if i%1000 == 0 {
		synctest.Wait()
	}
}

// TestReplayGoesOn: a session that loses its connection while it is being sent
// retained messages gets the rest afterwards.
func TestReplayGoesOn(t *testing.T) {
	const n = 1000
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		for i := range n {
			publishRetained(t, s, i)
		}
		r := s.Pipe()
		r.Connect(durable("r"))
		r.Subscribe("m/#", 1)
		got := map[string]bool{}
		for range 10 {
			m := r.NextPublish()
			got[string(m.Topic)] = true
			r.Acknowledge(m)
		}
		synctest.Wait()
		r.Close()
		r = s.Pipe()
		r.AcknowledgeAll()
		r.Connect(durable("r"))
		for len(got) < n {
			got[string(r.NextPublish().Topic)] = true
		}
	})
}

func TestSys(t *testing.T) {
	in(t, broker.Config{Version: "1.2.3"}, func(t *testing.T, s *brokertest.Server) {
		c := s.Pipe()
		c.Connect(clean("c"))
		c.Subscribe("#", 0)
		c.Subscribe("$SYS/broker/version", 0)
		c.Receive("$SYS/broker/version", "weir version 1.2.3")
		c.Subscribe("$SYS/broker/clients/#", 0)
		got := map[string]string{}
		for range 8 { // one is the event of this subscription
			m := c.NextPublish()
			got[string(m.Topic)] = string(m.Payload)
		}
		if got["$SYS/broker/clients/connected"] != "1" {
			t.Errorf("%v", got)
		}
		s.Pipe().Connect(clean("other"))
		if m := c.NextPublish(); string(m.Topic) != "$SYS/broker/clients/other/connected" {
			t.Errorf("got %s", brokertest.Show(m))
		}
		time.Sleep(10 * time.Second)
		for _, name := range []string{"total", "connected", "active", "maximum"} { // what has changed
			c.Receive("$SYS/broker/clients/"+name, "2")
		}
		c.ExpectNothing() // a leading wildcard does not match [MQTT-4.7.2-1]
	})
}
