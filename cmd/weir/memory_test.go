package main

import (
	"testing"
	"time"
)

func TestCollector(t *testing.T) {
	const mib = 1 << 20
	now := time.Unix(0, 0)
	c := &collector{now: func() time.Time { return now }, last: now, percent: restPercent, limit: leastLimit}
	sets, calms := 0, 0
	c.set = func(int, int64) { sets++ }
	c.after = func(time.Duration) { calms++ }
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
		{"much in use", 5 * time.Millisecond, 1, 80 * mib, loadPercent, 108 * mib, 2},
		{"a little less", 5 * time.Millisecond, 1, 79 * mib, loadPercent, 108 * mib, 2},
		{"rest", time.Minute, 1, 8 * mib, restPercent, leastLimit, 3},
	} {
		calms = 0
		for range step.times {
			now = now.Add(step.gap)
			c.collected(step.live)
		}
		if c.percent != step.percent || c.limit != step.limit || sets != step.sets {
			t.Errorf("%s: %d %%, %d MiB, set %d times", step.name, c.percent, c.limit/mib, sets)
		}
		if busy := step.gap <= restGap; busy != (calms == step.times) {
			t.Errorf("%s: the end of the load was awaited %d times", step.name, calms)
		}
	}
}
