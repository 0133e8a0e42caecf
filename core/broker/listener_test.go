package broker_test

import (
	"strings"
	"testing"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

// atListener runs a broker with one listener, and dials it.
func atListener(t *testing.T, change func(*broker.Listener)) (s *brokertest.Server, dialIt func() *brokertest.Client) {
	t.Helper()
	cfg := onLoopback()
	change(&cfg.Listeners[0])
	s = brokertest.Start(t, cfg)
	return s, func() *brokertest.Client { return dial(t, s, "lo") }
}

func TestMountPoint(t *testing.T) {
	b, dial := atListener(t, func(l *broker.Listener) { l.MountPoint = "tenant/" })
	inside := make(chan *core.Message, 10)
	cancel, err := b.Subscribe("#", func(m *core.Message) { inside <- m })
	if err != nil {
		t.Fatal(err)
	}
	defer cancel()
	publish := func(topic, payload string) {
		t.Helper()
		m := &core.Message{Topic: topic, Payload: []byte(payload), Publisher: "adapter:x"}
		if err := b.Publish(m); err != nil {
			t.Fatal(err)
		}
		<-inside
	}
	p, c := dial(), dial()
	p.Connect(clean("p"))
	c.Connect(durable("c"))
	c.AcknowledgeAll()
	c.Subscribe("a/#", 1)
	c.Subscribe("$share/g/s/#", 1)
	publish("a/b", "of the others")
	publish("tenant/a/b", "within")
	c.Receive("a/b", "within")
	publish("tenant/s/1", "shared")
	c.Receive("s/1", "shared")
	for qos := range byte(3) {
		p.Publish("a/own", "x", qos)
		if m := <-inside; m.Topic != "tenant/a/own" || string(m.Payload) != "x" {
			t.Errorf("inside: %s %s", m.Topic, m.Payload)
		}
		c.Receive("a/own", "x")
	}
	large := strings.Repeat("x", 100_000) // which may keep the memory in which it came
	p.Publish("a/large", large, 1)
	if m := <-inside; m.Topic != "tenant/a/large" {
		t.Errorf("inside: %s", m.Topic)
	}
	c.Receive("a/large", large)
	c.Send(&packet.Unsubscribe{PacketID: 7, Filters: [][]byte{[]byte("a/#")}})
	c.Expect(&packet.Unsuback{PacketID: 7, Reasons: []packet.Reason{packet.Success}})
	publish("tenant/a/b", "not wanted any more")
	c.Send(&packet.Publish{Topic: []byte("$SYS/x"), QoS: 1, PacketID: 9})
	c.Expect(&packet.Ack{Kind: packet.PUBACK, PacketID: 9, Reason: packet.NotAuthorized})
	w := dial()
	hello := clean("w")
	asks := &packet.Properties{ResponseTopic: []byte("answers")}
	hello.Will = &packet.Will{Topic: []byte("gone"), Payload: []byte("w"), Properties: asks}
	w.Connect(hello)
	w.Close()
	if m := <-inside; m.Topic != "tenant/gone" || m.Properties.ResponseTopic != "tenant/answers" {
		t.Errorf("will: %s %+v", m.Topic, m.Properties)
	}
	// Who answers may be outside.
	c.Subscribe("ask", 0)
	p.Send(&packet.Publish{Topic: []byte("ask"), Properties: asks})
	if m := <-inside; m.Properties.ResponseTopic != "tenant/answers" {
		t.Errorf("inside: %+v", m.Properties)
	}
	if m := c.NextPublish(); string(m.Properties.ResponseTopic) != "answers" {
		t.Errorf("below the mount: %+v", m.Properties)
	}
}

// TestMountedTooLong: a topic that fits at the client may not fit below the mount.
func TestMountedTooLong(t *testing.T) {
	mount := "tenant/" + strings.Repeat("x", 100) + "/"
	s, dial := atListener(t, func(l *broker.Listener) { l.MountPoint = mount })
	long := strings.Repeat("x", 65535)
	outside := s.Pipe()
	outside.Connect(clean("outside"))
	outside.Subscribe("tenant/#", 0)
	for name, p := range map[string]*packet.Publish{
		"topic":          {Topic: []byte(long)},
		"response topic": {Topic: []byte("t"), Properties: &packet.Properties{ResponseTopic: []byte(long)}},
	} {
		c := dial()
		c.Connect(clean(name))
		c.Send(p)
		c.ExpectReason(packet.TopicNameInvalid)
	}
	hello := clean("will")
	hello.Will = &packet.Will{Topic: []byte(long[:65500])}
	if ack := dial().TryConnect(hello); ack == nil || ack.Reason != packet.TopicNameInvalid {
		t.Errorf("will: %+v", ack)
	}
	outside.ExpectNothing()
}

func TestRedirect(t *testing.T) {
	for moved, reason := range map[bool]packet.Reason{false: packet.UseAnotherServer, true: packet.ServerMoved} {
		_, dial := atListener(t, func(l *broker.Listener) { l.Redirect = broker.Redirect{To: "other.example:1883", Moved: moved} })
		ack := dial().TryConnect(clean("c"))
		if ack.Reason != reason || string(ack.Properties.ServerReference) != "other.example:1883" {
			t.Errorf("%+v", ack)
		}
		old := clean("c")
		old.Version = packet.V311
		if ack := dial().TryConnect(old); ack.Reason != packet.ServerUnavailable.V3() {
			t.Errorf("3.1.1: %+v", ack)
		}
	}
}

func TestResponseInformation(t *testing.T) { // [MQTT-3.1.2-28]
	_, dial := atListener(t, func(l *broker.Listener) { l.Answers = "answers/{client}" })
	hello := clean("a/+")
	if ack := dial().Connect(hello); ack.Properties.ResponseInfo != nil {
		t.Errorf("nobody has asked: %s", ack.Properties.ResponseInfo)
	}
	hello.Properties = &packet.Properties{RequestResponseInfo: new(byte(1))}
	if ack := dial().Connect(hello); string(ack.Properties.ResponseInfo) != "answers/a%2F%2B" {
		t.Errorf("got %s", ack.Properties.ResponseInfo)
	}
}

func TestReasonStrings(t *testing.T) {
	_, dial := atListener(t, func(*broker.Listener) {})
	c := dial()
	c.Connect(clean("c"))
	text := func(p *packet.Properties) string {
		t.Helper()
		if p == nil {
			return ""
		}
		return string(p.ReasonString)
	}
	c.Send(&packet.Subscribe{PacketID: 1, Filters: []packet.Filter{{Filter: []byte("a")}, {Filter: []byte("a/#/b")}}})
	if got := text(c.Next().(*packet.Suback).Properties); got != "a/#/b: topic filter invalid" {
		t.Errorf("SUBACK: %q", got)
	}
	c.Send(&packet.Publish{Topic: []byte("$x"), QoS: 1, PacketID: 3})
	if got := text(c.Next().(*packet.Ack).Properties); got != "the rules of this broker do not allow it" {
		t.Errorf("PUBACK: %q", got)
	}
	second := dial()
	second.Connect(clean("c"))
	if got := text(c.Next().(*packet.Disconnect).Properties); got != "another connection with this client id" {
		t.Errorf("take-over: %q", got)
	}
	second.Write(0xF0, 0)
	if got := text(second.Next().(*packet.Disconnect).Properties); !strings.HasSuffix(got, "[MQTT-4.12.0-7]") {
		t.Errorf("protocol error: %q", got)
	}
}
