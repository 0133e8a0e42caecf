package serial

import "time"

// limiter lets through so many frames a second, and as many at once after a
// pause. It takes the time from its caller.
type limiter struct {
	rate   float64 // a second
	tokens float64
	at     time.Time
}

func newLimiter(rate int) limiter { return limiter{rate: float64(rate), tokens: float64(rate)} }

// allow takes one, if there is one left.
func (l *limiter) allow(now time.Time) bool {
	if !l.at.IsZero() {
		l.tokens = min(l.rate, l.tokens+now.Sub(l.at).Seconds()*l.rate)
	}
	l.at = now
	if l.tokens < 1 {
		return false
	}
	l.tokens--
	return true
}
