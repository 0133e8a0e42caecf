package storage

import (
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// Sizes of the two kinds of database. A Badger transaction takes 15 % of the
// memtable; a value of valueThreshold or more would go to the value log, which
// we don't use: larger pages are cut into chunks.
const (
	segmentMemtable  = 2 << 20
	segmentThreshold = 250_000
	chunkSize        = 192 << 10

	metaMemtable  = 1 << 20
	metaThreshold = 100_000
	metaTxnBytes  = 120_000
	metaTxnOps    = 1000
)

// watermark is the free space below which nothing is written: Badger writes
// journal and tables through mappings, and a full disk would be a SIGBUS that
// nothing in the process can catch.
const watermark = 4*segmentMemtable + 4<<20

// segmentOptions has one writer, no compaction, no value log, and no checksums
// of Badger's (a page has its own, and Badger answers a wrong one by ending the
// iteration). We sync the journal ourselves, once a group (see journal).
func segmentOptions(dir string, log *slog.Logger) badger.Options {
	return badger.DefaultOptions(dir).
		WithMemTableSize(segmentMemtable).
		WithBaseTableSize(2 * segmentMemtable). // see guardTables
		WithValueThreshold(segmentThreshold).
		WithBlockSize(256 << 10).
		WithNumMemtables(1).
		WithNumCompactors(0).
		WithNumLevelZeroTables(5).
		WithNumLevelZeroTablesStall(1000).
		WithValueLogFileSize(1 << 20).
		WithCompression(options.None).
		WithBlockCacheSize(0).
		WithIndexCacheSize(0).
		WithDetectConflicts(false).
		WithMetricsEnabled(false).
		WithNumGoroutines(1).
		WithCompactL0OnClose(false).
		WithChecksumVerificationMode(options.NoVerification).
		WithSyncWrites(false).
		WithBypassLockGuard(true). // the store has a lock of its own
		WithLogger(badgerLogger{log})
}

// metaOptions syncs every transaction: a checkpoint has few.
func metaOptions(dir string, log *slog.Logger) badger.Options {
	return segmentOptions(dir, log).
		WithMemTableSize(metaMemtable).
		WithBaseTableSize(2 * metaMemtable).
		WithValueThreshold(metaThreshold).
		WithBlockSize(128 << 10).
		WithNumLevelZeroTables(4).
		WithValueLogFileSize(8 << 20). // values of up to 8 MiB: large retained messages
		WithSyncWrites(true)
}

// guardTables refuses options with which Badger's table builder loses data on
// 32-bit machines. The builder takes its blocks from an arena that begins with
// one part of twice BaseTableSize, rounded up to a power of two. The shift by
// which it goes on to a second part overflows there, so that it begins anew with
// the first and overwrites what it has built. So the first part must be enough:
//
//   - no entry is larger than a block, because a block that grows is copied to a
//     larger one, and its old place is lost;
//   - of two blocks in a row one is more than half full, so that the blocks take
//     at most twice what the memtable holds, and one more;
//   - the memtable holds at most its size and one transaction, 15 % of it.
func guardTables(o badger.Options) error {
	arena := int64(1)
	for arena < 2*o.BaseTableSize {
		arena *= 2
	}
	need := 2*(o.MemTableSize+o.MemTableSize*15/100) + int64(o.BlockSize)
	if o.ValueThreshold+entryOverhead > int64(o.BlockSize) || need > arena {
		return fmt.Errorf("tables of %d with blocks of %d are too small for memtables of %d and values of %d",
			o.BaseTableSize, o.BlockSize, o.MemTableSize, o.ValueThreshold)
	}
	return nil
}

// entryOverhead is more than a key and what Badger adds take in a block.
const entryOverhead = 2 << 10

// badgerLogger passes on what Badger has to complain about.
type badgerLogger struct{ log *slog.Logger }

func (l badgerLogger) Errorf(f string, a ...any)   { l.log.Error(badgerLine(f, a)) }
func (l badgerLogger) Warningf(f string, a ...any) { l.log.Warn(badgerLine(f, a)) }
func (l badgerLogger) Infof(string, ...any)        {}
func (l badgerLogger) Debugf(string, ...any)       {}

func badgerLine(format string, args []any) string {
	return "badger: " + strings.TrimSpace(fmt.Sprintf(format, args...))
}

// journal writes to an open database and keeps track of its .mem files, the mapped
// journals of its memtables. It belongs to the committer.
//
// It gives the transactions their versions. Badger would do that with two goroutines,
// to which each transaction is handed over four times, for the sake of several writers
// and of readers who see a moment; here is one writer, and a page is written once. That
// is an eighth of the processor time of a drain.
type journal struct {
	db      *badger.DB
	version uint64 // of the last transaction
	begun   uint64 // what it was at opening

	dir   string
	size  int64 // to allocate
	seam  *seam
	next  int        // number of the file that does not exist yet,
	name  string     // and its name
	dirty []*os.File // written to since the last sync, oldest first; the last is the current one
	taken *takeover  // the mapping of the current one
	fresh bool       // the name of the current one may not be durable: Badger does not see to that
}

// openJournal begins with the newest file.
func openJournal(db *badger.DB, memtable int64, s *seam) (*journal, error) {
	dir := db.Opts().Dir
	names, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("no journal in %s", dir)
	}
	newest, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(slices.Max(names)), ".mem"))
	if err != nil {
		return nil, fmt.Errorf("name of journal: %w", err)
	}
	version := db.MaxVersion()
	j := &journal{db: db, version: version, begun: version, dir: dir, size: memtable + memtable/4, seam: s}
	j.expect(newest)
	if err := j.follow(); err != nil {
		j.close()
		return nil, err
	}
	return j, nil
}

