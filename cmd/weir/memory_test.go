package main

import (
	"testing"
	"time"
)

func TestCollector(t *testing.T) {
	const mib = 1 << 20
	now := time.Unix(0, 0)
	c := &collector{now: func() time.Time { return now }, last: now, percent: restPercent, limit: leastLimit}
	sets := 0
	c.set = func(int, int64) { sets++ }
	for _, step := range []struct {
		name    string
		gap     time.Duration
		live    int64
		percent int
		limit   int64
		sets    int
	}{
		{"at rest", 2 * time.Minute, 8 * mib, restPercent, leastLimit, 0},
		{"load", 5 * time.Millisecond, 10 * mib, loadPercent, leastLimit, 1},
		{"more of it", 50 * time.Millisecond, 20 * mib, loadPercent, leastLimit, 1},
		{"later, because of what was set", time.Second, 20 * mib, loadPercent, leastLimit, 1},
		{"much in use", 5 * time.Millisecond, 80 * mib, loadPercent, 108 * mib, 2},
		{"a little less", 5 * time.Millisecond, 79 * mib, loadPercent, 108 * mib, 2},
		{"rest", time.Minute, 8 * mib, restPercent, leastLimit, 3},
	} {
		now = now.Add(step.gap)
		c.collected(step.live)
		if c.percent != step.percent || c.limit != step.limit || sets != step.sets {
			t.Errorf("%s: %d %%, %d MiB, set %d times", step.name, c.percent, c.limit/mib, sets)
		}
	}
}
