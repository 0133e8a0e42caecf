package storage

import (
	"testing"
	"time"
)

// simulate runs publishers against a committer whose sync takes a millisecond,
// and gives messages a second and messages a group over ten seconds. arrive
// says how many messages come in a millisecond in which so many are unanswered.
func simulate(arrive func(ms, unanswered int) int) (rate, size float64) {
	var (
		l                       linger
		now                     = time.Unix(0, 0)
		waiting, syncing        int
		answered, groups, total int
	)
	for ms := range 10_000 {
		now = now.Add(time.Millisecond)
		answered += syncing // the sync of the last millisecond is done
		syncing = 0
		n := arrive(ms, total-answered)
		total += n
		waiting += n
		if waiting > 0 && l.wait(now, waiting) == 0 {
			l.gone(now, waiting)
			syncing, waiting = waiting, 0
			groups++
		}
	}
	return float64(answered) / 10, float64(answered) / float64(groups)
}

func TestLingerGathersWhereItIsFree(t *testing.T) {
	for _, c := range []struct {
		name             string
		arrive           func(ms, unanswered int) int
		minRate, minSize float64
	}{
		{"own pace, 333 a second", func(ms, _ int) int { return (ms%3 + 1) / 3 }, 325, 4},
		{"own pace, 50 a second", func(ms, _ int) int { return (ms%20 + 1) / 20 }, 49, 1},
		{"one waits for each answer", func(_, unanswered int) int { return 1 - unanswered }, 980, 0.9},
		{"twenty wait for their answers", func(_, unanswered int) int { return 20 - unanswered }, 18_000, 19},
		{"two hundred wait for their answers", func(_, unanswered int) int { return 200 - unanswered }, 198_000, 199},
	} {
		t.Run(c.name, func(t *testing.T) {
			rate, size := simulate(c.arrive)
			t.Logf("%.0f messages a second, %.1f a group", rate, size)
			if rate < c.minRate || size < c.minSize {
				t.Errorf("want at least %.0f a second and %.1f a group", c.minRate, c.minSize)
			}
		})
	}
}