// begin opens a transaction, which sees all that was written before.
func (j *journal) begin() *badger.Txn { return j.db.NewTransactionAt(math.MaxUint64, true) }

// commit writes a transaction, which survives a kill from now on, and is durable after
// the next sync. The first one in a new file is in it already.
func (j *journal) commit(txn *badger.Txn) error {
	j.version++
	if err := j.seam.commit(txn, j.version); err != nil {
		return err
	}
	if !absent(j.name) {
		return j.follow()
	}
	return j.taken.flush(j.dirty[len(j.dirty)-1], j.seam.write)
}

// follow takes up the files that Badger has begun since the last transaction.
func (j *journal) follow() error {
	for !absent(j.name) {
		f, err := j.seam.openFile(j.name, os.O_RDWR)
		if err != nil {
			return fmt.Errorf("open journal: %w", err)
		}
		j.dirty, j.fresh = append(j.dirty, f), true
		if err := j.seam.allocate(f, j.size); err != nil {
			return err
		}
		if j.taken, err = takeOver(j.name); err != nil {
			return err
		}
		j.expect(j.next + 1)
	}
	return nil
}

func (j *journal) expect(n int) {
	j.next, j.name = n, filepath.Join(j.dir, fmt.Sprintf("%05d.mem", n))
}

// sync makes all transactions so far durable. A journal that Badger has turned
// into a table meanwhile is durable as that table; syncing its file is harmless.
func (j *journal) sync() error {
	for _, f := range j.dirty {
		if err := j.seam.syncData(f); err != nil {
			return fmt.Errorf("sync journal: %w", err)
		}
	}
	j.trim()
	return j.syncName()
}

// syncName makes the name of the current file durable, if it is a new one.
func (j *journal) syncName() error {
	if !j.fresh {
		return nil
	}
	if err := j.seam.syncDir(j.dir); err != nil {
		return err
	}
	j.fresh = false
	return nil
}

// trim forgets all files but the current one.
func (j *journal) trim() {
	n := len(j.dirty) - 1
	if n <= 0 {
		return
	}
	for _, f := range j.dirty[:n] {
		f.Close()
	}
	j.dirty = append(j.dirty[:0], j.dirty[n])
}

// written: closing the database makes a table of the journal, for which Badger has no
// other way. Without room for that the database stays open until the process ends, and
// the next opening goes on with the journal.
func (j *journal) written() bool { return j.version != j.begun }

func (j *journal) close() {
	for _, f := range j.dirty {
		f.Close()
	}
	j.dirty, j.taken = nil, nil
}

// view reads from a database.
func view(db *badger.DB, fn func(*badger.Txn) error) error {
	return guarded(func() error { return db.View(fn) })
}

// guarded reads with Badger. Damage in a block can make it run out of bounds; and a
// sector that the disk does not give is a fault of the mapping through which it reads,
// which would end the process. Both are errors here.
func guarded(read func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // of this goroutine
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errDamaged, r)
		}
	}()
	return read()
}
