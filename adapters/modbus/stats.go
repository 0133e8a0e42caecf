package modbus

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/weir-edge/weir/core"
)

// deviceStats counts what happened to a device. The loop writes, anybody reads.
type deviceStats struct {
	mu       sync.Mutex
	up       bool
	problem  string
	lastSeen time.Time
	requests uint64
	errors   map[string]uint64
	recent   [256]time.Duration // round trips, a ring
	answers  int                // ever
	thinking time.Duration      // moving average of the turnaround
}

// answered counts a good answer or an exception after took, of which thinking
// was the device's. note is what is to be known of a device that is up.
func (s *deviceStats) answered(at time.Time, took, thinking time.Duration, note string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	s.up, s.problem, s.lastSeen = true, note, at
	s.recent[s.answers%len(s.recent)] = took
	if s.answers == 0 {
		s.thinking = thinking
	}
	s.thinking += (thinking - s.thinking) / 8
	s.answers++
}

// failed counts a request that failed with an error of this kind.
func (s *deviceStats) failed(kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	s.countLocked(kind, 1)
}

// count counts something that isn't a request.
func (s *deviceStats) count(kind string, n uint64) {
	if n == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.countLocked(kind, n)
}

func (s *deviceStats) countLocked(kind string, n uint64) {
	if s.errors == nil {
		s.errors = make(map[string]uint64)
	}
	s.errors[kind] += n
}

// set records the state of the device.
func (s *deviceStats) set(up bool, problem string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.up, s.problem = up, problem
}

// enoughAnswers is from when on the statistics say something.
const enoughAnswers = 16

// turnaround is how long the device takes to answer, when that is known.
func (s *deviceStats) turnaround() (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(s.thinking, 0), s.answers >= enoughAnswers
}

// slowest is the p99 of the round trips, when that is known.
func (s *deviceStats) slowest() (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.percentilesLocked()[1], s.answers >= enoughAnswers
}

// percentilesLocked gives p50 and p99 of the last round trips.
func (s *deviceStats) percentilesLocked() (p [2]time.Duration) {
	n := min(s.answers, len(s.recent))
	if n == 0 {
		return p
	}
	sorted := s.recent
	slices.Sort(sorted[:n])
	return [2]time.Duration{sorted[(n-1)*50/100], sorted[(n-1)*99/100]}
}

// status is a snapshot.
func (s *deviceStats) status(name string) core.DeviceStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.percentilesLocked()
	return core.DeviceStatus{
		Name:     name,
		Up:       s.up,
		Error:    s.problem,
		LastSeen: s.lastSeen,
		Requests: s.requests,
		Errors:   maps.Clone(s.errors),
		P50:      p[0].Seconds(),
		P99:      p[1].Seconds(),
	}
}

// loadMeter measures which share of the time the line is in use.
type loadMeter struct {
	begun          time.Time // of the current window
	busy, lastBusy time.Duration
}

// loadWindow is the time over which the load is averaged: between one and two of
// these.
const loadWindow = 10 * time.Second

func (m *loadMeter) add(now time.Time, busy time.Duration) {
	m.turn(now)
	m.busy += busy
}

// turn begins a new window when the current one is over.
func (m *loadMeter) turn(now time.Time) {
	switch age := now.Sub(m.begun); {
	case age >= 2*loadWindow:
		m.begun, m.lastBusy, m.busy = now, 0, 0
	case age >= loadWindow:
		m.begun, m.lastBusy, m.busy = m.begun.Add(loadWindow), m.busy, 0
	}
}

// load is the share, from 0 to 1.
func (m *loadMeter) load(now time.Time) float64 {
	m.turn(now)
	window := now.Sub(m.begun)
	if m.lastBusy > 0 {
		window += loadWindow
	}
	if window <= 0 {
		return 0
	}
	return min(1, float64(m.busy+m.lastBusy)/float64(window))
}
