package interop

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
	"github.com/google/go-cmp/cmp"
)

// client is a paho client of MQTT 5 with what it has received.
type client struct {
	*paho.Client
	t       *testing.T
	got     chan *paho.Publish
	connack *paho.Connack
}

func (g *gateway) connect(ctx context.Context, id string, change func(*paho.Connect)) *client {
	g.t.Helper()
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		g.t.Fatal(err)
	}
	c := &client{t: g.t, got: make(chan *paho.Publish, 100)}
	c.Client = paho.NewClient(paho.ClientConfig{
		ClientID: id, Conn: conn,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
			c.got <- p.Packet
			return true, nil
		}},
	})
	hello := &paho.Connect{ClientID: id, KeepAlive: 30, CleanStart: true, Properties: &paho.ConnectProperties{RequestProblemInfo: true}}
	if change != nil {
		change(hello)
	}
	if c.connack, err = c.Connect(ctx, hello); err != nil {
		g.t.Fatalf("connect %s: %v (%+v)", id, err, c.connack)
	}
	return c
}

func (c *client) subscribe(ctx context.Context, o paho.SubscribeOptions) {
	c.t.Helper()
	if _, err := c.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{o}}); err != nil {
		c.t.Fatalf("subscribe to %s: %v", o.Topic, err)
	}
}

func (c *client) next() *paho.Publish {
	c.t.Helper()
	select {
	case p := <-c.got:
		return p
	case <-time.After(time.Minute):
		c.t.Fatal("no message")
		return nil
	}
}

func patience(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// TestPaho: what a client of 5.0 counts on, with every QoS.
func TestPaho(t *testing.T) {
	g := startGateway(t, "")
	ctx := patience(t)
	for qos := range byte(3) {
		t.Run(fmt.Sprint("properties travel, QoS ", qos), func(t *testing.T) {
			topic := fmt.Sprint("p/", qos)
			r, p := g.connect(ctx, "r", nil), g.connect(ctx, "p", nil)
			r.subscribe(ctx, paho.SubscribeOptions{Topic: "p/+", QoS: qos})
			want := &paho.PublishProperties{
				ContentType: "text/plain", ResponseTopic: "answers", CorrelationData: []byte{1, 2},
				User: paho.UserProperties{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}, {Key: "a", Value: "3"}},
			}
			if _, err := p.Publish(ctx, &paho.Publish{Topic: topic, QoS: qos, Payload: []byte("hello"), Properties: want}); err != nil {
				t.Fatal(err)
			}
			m := r.next()
			if diff := cmp.Diff(want, m.Properties); diff != "" || m.Topic != topic || string(m.Payload) != "hello" || m.QoS != qos {
				t.Errorf("got %v: %s", m, diff)
			}
		})
	}
	t.Run("no local, retain as published, retain handling", func(t *testing.T) {
		c := g.connect(ctx, "c", nil)
		if _, err := c.Publish(ctx, &paho.Publish{Topic: "kept", QoS: 1, Retain: true, Payload: []byte("old")}); err != nil {
			t.Fatal(err)
		}
		c.subscribe(ctx, paho.SubscribeOptions{Topic: "kept", NoLocal: true, RetainHandling: 2})
		r := g.connect(ctx, "r", nil)
		r.subscribe(ctx, paho.SubscribeOptions{Topic: "kept", RetainAsPublished: true, QoS: 1})
		if m := r.next(); !m.Retain || string(m.Payload) != "old" {
			t.Errorf("got %v", m)
		}
		if _, err := c.Publish(ctx, &paho.Publish{Topic: "kept", QoS: 1, Retain: true, Payload: []byte("new")}); err != nil {
			t.Fatal(err)
		}
		if m := r.next(); !m.Retain || string(m.Payload) != "new" {
			t.Errorf("got %v", m)
		}
		if len(c.got) > 0 {
			t.Errorf("its own message came back: %v", <-c.got)
		}
	})
	t.Run("shared subscription", func(t *testing.T) {
		p := g.connect(ctx, "p", nil)
		members := []*client{g.connect(ctx, "m1", nil), g.connect(ctx, "m2", nil)}
		for _, m := range members {
			m.subscribe(ctx, paho.SubscribeOptions{Topic: "$share/group/work", QoS: 1})
		}
		for i := range 20 {
			if _, err := p.Publish(ctx, &paho.Publish{Topic: "work", QoS: 1, Payload: fmt.Append(nil, i)}); err != nil {
				t.Fatal(err)
			}
		}
		seen := map[string]bool{}
		for len(seen) < 20 {
			select {
			case m := <-members[0].got:
				seen[string(m.Payload)] = true
			case m := <-members[1].got:
				seen[string(m.Payload)] = true
			case <-ctx.Done():
				t.Fatalf("only %d of 20", len(seen))
			}
		}
	})
}

