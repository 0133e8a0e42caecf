package bridge

import (
	"math/rand/v2"
	"time"
)

// stableAfter is how long a connection must have lasted for the next attempt to
// begin with the shortest pause again.
const stableAfter = 10 * time.Second

// pacer spaces the attempts to connect. Many gateways lose their upstream at the
// same moment; the jitter keeps them from coming back at the same moment.
type pacer struct {
	min, max time.Duration
	last     time.Duration
}

// next is the pause after a connection that lasted for lived (0: there was none).
func (p *pacer) next(lived time.Duration, refused bool) time.Duration {
	if refused { // asking again soon would not help, and may lock us out
		return between(p.max, 2*p.max)
	}
	if lived >= stableAfter {
		p.last = 0
	}
	p.last = min(p.max, between(p.min, 3*max(p.last, p.min)))
	return p.last
}

// between is a random duration in [lo, hi).
func between(lo, hi time.Duration) time.Duration {
	if hi <= lo {
		return lo
	}
	return lo + rand.N(hi-lo)
}

// bucket limits a rate: it fills with rate tokens a second up to burst.
type bucket struct {
	rate   float64 // 0: no limit
	burst  float64
	tokens float64
	at     time.Time
}

func newBucket(d Drain) bucket {
	return bucket{rate: d.Rate, burst: float64(d.Burst), tokens: float64(d.Burst)}
}

// left is how many may go now.
func (b *bucket) left(now time.Time) int {
	if b.rate == 0 {
		return unlimited
	}
	if !b.at.IsZero() {
		b.tokens = min(b.burst, b.tokens+now.Sub(b.at).Seconds()*b.rate)
	}
	b.at = now
	return int(b.tokens)
}

// unlimited is more than ever goes at a time.
const unlimited = 1 << 20

func (b *bucket) spend(n int) {
	if b.rate > 0 {
		b.tokens -= float64(n)
	}
}

// wait is how long until one may go.
func (b *bucket) wait(now time.Time) time.Duration {
	if b.left(now) >= 1 {
		return 0
	}
	return time.Duration((1-b.tokens)/b.rate*float64(time.Second)) + time.Millisecond
}
