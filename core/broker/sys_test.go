package broker_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

func TestClientEvents(t *testing.T) {
	in(t, broker.Config{SysInterval: -1}, func(t *testing.T, s *brokertest.Server) {
		r := s.Pipe()
		r.Connect(clean("r"))
		r.Subscribe("$SYS/broker/clients/+/connected", 0)
		r.Subscribe("$SYS/broker/clients/+/disconnected", 0)
		r.Subscribe("$SYS/broker/clients/+/subscribed", 0)
		want := func(topic string, fields ...string) {
			t.Helper()
			m := r.NextPublish()
			if string(m.Topic) != topic || m.Retain || !json.Valid(m.Payload) {
				t.Fatalf("want %s, got %s", topic, brokertest.Show(m))
			}
			for _, f := range fields {
				if !strings.Contains(string(m.Payload), f) {
					t.Errorf("no %s in %s", f, m.Payload)
				}
			}
		}
		want("$SYS/broker/clients/r/subscribed") // its own last one
		for id, ends := range map[string]struct {
			how  func(c *brokertest.Client)
			want string
		}{
			"a/b+#": {func(c *brokertest.Client) { c.Send(&packet.Disconnect{}) }, `"reason":"disconnected by the client"`},
			"cut":   {func(c *brokertest.Client) { c.Close() }, `"reason":"connection lost"`},
			"bad":   {func(c *brokertest.Client) { c.Write(0, 0) }, `"reason":"Malformed Packet","code":129`},
		} {
			c := s.Pipe()
			c.Connect(clean(id))
			c.Subscribe("x/#", 1)
			ends.how(c)
			escaped := strings.NewReplacer("/", "%2F", "+", "%2B", "#", "%23").Replace(id)
			want("$SYS/broker/clients/"+escaped+"/connected", `"client":"`+id+`"`, `"protocol":"5.0"`)
			want("$SYS/broker/clients/"+escaped+"/subscribed", `"filter":"x/#"`, `"qos":1`)
			want("$SYS/broker/clients/"+escaped+"/disconnected", ends.want)
		}
		r.ExpectNothing()
	})
}

func TestClientQueues(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		r, p, away := s.Pipe(), s.Pipe(), s.Pipe()
		r.Connect(clean("r"))
		r.Subscribe("$SYS/broker/clients/+/queued", 0)
		away.Connect(durable("away"))
		away.Subscribe("t", 1)
		away.Close()
		synctest.Wait()
		p.Connect(clean("p"))
		for range 3 {
			p.Publish("t", "x", 1)
		}
		time.Sleep(10 * time.Second)
		r.Receive("$SYS/broker/clients/away/queued", "3")
		away = s.Pipe()
		away.AcknowledgeAll()
		away.Connect(durable("away"))
		time.Sleep(10 * time.Second)
		r.Receive("$SYS/broker/clients/away/queued", "0")
		r.ExpectNothing()
	})
}

func TestPayloadFormat(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		c := s.Pipe()
		c.Connect(clean("c"))
		c.Subscribe("t", 0)
		text := &packet.Properties{PayloadFormat: new(byte(1))}
		bad := packet.Publish{Topic: []byte("t"), Payload: []byte{0xFF}, Properties: text}
		for qos, kind := range map[byte]packet.Type{1: packet.PUBACK, 2: packet.PUBREC} {
			bad.QoS, bad.PacketID = qos, c.NextID()
			c.Send(&bad)
			c.Expect(&packet.Ack{Kind: kind, PacketID: bad.PacketID, Reason: packet.PayloadFormatInvalid})
		}
		bad.QoS = 0
		c.Send(&bad)
		c.ExpectNothing()
		c.PublishPacket(packet.Publish{Topic: []byte("t"), Payload: []byte("\u00fc"), Properties: text})
		c.Receive("t", "\u00fc")
		hello := clean("w")
		hello.Will = &packet.Will{Topic: []byte("t"), Payload: []byte{0xFF}, Properties: text}
		if ack := s.Pipe().TryConnect(hello); ack.Reason != packet.PayloadFormatInvalid {
			t.Errorf("will: %s", ack.Reason)
		}
	})
}
