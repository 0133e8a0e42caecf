package bridge_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/core"
)

// chaos is a world in which the cable is cut and the gateway crashes at any
// moment, while messages go out and come in.
type chaos struct {
	*world
	t       *rapid.T
	sent    []string // out
	fetched []string // published upstream
	lost    bool     // the upstream has lost a session
}

var chaosTopics = []string{"a", "b"}

func newChaos(rt *rapid.T, t testing.TB) *chaos {
	c := &chaos{t: rt}
	c.world = newWorld(t, func(cfg *bridge.Config) {
		cfg.Out[0].QoS = 2
		cfg.In = []bridge.InRule{{Filter: "cmd", QoS: 2}}
		cfg.Protocol = rapid.SampledFrom([]string{"5", "3.1.1"}).Draw(rt, "protocol")
		cfg.Backoff = bridge.Backoff{Min: 10 * time.Millisecond, Max: 100 * time.Millisecond}
		cfg.MaxInflight = rapid.SampledFrom([]int{1, 3, 20}).Draw(rt, "window")
	})
	c.net.SetLatency(20 * time.Millisecond)
	c.local.SyncTime = time.Duration(rapid.IntRange(1, 500).Draw(rt, "sync")) * time.Millisecond
	c.start()
	return c
}

func (c *chaos) publish(t *rapid.T) {
	for range rapid.IntRange(1, 20).Draw(t, "messages") {
		qos := rapid.SampledFrom([]core.QoS{1, 2}).Draw(t, "qos")
		topic := rapid.SampledFrom(chaosTopics).Draw(t, "topic")
		payload := fmt.Sprintf("%s%d-%d", topic, qos, len(c.sent))
		c.sent = append(c.sent, payload)
		c.put(qos, topic, payload)
	}
}

func (c *chaos) command(t *rapid.T) {
	for range rapid.IntRange(1, 10).Draw(t, "commands") {
		qos := rapid.SampledFrom([]byte{1, 2}).Draw(t, "qos")
		payload := fmt.Sprintf("cmd%d-%d", qos, len(c.fetched))
		if len(c.up.Filters("gw-1")) == 0 {
			return // not subscribed yet
		}
		c.fetched = append(c.fetched, payload)
		c.up.Publish("cmd", payload, qos, nil)
	}
}

// wait lets anything between nothing and several round trips happen.
func wait(t *rapid.T) {
	time.Sleep(time.Duration(rapid.IntRange(1, 300).Draw(t, "ms")) * time.Millisecond)
}

// longWait lets the pause between two connections pass, or not.
func longWait(t *rapid.T) {
	time.Sleep(time.Duration(rapid.IntRange(1, 12).Draw(t, "s")) * time.Second)
}

// settle gives everything time to arrive: at most as long as all pauses may take.
func (c *chaos) settle() {
	for range 300 {
		after(time.Second)
		if c.local.Queues()[0].Owed() == 0 && c.up.Undelivered() == 0 {
			return
		}
	}
}

func (c *chaos) check() {
	got := make([]string, 0, len(c.sent))
	for _, r := range c.up.Got() {
		got = append(got, r.Payload)
	}
	c.checkArrived("out", c.sent, got)
	var in []string
	for _, m := range c.local.Accepted() {
		in = append(in, string(m.Payload))
	}
	c.checkArrived("in", c.fetched, in)
	if n := c.local.Queues()[0].Owed(); n != 0 {
		c.t.Fatalf("%d messages are owed", n)
	}
	for _, v := range c.up.Violations() {
		c.t.Fatalf("the upstream saw %s", v)
	}
}

// checkArrived: everything is there, QoS 2 exactly once, and each topic and QoS in
// order (by the first arrival).
func (c *chaos) checkArrived(way string, sent, got []string) {
	count := make(map[string]int)
	at := make(map[string]int)
	for i, p := range got {
		if count[p] == 0 {
			at[p] = i
		}
		count[p]++
	}
	last := make(map[string]string)
	for _, p := range sent {
		kind, _, _ := strings.Cut(p, "-")
		topic := kind[:len(kind)-1]
		switch {
		case count[p] == 0:
			c.t.Fatalf("%s: %s was lost; arrived: %v", way, p, got)
		case strings.HasSuffix(kind, "2") && count[p] > 1 && !c.lost:
			c.t.Fatalf("%s: %s arrived %d times", way, p, count[p])
		}
		if before := last[topic]; before != "" && at[before] > at[p] {
			c.t.Fatalf("%s: %s arrived before %s", way, p, before)
		}
		last[topic] = p
	}
}

// rapidT hides the deadline of a test, which cannot be asked for in a bubble.
type rapidT struct{ rapid.TB }

func TestProperty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(rapidT{t}, func(rt *rapid.T) {
			c := newChaos(rt, quiet{t})
			defer func() {
				c.cancel()
				<-c.done
				c.net.Close()
				synctest.Wait()
			}()
			rt.Repeat(map[string]func(*rapid.T){
				"publish":  c.publish,
				"publish2": c.publish,
				"command":  c.command,
				"wait":     wait,
				"wait2":    wait,
				"longWait": longWait,
				"cut":      func(*rapid.T) { c.net.Cut() },
				"crash":    func(*rapid.T) { c.crash() },
				"kick":     func(*rapid.T) { c.up.Kick(0x8B) },
				"stop": func(*rapid.T) {
					c.stop()
					time.Sleep(2 * c.local.SyncTime) // as a store does when it is closed
					c.start()
				},
			})
			c.settle()
			c.check()
		})
	})
}

// quiet keeps the log of thousands of runs out of the output.
type quiet struct{ testing.TB }

func (quiet) Output() io.Writer { return io.Discard }
