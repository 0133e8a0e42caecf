package storage

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"iter"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
)

// metaDB is one copy of the state on disk, as of its checkpoint. Badger deletes
// what it can not make sense of without a word, and gives back what the disk
// gives it: so every value ends with a sum of itself and its key, and the
// checkpoint holds a digest of all facts.
type metaDB struct {
	dir   string
	reads uint32 // the highest format that this program knows
	seam  *seam
	log   *slog.Logger

	db         *badger.DB // nil: not open
	journal    *journal
	checkpoint checkpointRecord
	base       int // tables when the copy was made anew; 0: not known
}

// errNewer: a newer program has written the store.
var errNewer = errors.New("the store was written by a newer version")

// errEmpty: the database has no checkpoint, so it is new or was not finished.
var errEmpty = errors.New("state has no checkpoint")

// open opens the database and reads its checkpoint. errEmpty leaves it open.
func (m *metaDB) open() error {
	if err := m.openDatabase(); err != nil {
		return err
	}
	if err := m.readCheckpoint(); err != nil && !errors.Is(err, errEmpty) {
		return errors.Join(err, m.close())
	}
	if m.checkpoint.Page == 0 && m.checkpoint.Format == 0 {
		return errEmpty
	}
	return nil
}

func (m *metaDB) openDatabase() error {
	db, err := openChecked(m.dir, metaOptions(m.dir, m.log), m.seam)
	if err != nil {
		return err
	}
	j, err := openJournal(db, m.seam)
	if err != nil {
		return transient(errors.Join(err, db.Close()))
	}
	m.db, m.journal = db, j
	return nil
}

// turn goes on with a new journal; the old one, which is full, becomes a table.
func (m *metaDB) turn() error {
	if err := m.close(); err != nil {
		return err
	}
	m.seam.step("turn: closed")
	return m.openDatabase()
}

func (m *metaDB) readCheckpoint() error {
	m.checkpoint = checkpointRecord{}
	value, err := m.get([]byte{keyCheckpoint})
	if err != nil {
		return err
	}
	if value == nil {
		return errEmpty
	}
	if _, err := m.checkpoint.UnmarshalMsg(value); err != nil {
		return fmt.Errorf("%w: checkpoint: %w", errDamaged, err)
	}
	if m.checkpoint.Format > m.reads {
		return fmt.Errorf("%w: it has format %d, this program reads up to %d", errNewer, m.checkpoint.Format, m.reads)
	}
	return nil
}

func (m *metaDB) close() error {
	if m.db == nil {
		return nil
	}
	j := m.journal
	m.db, m.journal = nil, nil
	return j.close()
}

// A topic may be longer than a key of Badger's. Long keys are stored as a hash,
// behind the part by which they are looked for, and stand whole in the value.
const (
	longKey    = 1000
	keyPrefix  = 9    // kind and receiver
	hashedMark = 0xff // is in no topic, and in no key that is not hashed
)

func storedKey(key []byte) []byte {
	if len(key) <= longKey {
		return key
	}
	hash := sha256.Sum256(key)
	return append(append(bytes.Clone(key[:keyPrefix]), hashedMark), hash[:]...)
}

// frame appends the key, if it is a long one, its length, and the sum to a value.
func frame(key, value []byte) []byte {
	out, long := append(make([]byte, 0, len(value)+8), value...), 0
	if len(key) > longKey {
		out, long = append(out, key...), len(key)
	}
	out = binary.BigEndian.AppendUint32(out, uint32(long))
	return binary.BigEndian.AppendUint32(out, valueSum(storedKey(key), out))
}

// unframe undoes frame.
func unframe(stored, framed []byte) (key, value []byte, err error) {
	n := len(framed) - 8
	if n < 0 || binary.BigEndian.Uint32(framed[n+4:]) != valueSum(stored, framed[:n+4]) {
		return nil, nil, fmt.Errorf("%w: value in meta", errDamaged)
	}
	long := int64(binary.BigEndian.Uint32(framed[n:]))
	switch {
	case long == 0:
		return stored, framed[:n:n], nil
	case long > int64(n):
		return nil, nil, fmt.Errorf("%w: key in meta", errDamaged)
	default:
		cut := n - int(long)
		return framed[cut:n], framed[:cut:cut], nil
	}
}

func valueSum(stored, framed []byte) uint32 {
	return crc32.Update(crc32.Checksum(stored, castagnoli), castagnoli, framed)
}

// get is nil for a key that is not set.
func (m *metaDB) get(key []byte) (value []byte, err error) {
	err = m.view(func(txn *badger.Txn) error {
		value, err = getFact(txn, key)
		return err
	})
	return value, err
}

func getFact(txn *badger.Txn, key []byte) ([]byte, error) {
	stored := storedKey(key)
	item, err := txn.Get(stored)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read meta: %w", err)
	}
	framed, err := item.ValueCopy(nil)
	if err != nil {
		return nil, fmt.Errorf("read meta: %w", err)
	}
	_, value, err := unframe(stored, framed)
	return value, err
}

// view reads.
func (m *metaDB) view(fn func(*badger.Txn) error) error {
	if m.db == nil {
		return errors.New("meta is not open")
	}
	return view(m.db, fn)
}

