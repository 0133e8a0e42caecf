package bridge_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/core"
)

// TestLiveShare: what is new gets its share of what leaves, what it does not use is
// the backlog's, and each part keeps its order.
func TestLiveShare(t *testing.T) {
	for _, tt := range []struct {
		name       string
		share      float64
		swapped    bool
		old, fresh int // messages that wait
		want       int // of what is new among the first 20
	}{
		{"half", 0.5, false, 100, 100, 10},
		{"a quarter", 0.25, false, 100, 100, 5},
		{"all", 1, false, 100, 100, 20},
		{"the parts exchanged", 0.25, true, 100, 100, 5},
		{"little that is new", 0.5, false, 100, 3, 3},
		{"nothing new", 0.5, false, 100, 0, 0},
		{"a small backlog", 0.1, false, 5, 100, 15},
		{"no backlog", 0.1, false, 0, 100, 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *bridge.Config) {
					c.Drain = bridge.Drain{Rate: 10, Burst: 1, LiveShare: tt.share}
					c.Out[0].QoS = 1
				})
				w.swapped = tt.swapped
				w.local.NewQueue()
				w.fill(0, tt.swapped, tt.fresh, tt.old)
				w.fill(1, !tt.swapped, tt.fresh, tt.old)
				w.start()
				after(time.Minute)
				got := payloads(w.up.Got())
				if all := tt.old + tt.fresh; len(got) != all {
					t.Errorf("%d of %d arrived", len(got), all)
				}
				next, among := map[string]int{}, 0
				for i, text := range got {
					part, number, _ := strings.Cut(text, " ")
					if number != fmt.Sprint(next[part]) {
						t.Errorf("%s is out of order", text)
					}
					next[part]++
					if part == "new" && i < 20 {
						among++
					}
				}
				if among != tt.want {
					t.Errorf("%d of the first 20 were new, want %d", among, tt.want)
				}
				if s := w.bridge.Status(); len(s.Rules) != 1 || s.Published != uint64(tt.old+tt.fresh) || s.Rules[0].Beside == 0 {
					t.Errorf("%+v", s)
				}
				w.end()
			})
		})
	}
}

// fill puts messages that are new, or old, into a queue.
func (w *world) fill(queue int, fresh bool, new, old int) {
	name, n := "old", old
	if fresh {
		name, n = "new", new
	}
	for i := range n {
		w.putTo(queue, fmt.Sprint(name, " ", i))
	}
}

func (w *world) putTo(queue int, payload string) {
	w.local.Queues()[queue].Put(&core.Message{Topic: "a", Payload: []byte(payload), QoS: 1, Received: w.clock.Now()})
}