// TestPahoThroughKill: a session of 5.0 is there after SIGKILL, with what it was
// owed, in order, and without what has expired.
func TestPahoThroughKill(t *testing.T) {
	g := startGateway(t, "")
	ctx := patience(t)
	durable := func(c *paho.Connect) {
		c.CleanStart = false
		c.Properties.SessionExpiryInterval = new(uint32(3600))
	}
	r := g.connect(ctx, "r", durable)
	r.subscribe(ctx, paho.SubscribeOptions{Topic: "t/#", QoS: 2})
	if err := r.Disconnect(&paho.Disconnect{}); err != nil {
		t.Fatal(err)
	}
	p := g.connect(ctx, "p", nil)
	for i := range 6 {
		m := &paho.Publish{Topic: "t/x", QoS: byte(1 + i%2), Payload: fmt.Append(nil, i), Properties: &paho.PublishProperties{}}
		if i == 3 {
			m.Properties.MessageExpiry = new(uint32(1))
		}
		if _, err := p.Publish(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	g.kill()
	time.Sleep(1100 * time.Millisecond) // let one expire
	g.run()
	r = g.connect(ctx, "r", durable)
	if !r.connack.SessionPresent {
		t.Error("the session is gone")
	}
	for _, want := range []string{"0", "1", "2", "4", "5"} {
		if m := r.next(); string(m.Payload) != want {
			t.Fatalf("got %s, want %s", m.Payload, want)
		}
	}
}

// TestPahoAtListener: what a listener may say about topics.
func TestPahoAtListener(t *testing.T) {
	g := startGateway(t, `, mount_point: site/, answers: "answers/{client}"`)
	ctx := patience(t)
	asks := g.connect(ctx, "asks", func(c *paho.Connect) { c.Properties.RequestResponseInfo = true })
	answers := asks.connack.Properties.ResponseInfo
	if answers != "answers/asks" {
		t.Fatalf("response information %q", answers)
	}
	asks.subscribe(ctx, paho.SubscribeOptions{Topic: answers, QoS: 1})
	worker := g.connect(ctx, "worker", nil)
	worker.subscribe(ctx, paho.SubscribeOptions{Topic: "ask/#", QoS: 1})
	if _, err := asks.Publish(ctx, &paho.Publish{Topic: "ask/time", QoS: 1, Properties: &paho.PublishProperties{ResponseTopic: answers, CorrelationData: []byte("7")}}); err != nil {
		t.Fatal(err)
	}
	q := worker.next()
	if _, err := worker.Publish(ctx, &paho.Publish{
		Topic: q.Properties.ResponseTopic, QoS: 1, Payload: []byte("noon"),
		Properties: &paho.PublishProperties{CorrelationData: q.Properties.CorrelationData},
	}); err != nil {
		t.Fatal(err)
	}
	if a := asks.next(); a.Topic != answers || string(a.Payload) != "noon" || string(a.Properties.CorrelationData) != "7" {
		t.Errorf("got %v", a)
	}
	if _, err := asks.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "a/#/b"}}}); err == nil {
		t.Error("a wrong filter was granted")
	}
}
