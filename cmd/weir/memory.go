package main

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// collector sets Go's collector for a small machine. At rest it collects early, so
// that the process stays small. Under load that would mean a collection for every
// second message of a megabyte, and the memory between two collections given back
// to the system and taken again each time: measured, 2.4 instead of 1.1 ms for such
// a message. So while collections follow each other closely, they are made later.
//
// The limit is what lets later not become too late. It moves up with what is really
// in use: a limit that the live memory comes near makes the collector run all the
// time without finding anything.
//
// The end of a collection is the moment to look. When load ends there may be none
// for two minutes; so one is made then, which gives back what the load has taken.
type collector struct {
	now   func() time.Time
	last  time.Time // the end of the collection before
	set   func(percent int, limit int64)
	after func(time.Duration) // makes a collection when there was none for so long

	row     int // collections that have followed closely
	percent int
	limit   int64
}

const (
	restPercent = 50
	loadPercent = 400
	leastLimit  = 48 << 20

	// Collections closer than loadGap are load when there are loadRow of them in a
	// row (a start makes a few); farther than restGap, rest.
	loadGap = 200 * time.Millisecond
	loadRow = 32
	restGap = 2 * time.Second
	calmGap = 3 * time.Second
)

// tuneMemory lets a collector follow the load, unless the user has set GOGC or
// GOMEMLIMIT.
func tuneMemory() {
	ownPercent, ownLimit := os.Getenv("GOGC") == "", os.Getenv("GOMEMLIMIT") == ""
	calm := time.AfterFunc(math.MaxInt64, debug.FreeOSMemory)
	c := &collector{now: time.Now, last: time.Now(), percent: restPercent, limit: leastLimit}
	c.set = func(percent int, limit int64) {
		if ownPercent {
			debug.SetGCPercent(percent)
		}
		if ownLimit {
			debug.SetMemoryLimit(limit)
		}
	}
	c.after = func(d time.Duration) { calm.Reset(d) }
	c.set(c.percent, c.limit)
	if ownPercent || ownLimit {
		c.watch()
	}
}

// watch calls collected after every collection: a small object that nobody holds is
// found by each of them.
func (c *collector) watch() {
	sentinel := new([16]*byte)
	runtime.AddCleanup(sentinel, func(c *collector) {
		c.collected(liveMemory())
		c.watch()
	}, c)
}

// collected: a collection has ended and left this much.
func (c *collector) collected(live int64) {
	now := c.now()
	gap := now.Sub(c.last)
	c.last = now
	if c.row++; gap >= loadGap {
		c.row = 0
	}
	if gap <= restGap {
		c.after(calmGap)
	}
	percent := c.percent
	switch {
	case c.row >= loadRow:
		percent = loadPercent
	case gap > restGap:
		percent = restPercent
	}
	limit := max(leastLimit, live+live/4+8<<20)
	// To set them stops everything for a moment: not for small changes.
	if percent != c.percent || math.Abs(float64(limit-c.limit)) > float64(c.limit)/16 {
		c.percent, c.limit = percent, limit
		c.set(percent, limit)
	}
}

func liveMemory() int64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return int64(sample[0].Value.Uint64())
}
