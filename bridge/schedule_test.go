package bridge_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-edge/weir/bridge"
)

// around is a window that begins and ends so long after now.
func around(from, to time.Duration) string {
	now := time.Now().Local()
	return now.Add(from).Format("15:04") + "-" + now.Add(to).Format("15:04")
}

func TestConnectInWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *bridge.Config) {
			c.Connect.Windows = []string{around(2*time.Hour, 2*time.Hour+15*time.Minute), around(23*time.Hour+50*time.Minute, 24*time.Hour+5*time.Minute)}
		})
		w.put(2, "a", "x")
		w.start()
		after(10 * time.Minute)
		w.wantState("resting", "")
		if s := w.bridge.Status(); s.Until != time.Now().Local().Add(110*time.Minute).Format("15:04") {
			t.Errorf("until %s", s.Until)
		}
		if n := len(w.up.Connects()); n != 1 { // it began in the second window
			t.Errorf("%d connections", n)
		}
		w.put(2, "a", "y")
		after(111 * time.Minute)
		w.wantState("connected", "")
		w.wantPayloads("x", "y")
		w.put(1, "a", "z")
		after(15 * time.Minute)
		w.wantPayloads("x", "y", "z")
		w.wantState("resting", "")
		if n := len(w.up.Connects()); n != 2 {
			t.Errorf("%d connections", n)
		}
		w.end()
	})
}

func TestConnectLazily(t *testing.T) {
	for _, tc := range []struct {
		name    string
		connect bridge.Connect
		puts    int
		quiet   time.Duration // it rests so long after them
		due     time.Duration // and then connects within so long
	}{
		{"enough", bridge.Connect{Owed: 5}, 5, 0, 2 * time.Second},
		{"not enough, but long", bridge.Connect{Owed: 5, Age: time.Hour}, 4, 59*time.Minute + 55*time.Second, 8 * time.Second},
		{"long", bridge.Connect{Age: time.Minute}, 1, 58 * time.Second, 4 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *bridge.Config) { c.Connect = tc.connect })
				w.start()
				after(time.Minute)
				w.wantState("resting", "")
				for i := range tc.puts {
					w.put(1, "a", fmt.Sprint(i))
				}
				after(tc.quiet)
				w.wantOwed(uint64(tc.puts))
				after(tc.due)
				w.wantPayloads(numbers(tc.puts)...)
				w.wantState("connected", "")
				after(12 * time.Second)
				w.wantState("resting", "")
				w.end()
			})
		})
	}
}

// What a process finds when it starts has waited for nobody knows how long. A pause
// works as always.
func TestConnectLazilyAfterStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *bridge.Config) { c.Connect.Age = time.Hour })
		w.put(1, "a", "x")
		w.start()
		after(time.Second)
		w.wantPayloads("x")
		w.bridge.Pause()
		after(time.Second)
		w.wantState("paused", "")
		w.bridge.Resume()
		after(time.Second)
		w.wantState("resting", "")
		w.end()
	})
}
