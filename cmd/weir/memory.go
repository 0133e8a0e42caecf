package main

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
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
// time without finding anything. It does not move up beyond seven eighths of what the
// process may use, though: then to collect all the time is better than to be killed.
//
// The end of a collection is the moment to look, and the runtime makes one every two
// minutes even when nothing happens.
//
// After load the process would stay as large as it became, with what nobody uses
// any more in it: there is no reason to collect. So when no collection has followed
// one for tidyAfter, the process is tidied, if it has grown since that was done last.
type collector struct {
	now  func() time.Time
	last time.Time // the end of the collection before
	set  func(percent int, limit int64)
	most int64 // the limit of limits

	calm   *time.Timer // rings when collections have ceased
	tidied atomic.Bool // the next collection is that of tidying
	mu     sync.Mutex
	tidy   int64 // the memory after tidying, guarded by mu

	row     [len(paces)]int // collections that have followed each other as closely
	percent int
	limit   int64
}

const (
	restPercent = 50
	restGap     = 2 * time.Second // collections farther apart than that are rest
	leastLimit  = 48 << 20

	// By then Badger has let go of the 8 MiB in which it builds tables, too: it keeps
	// them for up to four seconds after the last one.
	tidyAfter = 5 * time.Second
)

// pace is how close so many collections in a row must be for a percentage.
type pace struct {
	gap     time.Duration
	row     int
	percent int
}

// paces are work, as to drain a backlog is, and load: the most first. A start makes a
// few collections, too.
var paces = [...]pace{
	{200 * time.Millisecond, 32, 400},
	{time.Second, 8, 150},
}

// tuneMemory lets a collector follow the load, within what is available (0: who knows), unless the user has set GOGC or
// GOMEMLIMIT.
func tuneMemory(available int64) {
	ownPercent, ownLimit := os.Getenv("GOGC") == "", os.Getenv("GOMEMLIMIT") == ""
	c := &collector{now: time.Now, last: time.Now(), percent: restPercent, most: mostOf(available)}
	c.limit = min(leastLimit, c.most)
	c.calm = time.AfterFunc(tidyAfter, func() { c.tidyUp(mappedMemory, debug.FreeOSMemory) })
	c.set = func(percent int, limit int64) {
		if ownPercent {
			debug.SetGCPercent(percent)
		}
		if ownLimit {
			debug.SetMemoryLimit(limit)
		}
	}
	c.set(c.percent, c.limit)
	if ownPercent || ownLimit {
		c.watch()
	}
}

// mostOf is what Go's part of the memory may become. The rest is for the program
// itself and the files that it has mapped.
func mostOf(available int64) int64 {
	if available <= 0 {
		return math.MaxInt64
	}
	return available - available/8
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
	if !c.tidied.Swap(false) {
		c.calm.Reset(tidyAfter)
	}
	percent := c.percent
	if gap > restGap {
		percent = restPercent
	}
	for i, p := range paces {
		if c.row[i]++; gap >= p.gap {
			c.row[i] = 0
		}
		if c.row[i] >= p.row {
			percent = max(percent, p.percent)
		}
	}
	limit := min(max(leastLimit, live+live/2+8<<20), c.most)
	// To set them stops everything for a moment: not for small changes.
	if percent != c.percent || math.Abs(float64(limit-c.limit)) > float64(c.limit)/16 {
		c.percent, c.limit = percent, limit
		c.set(percent, limit)
	}
}

// tidyUp gives back to the system what is not in use.
func (c *collector) tidyUp(memory func() int64, free func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := memory()
	if c.tidy = min(c.tidy, now); now > c.tidy+c.tidy/4+4<<20 {
		c.tidied.Store(true)
		free()
		c.tidy = memory()
	}
}

// liveMemory is what the last collection found in use.
func liveMemory() int64 { return memoryMetric("/gc/heap/live:bytes") }

// mappedMemory is what the process has of the system.
func mappedMemory() int64 {
	return memoryMetric("/memory/classes/total:bytes") - memoryMetric("/memory/classes/heap/released:bytes")
}

func memoryMetric(name string) int64 {
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return int64(sample[0].Value.Uint64())
}
