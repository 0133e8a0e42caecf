package bridge_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-edge/weir/bridge"
)

// TestGatheringShown: the status says whether the messages of a stream gather, and how
// many a write carries; not any more when the stream is over, or
// the link is cut.
func TestGatheringShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *bridge.Config) { c.Gather = 5 * time.Millisecond })
		w.start()
		stream := func(d time.Duration) {
			for range d / time.Millisecond {
				w.put(1, "a", "x")
				after(time.Millisecond)
			}
		}
		look := func(gathering bool) {
			t.Helper()
			s := w.bridge.Status()
			if s.Gathering != gathering || gathering != (s.PerWrite > 2) || s.Writes == 0 {
				t.Errorf("gathering %v, %.1f messages a write, %d writes; want %v", s.Gathering, s.PerWrite, s.Writes, gathering)
			}
		}
		stream(2 * time.Second)
		w.bridge.Status()
		stream(2 * time.Second)
		look(true)
		after(2 * time.Second)
		look(false)
		stream(2 * time.Second)
		w.net.Cut()
		synctest.Wait()
		if w.bridge.Status().Gathering {
			t.Error("messages gather without a link")
		}
		w.end()
	})
}
