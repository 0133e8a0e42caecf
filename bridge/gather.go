package bridge

import "time"

// gather lets the messages of a steady stream come together before they leave, and
// their acknowledgements before they are taken in: then several share a write, a
// segment on the line and a turn here. What comes alone never waits.
//
// A publisher that sends its next message only when the last is acknowledged would
// be slowed down by that. Nobody can tell such a stream from a steady one by looking
// at it, so it is tried: if as much gets through while messages gather as before, we
// go on with it. Owned by the link.
type gather struct {
	most time.Duration // how long messages gather; 0: not at all
	mode gatherMode
	keep time.Time     // until when the verdict of a trial holds
	rest time.Duration // between the trials of a stream that they harm

	begin time.Time // of the present span
	sent  int       // messages since then
	apart float64   // messages a second, in the last span in which none waited

	due    time.Time // when what has gathered leaves
	behind bool      // it is a backlog, which no new message moves
}

type gatherMode uint8

const (
	gatherNot     gatherMode = iota // each leaves at once; it is measured how many do
	gatherTrial                     // they gather; it is measured how many leave
	gatherOn                        // it did no harm
	gatherRefused                   // it did
)

const (
	gatherSpan    = 250 * time.Millisecond // a measurement
	gatherVerdict = 10 * time.Second       // what a good one is good for
	gatherRetry   = time.Second            // and a bad one, the first time: it may be by chance
	gatherRest    = time.Minute            // and in the end
	gatherFewest  = 2                      // messages that must come while some gather, or it is in vain
	gatherHarm    = 0.75                   // of the messages before: fewer are harm. A stream varies by itself
	gatherPart    = 20                     // of a round trip is what a backlog gathers
	gatherLate    = 4                      // times most: the longest that the last of a stream wait
)

// on says whether messages gather now.
func (g *gather) on() bool { return g.mode == gatherTrial || g.mode == gatherOn }

// holds says whether messages shall wait in this turn.
func (g *gather) holds(now time.Time) bool {
	if g.most == 0 {
		return false
	}
	if now.Sub(g.begin) >= gatherSpan {
		g.judge(now)
	}
	return g.on() && now.Before(g.due)
}

// left notes that n messages have left, of a backlog or not. rtt is the round trip if
// they have filled the window, and else 0: a backlog comes from the disk in large
// pieces, and gathers only while the window is full, for the sake of the
// acknowledgements. Each moment of that is one of the round trip that limits it, so it
// is a small part of that, and nothing while no acknowledgements come.
func (g *gather) left(now time.Time, n int, backlog bool, rtt time.Duration) {
	g.sent += n
	g.behind = backlog
	switch {
	case !backlog:
		g.due = now.Add(g.most)
	case n > 0:
		g.due = now.Add(min(g.most, rtt/gatherPart))
	default:
		g.due = now
	}
}

// wakeAt is when a turn is due because of what may have gathered; zero: none is. As
// long as messages come, they bring turns with them, and a timer of its own is too
// dear. It is for the last ones; and for a backlog, which nothing else moves.
func (g *gather) wakeAt(now time.Time) time.Time {
	switch {
	case !g.on():
		return time.Time{}
	case g.behind && now.Before(g.due):
		return g.due
	case g.behind:
		return time.Time{}
	}
	return g.due.Add((gatherLate - 1) * g.most)
}

// judge ends a span.
func (g *gather) judge(now time.Time) {
	rate := float64(g.sent) / now.Sub(g.begin).Seconds()
	g.begin, g.sent = now, 0
	switch steady := rate*g.most.Seconds() >= gatherFewest; {
	case g.mode == gatherTrial && rate < gatherHarm*g.apart:
		g.rest = min(max(2*g.rest, gatherRetry), gatherRest)
		g.mode, g.keep = gatherRefused, now.Add(g.rest)
	case !steady:
		g.mode = gatherNot
	case g.mode == gatherNot:
		g.mode, g.apart = gatherTrial, rate
	case g.mode == gatherTrial:
		g.mode, g.keep, g.rest = gatherOn, now.Add(gatherVerdict), 0
	case !now.Before(g.keep):
		g.mode = gatherNot
	}
}
