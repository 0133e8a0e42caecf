package main

import (
	"math"
	"sync"
	"time"

	"github.com/weir-edge/weir/core"
)

// fill tells how long the store takes what comes, at the present rate.
type fill struct {
	reserve uint64 // of the disk, not to be used

	mu      sync.Mutex
	at      time.Time
	written uint64
	owed    uint64
	rate    float64 // bytes a second, smoothed; 0: nothing piles up
}

// fillSmooth is over how long the rate is smoothed: an hour would be slow to notice
// an outage, a second is not a rate.
const fillSmooth = time.Minute

// seconds looks at the store, and says how long until it is full; 0 while nothing
// piles up. What is written counts, not what the files take, since those grow in steps.
func (f *fill) seconds(s *core.BufferStatus, now time.Time) float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := now.Sub(f.at)
	switch {
	case f.at.IsZero():
		f.at, f.written, f.owed = now, s.WrittenBytes, s.Messages
	case d >= time.Second:
		rate := 0.0
		if s.Messages > f.owed {
			rate = float64(s.WrittenBytes-min(f.written, s.WrittenBytes)) / d.Seconds()
		}
		if f.rate == 0 || s.Messages < f.owed {
			f.rate = rate
		} else {
			f.rate += (rate - f.rate) * (1 - math.Exp(-float64(d)/float64(fillSmooth)))
		}
		f.at, f.written, f.owed = now, s.WrittenBytes, s.Messages
	}
	if f.rate < 1 {
		return 0
	}
	left := s.Budget - min(s.Bytes, s.Budget)
	if s.FreeBytes > 0 {
		left = min(left, s.FreeBytes-min(f.reserve, s.FreeBytes))
	}
	return float64(left) / f.rate
}

// joinRules gives the rules of a bridge what the store knows of them. What it has
// dropped, it has told their queues, which have counted it.
func joinRules(b *core.BridgeStatus, buffer *core.BufferStatus) {
	for i := range b.Rules {
		r := &b.Rules[i]
		for j := range buffer.Receivers {
			if q := &buffer.Receivers[j]; q.Receiver != 0 && (q.Receiver == r.Receiver || q.Receiver == r.Beside) {
				r.Bytes, r.Oldest = r.Bytes+q.Bytes, max(r.Oldest, q.Oldest)
			}
		}
		if b.DrainRate < 0 && r.Owed > 0 {
			b.FullSeconds = buffer.FullSeconds
		}
	}
}
