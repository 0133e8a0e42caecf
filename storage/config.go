package storage

import (
	"log/slog"
	"time"

	"github.com/weir-edge/weir/core"
)

// Promise is what an acknowledgement stands for, by the name that configurations
// have for it.
type Promise string

// The promises.
const (
	Synced  Promise = "synced"  // on disk, synced: survives a power cut
	Written Promise = "written" // in the page cache: survives a kill, not a power cut
	Memory  Promise = "memory"  // in memory: acknowledged at once, written without haste
)

// inflightMost is the largest window that SetInflight may ask for.
const inflightMost = 1000

// Level is the promise of a single message.
func (p Promise) Level() core.Promise {
	switch p {
	case Memory:
		return core.PromiseMemory
	case Written:
		return core.PromiseWritten
	case Synced:
		return core.PromiseSynced
	default:
		return core.PromiseDefault
	}
}

// Config says where and how a log is kept. The zero value of a field is its default.
type Config struct {
	// Dir is the directory of the store. It is made when missing.
	Dir string
	// Promise defaults to Synced.
	Promise Promise
	// Budget bounds the bytes of the store on disk. Default 2 GiB.
	Budget int64
	// Reserve is what stays free on the file system; below it the store is full.
	// The watermark below which nothing is written (12 MiB) holds in any case. Default 0.
	Reserve int64
	// MaxTail bounds the bytes of messages in memory; beyond it Append refuses,
	// whatever the policies say, because memory is not to be had. A quarter of it
	// is only for messages that need no disk. Default 16 MiB.
	MaxTail int64
	// MaxInflight is the usual window of unacknowledged messages of a receiver, and
	// how many payments a kill may undo. A receiver may have a larger one: SetInflight.
	// After so many payments a position is written. Default 64.
	MaxInflight int
	// RetainedFlush bounds how long a lazy change waits for a commit. Default 10 s.
	RetainedFlush time.Duration
	// Notify is called, from any goroutine, when there is something to collect.
	// It must not block.
	Notify func()
	// Clock stamps the present for expiry and ages. Default: a new one.
	Clock *core.Clock
	// Logger defaults to one that discards.
	Logger *slog.Logger

	seam    *seam         // of the tests
	segment int64         // bytes of pages after which a segment is sealed; of the tests
	retry   time.Duration // the longest wait before a failed write is tried again; of the tests
	formats formats       // those of this program; of the tests
}

func (c Config) withDefaults() Config {
	if c.Promise == "" {
		c.Promise = Synced
	}
	if c.Budget == 0 {
		c.Budget = 2 << 30
	}
	if c.MaxTail == 0 {
		c.MaxTail = 16 << 20
	}
	if c.MaxInflight == 0 {
		c.MaxInflight = 64
	}
	if c.RetainedFlush == 0 {
		c.RetainedFlush = 10 * time.Second
	}
	if c.Notify == nil {
		c.Notify = func() {}
	}
	if c.Clock == nil {
		c.Clock = core.NewClock()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.segment == 0 {
		c.segment = min(segmentMax, max(segmentMin, c.Budget/8))
	}
	if c.retry == 0 {
		c.retry = 500 * time.Millisecond
	}
	if c.formats.version == 0 {
		c.formats = thisFormat()
	}
	if c.seam == nil {
		c.seam = newSeam()
	}
	return c
}
