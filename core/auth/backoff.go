package auth

import (
	"net/netip"
	"time"
)

// Backoff says for how long an address, or a user name, is held off after wrong
// passwords. The zero value is the default.
type Backoff struct {
	After int           // so many are free; default 5
	Min   time.Duration // the first pause; it doubles; default 1 s
	Max   time.Duration // default 1 min
}

func (b Backoff) withDefaults() Backoff {
	if b.After == 0 {
		b.After = 5
	}
	if b.Min == 0 {
		b.Min = time.Second
	}
	if b.Max == 0 {
		b.Max = time.Minute
	}
	return b
}

// suspect is who is held off: an address, or a user name.
type suspect struct {
	from netip.Addr
	user string
}

// failures counts what went wrong for each suspect. It forgets who has done nothing
// wrong for a while, and when there are too many, any one of them.
type failures struct {
	Backoff
	of map[suspect]failure
}

type failure struct {
	times int
	last  time.Time
	until time.Time // held off
}

const (
	maxSuspects = 8 << 10
	// forgetAfter is so many of the longest pauses.
	forgetAfter = 10
)

// held says whether a suspect is held off.
func (f *failures) held(s suspect, now time.Time) bool { return now.Before(f.of[s].until) }

// add notes that a suspect has failed.
func (f *failures) add(s suspect, now time.Time) {
	x, known := f.of[s]
	if now.Sub(x.last) > forgetAfter*f.Max {
		x = failure{}
	}
	if !known && len(f.of) >= maxSuspects {
		f.makeRoom(now)
	}
	x.times, x.last = x.times+1, now
	if over := x.times - f.After; over >= 0 {
		x.until = now.Add(min(f.Min<<min(over, 30), f.Max))
	}
	f.of[s] = x
}

// makeRoom forgets a few: the order of a map is none, and that will do.
func (f *failures) makeRoom(now time.Time) {
	looked := 0
	for s, x := range f.of {
		if looked++; looked > 8 {
			break
		}
		if looked == 1 || now.After(x.until) {
			delete(f.of, s)
		}
	}
}

// heldOff counts those who are held off now.
func (f *failures) heldOff(now time.Time) (n int) {
	for _, x := range f.of {
		if now.Before(x.until) {
			n++
		}
	}
	return n
}
