package storage

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"unsafe"

	"github.com/dgraph-io/badger/v4"
)

// journal writes to an open database and keeps track of its .mem file, the mapped
// journal of its memtable. It belongs to the committer.
//
// A handle has one journal. Badger would begin another when the memtable is full, and
// make a table of the first, in goroutines of its own and through mappings: a disk that
// somebody else fills meanwhile would end the process there. So a handle is closed
// before its memtable is full (holds), which leaves the journal behind, as a kill would;
// and the table is made of that by who opens the directory again, or seals it (table.go).
//
// It gives the transactions their versions. Badger would do that with two goroutines,
// to which each transaction is handed over four times, for the sake of several writers
// and of readers who see a moment; here is one writer, and a page is written once. That
// is an eighth of the processor time of a drain.
type journal struct {
	db      *badger.DB
	version uint64 // of the last transaction
	written bool   // or at least begun to be

	used, memtable int64 // bytes

	seam  *seam
	file  *os.File
	taken *takeover // its mapping
	fresh bool      // its name may not be durable: Badger does not see to that
}

// openJournal takes up the journal of a database that was just opened: a new one, because
// there is a table of what came before.
func openJournal(db *badger.DB, s *seam) (j *journal, err error) {
	opts := db.Opts()
	names, err := journalsIn(opts.Dir, s)
	if err != nil || len(names) != 1 {
		return nil, errors.Join(fmt.Errorf("%d journals in %s", len(names), opts.Dir), err)
	}
	j = &journal{db: db, version: db.MaxVersion(), memtable: opts.MemTableSize, seam: s, fresh: true}
	if j.file, err = s.openFile(names[0], os.O_RDWR); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	if err = s.allocate(j.file, j.memtable+journalSlack); err == nil {
		j.taken, err = takeOver(names[0])
	}
	if err != nil {
		return nil, errors.Join(err, j.file.Close())
	}
	return j, nil
}

// What a transaction and each of its entries take in a memtable and in its journal, beside
// key and value. Badger looks at both sizes before each transaction. Most of it is the node
// in the memtable: 40 bytes with key and value as they are stored there, and 4 more for each
// level, of which there are one and a half on average and 20 at most; the slack is for few
// entries that are all unlucky. In the journal it is less.
const (
	txnOverhead   = 64
	entryOverhead = 56
	journalSlack  = 8 << 10
)

// holds says whether a transaction of so many entries, and bytes of keys and values, has
// its place in what is left of the memtable.
func (j *journal) holds(entries int, bytes int64) bool {
	return j.used+memtableBytes(entries, bytes) < j.memtable-journalSlack
}

func memtableBytes(entries int, bytes int64) int64 {
	return bytes + int64(entries)*entryOverhead + txnOverhead
}

// begin opens a transaction, which sees all that was written before.
func (j *journal) begin() *badger.Txn { return j.db.NewTransactionAt(math.MaxUint64, true) }

// commit writes a transaction, of so many entries and bytes, which survives a kill from
// now on, and is durable after the next sync.
func (j *journal) commit(txn *badger.Txn, entries int, bytes int64) error {
	j.version++
	j.written = true
	j.used += memtableBytes(entries, bytes)
	if err := j.seam.commit(txn, j.version); err != nil {
		return err
	}
	return j.taken.flush(j.file, j.seam.write)
}

// sync makes all transactions so far durable.
func (j *journal) sync() error {
	if err := j.seam.syncData(j.file); err != nil {
		return fmt.Errorf("sync journal: %w", err)
	}
	if j.fresh {
		if err := j.seam.syncDir(filepath.Dir(j.file.Name())); err != nil {
			return err
		}
		j.fresh = false
	}
	return nil
}

// close closes the database, which needs no room on the disk. What was written stays
// behind in the journal.
func (j *journal) close() error {
	j.taken.trim(j.file)
	err := j.file.Close()
	if j.written {
		err = errors.Join(err, detach(j.db))
	}
	return errors.Join(err, j.db.Close())
}

// detach takes the memtable out of a database that nobody uses any more, and gives back
// the mapping of its journal. Badger's Close would make a table of it, in a goroutine in
// which a fault of the mapping can't be caught, and has no option to leave that: where
// there is no memtable, it does.
func detach(db any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("this version of Badger has another memtable: %v", r)
		}
	}()
	memtable := unexported(reflect.ValueOf(db).Elem(), "mt")
	file := unexported(unexported(memtable.Elem(), "wal").Elem(), "MmapFile").Interface()
	closer := file.(interface{ Close(truncate int64) error })
	memtable.SetZero()
	return closer.Close(-1)
}

// unexported is a field of a structure of somebody else's.
func unexported(of reflect.Value, name string) reflect.Value {
	f := of.FieldByName(name)
	return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem()
}
