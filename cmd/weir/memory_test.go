package main

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestCollector(t *testing.T) {
	const mib = 1 << 20
	now := time.Unix(0, 0)
	c := &collector{now: func() time.Time { return now }, last: now, percent: restPercent, limit: leastLimit}
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
		{"a start", 5 * time.Millisecond, loadRow - 1, 8 * mib, restPercent, leastLimit, 0},
		{"and then nothing", time.Second, 1, 8 * mib, restPercent, leastLimit, 0},
		{"load", 5 * time.Millisecond, loadRow, 10 * mib, loadPercent, leastLimit, 1},
		{"more of it", 50 * time.Millisecond, 1, 20 * mib, loadPercent, leastLimit, 1},
		{"later, because of what was set", time.Second, 1, 20 * mib, loadPercent, leastLimit, 1},
		{"much in use", 5 * time.Millisecond, 1, 80 * mib, loadPercent, 128 * mib, 2},
		{"a little less", 5 * time.Millisecond, 1, 79 * mib, loadPercent, 128 * mib, 2},
		{"rest", time.Minute, 1, 8 * mib, restPercent, leastLimit, 3},
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

// TestTidied: the process is tidied when collections have ceased, and not because
// of the collection that this takes.
func TestTidied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &collector{now: time.Now, last: time.Now(), percent: restPercent, limit: leastLimit, set: func(int, int64) {}}
		times, memory := 0, int64(100<<20)
		c.calm = time.AfterFunc(restGap, func() {
			c.tidyUp(func() int64 { return memory }, func() {
				times++
				c.collected(8 << 20)
				memory /= 2
			})
		})
		defer c.calm.Stop()
		for range 10 {
			time.Sleep(restGap / 2)
			c.collected(8 << 20)
		}
		if times != 0 {
			t.Errorf("tidied %d times under load", times)
		}
		time.Sleep(time.Minute)
		if times != 1 {
			t.Errorf("tidied %d times at rest", times)
		}
		c.collected(8 << 20)
		time.Sleep(time.Minute)
		if times != 1 {
			t.Errorf("tidied %d times although nothing has grown", times)
		}
		memory *= 2
		c.collected(8 << 20)
		time.Sleep(time.Minute)
		if times != 2 {
			t.Errorf("tidied %d times after growing again", times)
		}
	})
}
