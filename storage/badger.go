package storage

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// Sizes of the two kinds of database. A Badger transaction takes 15 % of the
// memtable; a value of the threshold or more would go to the value log, which
// we don't use: larger pages are cut into chunks, and larger facts into parts.
const (
	segmentMemtable  = 2 << 20
	segmentThreshold = 250_000
	chunkSize        = 192 << 10

	metaMemtable  = 1 << 20
	metaThreshold = 100_000
	metaTxnBytes  = 120_000
	metaTxnOps    = 1000
)

// watermark is the free space below which nothing is written, so that what is begun has
// its room: a journal that is full, its table, the next journal, and the same for the state.
const watermark = 4*segmentMemtable + 4<<20

// segmentOptions has one writer, no compaction, no value log, and no checksums
// of Badger's (a page has its own, and Badger answers a wrong one by ending the
// iteration). We sync the journal ourselves, once a group (see journal), and make the
// tables (see settle).
func segmentOptions(dir string, log *slog.Logger) badger.Options {
	return badger.DefaultOptions(dir).
		WithMemTableSize(segmentMemtable).
		WithValueThreshold(segmentThreshold).
		WithBlockSize(256 << 10).
		WithNumCompactors(0).
		WithValueLogFileSize(1 << 20).
		WithCompression(options.None).
		WithBlockCacheSize(0).
		WithIndexCacheSize(0).
		WithDetectConflicts(false).
		WithMetricsEnabled(false).
		WithChecksumVerificationMode(options.NoVerification).
		WithSyncWrites(false).
		WithBypassLockGuard(true). // the store has a lock of its own
		WithLogger(badgerLogger{log})
}

func metaOptions(dir string, log *slog.Logger) badger.Options {
	return segmentOptions(dir, log).
		WithMemTableSize(metaMemtable).
		WithValueThreshold(metaThreshold).
		WithBlockSize(128 << 10)
}

// badgerLogger passes on what Badger has to complain about.
type badgerLogger struct{ log *slog.Logger }

func (l badgerLogger) Errorf(f string, a ...any)   { l.log.Error(badgerLine(f, a)) }
func (l badgerLogger) Warningf(f string, a ...any) { l.log.Warn(badgerLine(f, a)) }
func (l badgerLogger) Infof(string, ...any)        {}
func (l badgerLogger) Debugf(string, ...any)       {}

func badgerLine(format string, args []any) string {
	return "badger: " + strings.TrimSpace(fmt.Sprintf(format, args...))
}

// view reads from a database.
func view(db *badger.DB, fn func(*badger.Txn) error) error {
	return guarded(func() error { return db.View(fn) })
}

// guarded has Badger do something. Damage in a block can make it run out of bounds; and a
// sector that the disk does not give, or does not have any more, is a fault of the mapping
// through which it reads and writes, which would end the process. Both are errors here.
func guarded(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // of this goroutine
	defer func() {
		switch r := recover().(type) {
		case nil:
		case interface{ Addr() uintptr }:
			err = fmt.Errorf("%w: %w: %v", errDamaged, errFault, r)
		default:
			err = fmt.Errorf("%w: %v", errDamaged, r)
		}
	}()
	return do()
}

// errFault: the disk did not give a page of a mapping, or had no room for it.
var errFault = errors.New("a page of a mapped file could not be had")
