package broker_test

import (
	"encoding/json"
	"fmt"
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

// TestLoads: averages by the minute that fade as Mosquitto's do.
func TestLoads(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		p := s.Pipe()
		p.Connect(clean("p"))
		for range 30 {
			p.Publish("t", "x", 0)
		}
		time.Sleep(10 * time.Second) // 30 in 10 s are 180 a minute
		c := s.Pipe()
		c.Connect(clean("c"))
		load := func(name string) string {
			t.Helper()
			c.Subscribe("$SYS/broker/load/"+name, 0)
			return string(c.NextPublish().Payload)
		}
		// 180 * (1 - exp(-10/60)), and so on
		for name, want := range map[string]string{"publish/received/1min": "27.63", "publish/received/5min": "5.90", "publish/received/15min": "1.99", "connections/1min": "0.92"} {
			if got := load(name); got != want {
				t.Errorf("%s is %s, want %s", name, got, want)
			}
		}
		time.Sleep(time.Minute)
		c.Receive("$SYS/broker/load/publish/received/1min", "23.39")
	})
}

// TestSysNames: all that Mosquitto 2 tells is there under the same name.
func TestSysNames(t *testing.T) {
	names := strings.Fields(`version uptime bytes/received bytes/sent heap/current heap/maximum
		clients/active clients/connected clients/disconnected clients/expired clients/inactive clients/maximum clients/total
		messages/received messages/sent messages/stored publish/bytes/received publish/bytes/sent
		publish/messages/dropped publish/messages/received publish/messages/sent
		store/messages/count subscriptions/count shared_subscriptions/count`)
	for _, what := range strings.Fields("messages/received messages/sent publish/received publish/sent publish/dropped bytes/received bytes/sent sockets connections") {
		for _, span := range []string{"1min", "5min", "15min"} {
			names = append(names, "load/"+what+"/"+span)
		}
	}
	names = append(names, "retained messages/count")
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		c := s.Pipe()
		c.Connect(clean("c"))
		c.Publish("t", "four", 0)
		c.Subscribe("$SYS/broker/#", 0)
		time.Sleep(time.Second)
		synctest.Wait()
		told := map[string]string{}
		for p, ok := c.Poll(); ok; p, ok = c.Poll() {
			if m, ok := p.(*packet.Publish); ok {
				told[string(m.Topic)] = string(m.Payload)
			}
		}
		for _, name := range names {
			if told["$SYS/broker/"+name] == "" {
				t.Errorf("%s is not told", name)
			}
		}
		if n := told["$SYS/broker/publish/bytes/received"]; n != "4" {
			t.Errorf("%s bytes of payloads", n)
		}
	})
}

// TestSweep: what waits for each of many clients is told, in more than one turn.
func TestSweep(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		const n = 600
		for i := range n {
			c := s.Pipe()
			c.Connect(durable(fmt.Sprint("away", i)))
			c.Subscribe("t", 1)
			c.Close()
		}
		p := s.Pipe()
		p.Connect(clean("p"))
		p.Publish("t", "x", 1)
		r := s.Pipe()
		r.Connect(clean("r"))
		r.Subscribe("$SYS/broker/clients/+/queued", 0)
		time.Sleep(time.Second)
		told := map[string]bool{}
		for len(told) < n { // some twice: as they are told, and as retained
			told[string(r.NextPublish().Topic)] = true
		}
		if list := s.Clients(); len(list) != n+2 || list[n/2].Queued != 1 {
			t.Errorf("%d clients are listed", len(list))
		}
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
