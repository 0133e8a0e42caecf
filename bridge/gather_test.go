package bridge

import (
	"testing"
	"time"
)

// stream drives a gather through virtual time, in steps of 100 µs. arrive says how
// many messages come in a step, given how many wait and when the last left.
type stream struct {
	gather
	start, now time.Time
	waiting    int
	lastLeft   time.Time
	sent       int
	turns      int           // in which messages left
	longest    time.Duration // that one has waited
	since      time.Time     // the oldest that waits came
}

const streamStep = 100 * time.Microsecond

func newStream() *stream {
	start := time.Unix(1e9, 0)
	return &stream{gather: gather{most: 5 * time.Millisecond}, start: start, now: start}
}

func (s *stream) run(d time.Duration, arrive func(*stream) int) {
	for end := s.now.Add(d); s.now.Before(end); s.now = s.now.Add(streamStep) {
		n := arrive(s)
		if n > 0 && s.waiting == 0 {
			s.since = s.now
		}
		s.waiting += n
		wake := s.wakeAt(s.now)
		if n > 0 || !wake.IsZero() && !s.now.Before(wake) {
			s.turn()
		}
	}
}

func (s *stream) turn() {
	if s.holds(s.now) {
		return
	}
	if s.waiting > 0 {
		s.longest = max(s.longest, s.now.Sub(s.since))
		s.turns++
		s.lastLeft = s.now
	}
	s.left(s.now, s.waiting, false, 0)
	s.sent += s.waiting
	s.waiting = 0
}

// every is a message each d, whatever becomes of those before.
func every(d time.Duration) func(*stream) int {
	return func(s *stream) int {
		if s.now.Sub(s.start)%d == 0 {
			return 1
		}
		return 0
	}
}

// oneInFlight is a publisher that sends its next message 300 µs after the last left.
func oneInFlight(s *stream) int {
	if s.waiting == 0 && s.now.Sub(s.lastLeft) >= 300*time.Microsecond {
		return 1
	}
	return 0
}

func TestGatherSteady(t *testing.T) {
	s := newStream()
	s.run(10*time.Second, every(time.Millisecond))
	if s.mode != gatherOn {
		t.Errorf("mode %d", s.mode)
	}
	if s.turns > s.sent/4 || s.sent < 9_990 {
		t.Errorf("%d messages left in %d turns", s.sent, s.turns)
	}
	if s.longest > 6*time.Millisecond {
		t.Errorf("one waited for %v", s.longest)
	}
	s.run(time.Second, func(*stream) int { return 0 })
	if s.waiting > 0 || s.longest > gatherLate*5*time.Millisecond {
		t.Errorf("the end of the stream: %d wait, longest %v", s.waiting, s.longest)
	}
	if s.on() || !s.wakeAt(s.now).IsZero() {
		t.Error("there is no stream, and still a timer")
	}
}

func TestGatherSparse(t *testing.T) {
	s := newStream()
	s.run(10*time.Second, every(10*time.Millisecond))
	if s.longest > 0 || s.turns != s.sent {
		t.Errorf("longest wait %v, %d turns for %d", s.longest, s.turns, s.sent)
	}
}

// TestGatherHarm: who waits for each acknowledgement loses next to nothing.
func TestGatherHarm(t *testing.T) {
	free, s := newStream(), newStream()
	free.most = 0
	free.run(60*time.Second, oneInFlight)
	s.run(60*time.Second, oneInFlight)
	if s.sent < free.sent*97/100 {
		t.Errorf("%d messages instead of %d", s.sent, free.sent)
	}
}

// TestGatherBacklog: what waits behind a full window leaves on time, with no message
// coming; and what the disk has for a window with room, at once.
func TestGatherBacklog(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name    string
		backlog bool
		n       int
		rtt     time.Duration // 0: the window has room
		held    time.Duration
		wake    time.Duration // zero: none
	}{
		{"steady", false, 100, 0, 5 * ms, 20 * ms},
		{"steady, window full", false, 100, 100 * ms, 5 * ms, 20 * ms},
		{"backlog", true, 100, 0, 0, 0},
		{"backlog, window full", true, 100, 40 * ms, 2 * ms, 2 * ms},
		{"backlog, window full, long way", true, 100, time.Second, 5 * ms, 5 * ms},
		{"backlog, window full, no acknowledgements", true, 0, 100 * ms, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStream()
			s.mode, s.keep, s.begin = gatherOn, s.now.Add(gatherVerdict), s.now
			s.left(s.now, c.n, c.backlog, c.rtt)
			if at := s.wakeAt(s.now); c.wake == 0 && !at.IsZero() || c.wake > 0 && !at.Equal(s.now.Add(c.wake)) {
				t.Errorf("a turn is due at %v, want one after %v", at, c.wake)
			}
			if c.held > 0 && !s.holds(s.now.Add(c.held-1)) || s.holds(s.now.Add(c.held)) {
				t.Errorf("messages are not held for %v", c.held)
			}
		})
	}
}

func TestGatherOff(t *testing.T) {
	s := newStream()
	s.most = 0
	s.run(time.Second, every(time.Millisecond))
	if s.turns != s.sent {
		t.Errorf("%d turns for %d messages", s.turns, s.sent)
	}
}