// scan visits all facts whose keys have a prefix (of at most keyPrefix bytes). Key and value are valid during
// the visit.
func (m *metaDB) scan(prefix []byte, visit func(key, value []byte) error) error {
	return m.view(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			item := it.Item()
			err := item.Value(func(framed []byte) error {
				key, value, err := unframe(item.Key(), framed)
				if err != nil {
					return err
				}
				return visit(key, value)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// digest is a sum over facts, in any order.
type digest struct{ count, sum uint64 }

func factHash(key, value []byte) uint64 {
	h := fnv.New64a()
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(key))))
	h.Write(key)
	h.Write(value)
	return h.Sum64()
}

func (d *digest) add(key, value []byte) {
	d.count++
	d.sum += factHash(key, value)
}

func (d *digest) remove(key, value []byte) {
	d.count--
	d.sum -= factHash(key, value)
}

// verify compares all facts with the checkpoint.
func (m *metaDB) verify() error {
	var d digest
	err := m.scan(nil, func(key, value []byte) error {
		if key[0] != keyCheckpoint {
			d.add(key, value)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if d != (digest{m.checkpoint.Count, m.checkpoint.Digest}) {
		return fmt.Errorf("%w: state is not what was written", errDamaged)
	}
	return nil
}

// fact is a key with its new value, or without one.
type fact struct {
	key, value []byte
	deleted    bool
}

// save makes facts durable, in this order:
//
//  1. the facts, in transactions of bounded size, each synced;
//  2. with the last of them the checkpoint, which says up to which page the
//     state is complete.
//
// A crash in between leaves facts without their checkpoint: the digest is wrong,
// and the other copy is taken.
func (m *metaDB) save(facts iter.Seq[fact], c checkpointRecord) error {
	w := &metaWriter{m: m, digest: digest{m.checkpoint.Count, m.checkpoint.Digest}}
	if err := w.begin(); err != nil {
		return err
	}
	defer func() { w.txn.Discard() }()
	for f := range facts {
		if err := w.put(f); err != nil {
			return err
		}
	}
	c.Count, c.Digest = w.digest.count, w.digest.sum
	last := set([]byte{keyCheckpoint}, &c)
	if err := w.txn.Set(last.Key, frame(last.Key, last.Value)); err != nil {
		return fmt.Errorf("set checkpoint: %w", err)
	}
	m.seam.step("checkpoint: facts written")
	if err := w.commit(); err != nil {
		return err
	}
	m.checkpoint = c
	return nil
}

// metaWriter cuts facts into transactions.
type metaWriter struct {
	m           *metaDB
	txn         *badger.Txn
	digest      digest
	size, count int
}

// begin opens a transaction, for which the journal has room, whatever it will hold.
func (w *metaWriter) begin() error {
	if !w.m.journal.holds(metaTxnOps+1, metaTxnBytes+checkpointBytes) {
		if err := w.m.turn(); err != nil {
			return fmt.Errorf("begin a new journal of meta: %w", err)
		}
	}
	w.txn, w.size, w.count = w.m.journal.begin(), 0, 0
	return nil
}

// checkpointBytes is more than a checkpoint takes.
const checkpointBytes = 256

func (w *metaWriter) put(f fact) error {
	n := len(f.key) + len(f.value)
	if w.count > 0 && (w.size+n > metaTxnBytes || w.count == metaTxnOps) {
		if err := w.commit(); err != nil {
			return err
		}
		if err := w.begin(); err != nil {
			return err
		}
	}
	w.size, w.count = w.size+n, w.count+1
	var old []byte
	err := guarded(func() (err error) {
		old, err = getFact(w.txn, f.key)
		return err
	})
	if err != nil {
		return err
	}
	if old != nil {
		w.digest.remove(f.key, old)
	}
	if f.deleted {
		return w.txn.Delete(storedKey(f.key))
	}
	w.digest.add(f.key, f.value)
	return w.txn.Set(storedKey(f.key), frame(f.key, f.value))
}

func (w *metaWriter) commit() error {
	// One fact that is larger than a transaction should be is in the value log.
	if err := w.m.journal.commit(w.txn, w.count+1, int64(min(w.size, metaTxnBytes)+checkpointBytes)); err != nil {
		return fmt.Errorf("commit meta: %w", err)
	}
	return w.m.journal.sync()
}

// tables is how many tables the database has: there is no compaction, so that
// they become more until the copy is made anew; as it has to be when one of them can
// not be read.
func (m *metaDB) tables() (n int) {
	if m.db == nil {
		return 0
	}
	if guarded(func() error { n = len(m.db.Tables()); return nil }) != nil {
		return brokenTables
	}
	return n
}

// brokenTables is more tables than a copy may have.
const brokenTables = 1 << 20

// renew empties the copy. Its directory goes under a name that Open takes for
// rubbish, so that a half removed one is never opened.
func (m *metaDB) renew() error {
	if err := m.close(); err != nil {
		m.log.Warn("close copy of meta", "error", err)
	}
	trash := filepath.Join(filepath.Dir(m.dir), ringDir, trashPrefix+filepath.Base(m.dir))
	if err := m.seam.rename(m.dir, trash); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("rename copy of meta: %w", err)
	}
	if err := m.seam.removeAll(trash); err != nil {
		return fmt.Errorf("remove copy of meta: %w", err)
	}
	if err := m.seam.makeDir(m.dir); err != nil {
		return fmt.Errorf("make copy of meta: %w", err)
	}
	if err := m.open(); !errors.Is(err, errEmpty) {
		return errors.Join(errors.New("new copy of meta is not empty"), err)
	}
	m.checkpoint, m.base = checkpointRecord{}, 0
	m.seam.step("meta: begun anew")
	return nil
}
