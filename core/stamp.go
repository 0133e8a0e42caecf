package core

import (
	"hash/fnv"
	"os"
	"sync/atomic"
	"time"
)

// Stamp says when something happened on a machine whose wall clock may be wrong
// (a Pi has no clock at boot). Differences within one boot are taken from the
// monotonic time; only between boots does the wall clock decide.
type Stamp struct {
	Wall   int64  // Unix time in ns, as the clock showed it then
	Mono   int64  // ns since boot
	Boot   uint64 // identifies the boot; 0: not of this machine
	Synced bool   // the wall clock was known to be right
}

// Time is the wall time of the stamp.
func (s Stamp) Time() time.Time { return time.Unix(0, s.Wall) }

// IsZero says whether the stamp was never set.
func (s Stamp) IsZero() bool { return s == Stamp{} }

// Since is the time from earlier to s, never negative. Between two boots of
// which one had no right clock only the age of the later boot is known, and that
// is the answer: what may be fresh is not expired, and a machine that never learns
// the time still gets rid of what it has from before its boot.
func (s Stamp) Since(earlier Stamp) time.Duration {
	switch {
	case s.Boot == earlier.Boot:
		return time.Duration(max(0, s.Mono-earlier.Mono))
	case s.Synced && earlier.Synced:
		return time.Duration(max(0, s.Wall-earlier.Wall))
	case earlier.Boot == 0:
		return 0
	default:
		return time.Duration(max(0, s.Mono))
	}
}

// Clock makes stamps. Its methods may be called from any goroutine.
type Clock struct {
	boot   uint64
	start  time.Time // carries the monotonic reading that Mono counts from
	base   int64     // ns since boot at start
	synced atomic.Bool
}

// NewClock reads the boot id and the time since boot. Where the system tells
// neither, the process's own start stands in for the boot.
func NewClock() *Clock {
	c := &Clock{start: time.Now(), base: sinceBoot()}
	h := fnv.New64a()
	if id, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		h.Write(id)
	} else {
		h.Write([]byte(c.start.Format(time.RFC3339Nano)))
		c.base = 0
	}
	c.boot = h.Sum64()
	return c
}

// Now is the present moment.
func (c *Clock) Now() Stamp { return c.At(time.Now()) }

// At is the stamp of t, which must carry a monotonic reading of this process.
func (c *Clock) At(t time.Time) Stamp {
	return Stamp{
		Wall:   t.UnixNano(),
		Mono:   c.base + int64(t.Sub(c.start)),
		Boot:   c.boot,
		Synced: c.synced.Load(),
	}
}

// Correct gives a stamp of this boot that was made before the wall clock was known
// the wall time that it should have had, once the clock is known. Others stay: of
// an earlier boot nobody knows how wrong its clock was.
func (c *Clock) Correct(s Stamp) Stamp {
	now := c.Now()
	if s.Synced || !now.Synced || s.Boot != now.Boot {
		return s
	}
	s.Wall, s.Synced = now.Wall-(now.Mono-s.Mono), true
	return s
}

// SetSynced records whether the wall clock is known to be right.
func (c *Clock) SetSynced(ok bool) { c.synced.Store(ok) }

// Synced says whether the wall clock is known to be right.
func (c *Clock) Synced() bool { return c.synced.Load() }
