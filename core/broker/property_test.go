package broker_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

func TestMaximumPacketSize(t *testing.T) { // B17 [MQTT-3.1.2-24] [MQTT-3.1.2-25]
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		p, r := s.Pipe(), s.Pipe()
		p.Connect(clean("p"))
		hello := durable("r")
		hello.Properties.MaximumPacketSize = new(uint32(100))
		r.Connect(hello)
		r.Subscribe("t", 2)
		r.AcknowledgeAll()
		for n := range 120 {
			p.Publish("t", strings.Repeat("x", n), byte(n%3))
		}
		p.Publish("t", "end", 1)
		largest := 0
		for {
			m := r.NextPublish()
			if string(m.Payload) == "end" {
				break
			}
			largest = max(largest, m.Size(packet.V5))
		}
		if largest < 95 || largest > 100 {
			t.Errorf("largest packet has %d bytes", largest)
		}
		synctest.Wait()
		if st := s.Store.Status(); st.Messages+uint64(st.Held) != 0 || s.Status().Dropped[core.DroppedTooLarge] == 0 {
			t.Errorf("%+v, dropped %v", st, s.Status().Dropped)
		}
	})
}

func TestTopicAliases(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		p, r := s.Pipe(), s.Pipe()
		p.Connect(clean("p"))
		hello := clean("r")
		hello.Properties = &packet.Properties{TopicAliasMaximum: new(uint16(1))}
		r.Connect(hello)
		r.Subscribe("#", 0)
		alias := &packet.Properties{TopicAlias: new(uint16(7))}
		p.Send(&packet.Publish{Topic: []byte("a"), Properties: alias}, &packet.Publish{Properties: alias}, &packet.Publish{Topic: []byte("b")}, &packet.Publish{Properties: alias})
		want := func(topic string) { // [MQTT-3.1.2-26]
			t.Helper()
			if m := r.NextPublish(); string(m.Topic) != topic || *m.Properties.TopicAlias != 1 {
				t.Errorf("got %s", brokertest.Show(m))
			}
		}
		want("a")
		want("")
		want("b")
		want("a")
		p.Close()
		p = s.Pipe()
		p.Connect(clean("p"))
		p.Send(&packet.Publish{Properties: alias}) // [MQTT-3.3.2-7]
		p.ExpectReason(packet.ProtocolError)
	})
}

func TestMessageExpiry(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		p, r := s.Pipe(), s.Pipe()
		p.Connect(clean("p"))
		r.Connect(durable("r"))
		r.Subscribe("t", 1)
		r.Close()
		synctest.Wait()
		for _, seconds := range []uint32{5, 20} {
			p.PublishPacket(packet.Publish{Topic: []byte("t"), QoS: 1, Properties: &packet.Properties{MessageExpiry: new(seconds)}})
		}
		p.PublishPacket(packet.Publish{Topic: []byte("t"), Payload: []byte("x"), QoS: 1, Retain: true, Properties: &packet.Properties{MessageExpiry: new(uint32(30))}})
		time.Sleep(7 * time.Second)
		r = s.Pipe()
		r.Connect(durable("r"))
		if m := r.Receive("t", ""); *m.Properties.MessageExpiry != 13 { // [MQTT-3.3.2-5] [MQTT-3.3.2-6]
			t.Errorf("expiry %d", *m.Properties.MessageExpiry)
		}
		r.Receive("t", "x")
		r.ExpectNothing()
		late := s.Pipe()
		late.Connect(clean("late"))
		late.Subscribe("t", 0)
		if m := late.Receive("t", "x"); *m.Properties.MessageExpiry != 23 {
			t.Errorf("expiry %d of the retained message", *m.Properties.MessageExpiry)
		}
		time.Sleep(24 * time.Second)
		late.Subscribe("t", 0)
		late.ExpectNothing()
	})
}

func TestPropertiesTravel(t *testing.T) { // [MQTT-3.3.2-15] … [MQTT-3.3.2-20]
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		p, r, old := s.Pipe(), s.Pipe(), s.Pipe()
		p.Connect(clean("p"))
		r.Connect(durable("r"))
		old.Connect(packet.Connect{Version: packet.V311, CleanStart: true})
		r.Subscribe("t", 1)
		old.Subscribe("t", 1)
		props := &packet.Properties{
			PayloadFormat: new(byte(1)), ContentType: []byte("text/plain"), ResponseTopic: []byte("answer"),
			CorrelationData: []byte{1, 2, 3}, User: []packet.UserProperty{{Name: []byte("b"), Value: []byte("1")}, {Name: []byte("a"), Value: []byte("2")}, {Name: []byte("b"), Value: []byte("1")}},
		}
		var publishing sync.WaitGroup
		publishing.Go(func() {
			p.PublishPacket(packet.Publish{Topic: []byte("t"), Payload: []byte("x"), QoS: 1, Properties: props})
		})
		if diff := cmp.Diff(props, r.Receive("t", "x").Properties); diff != "" {
			t.Errorf("properties (-want +got):\n%s", diff)
		}
		old.Receive("t", "x")
		publishing.Wait() // its PUBACK comes after ours
	})
}

// TestExpiryInFlight: a QoS 2 message whose first half has been sent is brought to
// its end, although it has expired [MQTT-4.3.3-7] [MQTT-4.3.3-13].
func TestExpiryInFlight(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		p, r := s.Pipe(), s.Pipe()
		p.Connect(clean("p"))
		r.Connect(durable("r"))
		r.Subscribe("t", 2)
		p.PublishPacket(packet.Publish{Topic: []byte("t"), QoS: 2, Properties: &packet.Properties{MessageExpiry: new(uint32(1))}})
		first := r.NextPublish()
		r.Close()
		time.Sleep(2 * time.Second)
		r = s.Pipe()
		r.Connect(durable("r"))
		if m := r.Receive("t", ""); m.PacketID != first.PacketID || !m.Dup {
			t.Errorf("got %s", brokertest.Show(m))
		}
	})
}
