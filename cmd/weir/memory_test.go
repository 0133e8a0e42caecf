package main

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestCollector(t *testing.T) {
	const mib = 1 << 20
	load, work := paces[0], paces[1]
	now := time.Unix(0, 0)
	c := &collector{now: func() time.Time { return now }, last: now, percent: restPercent, limit: leastLimit, most: mostOf(0)}
	c.calm = time.AfterFunc(time.Hour, func() {})
	defer c.calm.Stop()
	sets := 0
	c.set = func(int, int64) { sets++ }
	for _, step := range []struct {
		name    string
		gap     time.Duration // before each of them
		times   int
		live    int64
		percent int
		limit   int64
		sets    int
	}{
		{"at rest", 2 * time.Minute, 1, 8 * mib, restPercent, leastLimit, 0},
		{"a start", 5 * time.Millisecond, work.row - 1, 8 * mib, restPercent, leastLimit, 0},
		{"and then nothing", time.Second, 1, 8 * mib, restPercent, leastLimit, 0},
		{"a backlog drains", 300 * time.Millisecond, 2 * load.row, 8 * mib, work.percent, leastLimit, 1},
		{"load", 5 * time.Millisecond, load.row, 10 * mib, load.percent, leastLimit, 2},
		{"more of it", 50 * time.Millisecond, 1, 20 * mib, load.percent, leastLimit, 2},
		{"later, because of what was set", time.Second, 1, 20 * mib, load.percent, leastLimit, 2},
		{"much in use", 5 * time.Millisecond, 1, 80 * mib, load.percent, 128 * mib, 3},
		{"a little less", 5 * time.Millisecond, 1, 79 * mib, load.percent, 128 * mib, 3},
		{"rest", time.Minute, 1, 8 * mib, restPercent, leastLimit, 4},
	} {
		for range step.times {
			now = now.Add(step.gap)
			c.collected(step.live)
		}
		if c.percent != step.percent || c.limit != step.limit || sets != step.sets {
			t.Errorf("%s: %d %%, %d MiB, set %d times", step.name, c.percent, c.limit/mib, sets)
		}
	}
}

// TestCollectorOfASmallMachine: the limit of the memory stays below what there is.
func TestCollectorOfASmallMachine(t *testing.T) {
	now := time.Unix(0, 0)
	c := &collector{now: func() time.Time { return now }, last: now, percent: restPercent, limit: leastLimit, most: mostOf(64 << 20)}
	c.calm = time.AfterFunc(time.Hour, func() {})
	defer c.calm.Stop()
	c.set = func(int, int64) {}
	for live := int64(8 << 20); live < 64<<20; live += 4 << 20 {
		now = now.Add(time.Millisecond)
		if c.collected(live); c.limit > 56<<20 {
			t.Errorf("%d MiB in use: the limit is %d MiB", live>>20, c.limit>>20)
		}
	}
}

// TestTidied: the process is tidied when collections have ceased, and not because
// of the collection that this takes.
func TestTidied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &collector{now: time.Now, last: time.Now(), percent: restPercent, limit: leastLimit, most: mostOf(0), set: func(int, int64) {}}
		var mu sync.Mutex // as collections come one after the other
		collected := func() {
			mu.Lock()
			defer mu.Unlock()
			c.collected(8 << 20)
		}
		var times, memory atomic.Int64
		memory.Store(100 << 20)
		c.calm = time.AfterFunc(tidyAfter, func() {
			c.tidyUp(memory.Load, func() {
				times.Add(1)
				collected()
				memory.Store(memory.Load() / 2)
			})
		})
		defer c.calm.Stop()
		wantTimes := func(n int64, when string) {
			t.Helper()
			if got := times.Load(); got != n {
				t.Errorf("%s: tidied %d times; want %d", when, got, n)
			}
		}
		for range 10 {
			time.Sleep(restGap / 2)
			collected()
		}
		wantTimes(0, "under load")
		time.Sleep(time.Minute)
		wantTimes(1, "at rest")
		collected()
		time.Sleep(time.Minute)
		wantTimes(1, "when nothing has grown")
		memory.Store(2 * memory.Load())
		collected()
		time.Sleep(time.Minute)
		wantTimes(2, "after growing again")
	})
}
