package bridge_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/core"
)

func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.start()
		after(time.Second)
		w.put(2, "a", "0")
		after(time.Second)
		w.bridge.Pause()
		w.bridge.Pause()
		after(time.Second)
		w.wantState("paused", "")
		w.put(2, "a", "1")
		after(time.Hour)
		w.wantState("paused", "")
		w.wantOwed(1)
		w.bridge.Resume()
		after(time.Second)
		w.wantState("connected", "")
		w.wantPayloads("0", "1")
		w.bridge.Pause() // and stopping works then, too
		after(time.Second)
		w.end()
	})
}

func TestPauseRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *bridge.Config) {
			c.Out = []bridge.OutRule{{Filter: "a/#", QoS: 2, LocalPrefix: "x/"}, {Filter: "b", QoS: 1}}
		})
		w.start()
		put := func(rule int, payload string) {
			w.local.Queues()[rule].Put(&core.Message{Topic: []string{"x/a/1", "b"}[rule], Payload: []byte(payload), QoS: 1})
		}
		if err := w.bridge.PauseRule("a/#"); !errors.Is(err, bridge.ErrNoRule) {
			t.Errorf("a rule that is not there: %v", err)
		}
		if err := w.bridge.PauseRule("x/a/#"); err != nil {
			t.Fatal(err)
		}
		after(time.Second)
		put(0, "0")
		put(1, "1")
		w.net.Cut()
		after(time.Hour)
		w.wantPayloads("1")
		w.wantOwed(1)
		if r := w.bridge.Status().Rules; !r[0].Paused || r[1].Paused {
			t.Errorf("rules %+v", r)
		}
		if err := w.bridge.ResumeRule("x/a/#"); err != nil {
			t.Fatal(err)
		}
		after(time.Second)
		w.wantPayloads("1", "0")
		w.end()
	})
}

// TestPauseRuleInFlight: what is under way when a rule is paused is finished, at QoS 2
// with all its steps, and nothing of the rule follows until it is resumed.
func TestPauseRuleInFlight(t *testing.T) {
	for qos := core.AtLeastOnce; qos <= core.ExactlyOnce; qos++ {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(c *bridge.Config) { c.MaxInflight = 3 })
			w.net.SetLatency(time.Second)
			w.start()
			after(10 * time.Second)
			var want []string
			for i := range 10 {
				want = append(want, fmt.Sprint(i))
				w.put(qos, "a", want[i])
			}
			after(500 * time.Millisecond) // three are on their way, and nothing has come of them
			if err := w.bridge.PauseRule("#"); err != nil {
				t.Fatal(err)
			}
			after(time.Hour)
			w.wantPayloads(want[:3]...)
			w.wantOwed(7)
			if n := w.bridge.Status().Inflight; n != 0 {
				t.Errorf("QoS %d: %d under way", qos, n)
			}
			if err := w.bridge.ResumeRule("#"); err != nil {
				t.Fatal(err)
			}
			after(time.Minute)
			w.wantPayloads(want...)
			w.wantOwed(0)
			w.end()
		})
	}
}
