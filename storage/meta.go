package storage

import (
	"errors"
	"fmt"
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
	begun      bool // the one after it was begun, and not finished: it is of use no more
	base       int  // tables when the copy was made anew; 0: not known
}

// errNewer: a newer program has written the store.
var errNewer = errors.New("the store was written by a newer version")

// errEmpty: the database has no checkpoint that is of use: it is new, or another was begun.
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

// begunKey is set for as long as a checkpoint is being written in more than one
// transaction: there are facts of it beside those of the one before. Like the checkpoint
// it is not one of the facts.
var begunKey = []byte{keyCheckpoint, 'b'}

func (m *metaDB) openDatabase() error {
	db, err := openChecked(m.dir, tagNone, metaOptions(m.dir, m.log), m.seam)
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
	m.checkpoint, m.begun = checkpointRecord{}, false
	value, err := m.get([]byte{keyCheckpoint})
	if err != nil {
		return err
	}
	if value == nil {
		return errEmpty
	}
	var c checkpointRecord
	if _, err := c.UnmarshalMsg(value); err != nil {
		return fmt.Errorf("%w: checkpoint: %w", errDamaged, err)
	}
	begun, err := m.get(begunKey)
	if err != nil {
		return err
	}
	if m.begun = begun != nil && c.Format <= m.reads; m.begun {
		return errEmpty
	}
	m.checkpoint = c
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

// get is nil for a key that is not set.
func (m *metaDB) get(key []byte) (value []byte, err error) {
	err = m.view(func(txn *badger.Txn) error {
		value, _, err = getFact(txn, key)
		return err
	})
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
			if item.Key()[0] == keyPart {
				continue
			}
			err := item.Value(func(head []byte) error {
				key, value, _, err := decodeFact(item.Key(), head, partsOf(txn))
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

// verify compares all facts with the checkpoint.
func (m *metaDB) verify() error {
	var d digest
	err := m.scan(nil, func(key, value []byte) error {
		if key[0] != keyCheckpoint {
			d.add(m.checkpoint.Format, key, value)
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

// save makes facts durable, in this order:
//
//  1. the facts, in transactions of bounded size, each synced, and with the first of
//     several that they are begun;
//  2. with the last of them the checkpoint, which says up to which page the
//     state is complete.
//
// A crash in between leaves facts without their checkpoint. Then the other copy is taken,
// and this one is made anew.
func (m *metaDB) save(facts iter.Seq[fact], c checkpointRecord) error {
	w := &metaWriter{m: m, format: c.Format, digest: digest{m.checkpoint.Count, m.checkpoint.Digest}}
	for f := range facts {
		if err := w.put(f); err != nil {
			return err
		}
	}
	c.Count, c.Digest = w.digest.count, w.digest.sum
	last := set([]byte{keyCheckpoint}, &c)
	m.seam.step("checkpoint: facts written")
	head, _ := encodeFact(last.Key, last.Value)
	if err := w.write(last.Key, head); err != nil {
		return fmt.Errorf("set checkpoint: %w", err)
	}
	if w.begun {
		w.entries = append(w.entries, metaEntry{key: begunKey})
	}
	if err := w.commit(); err != nil {
		return err
	}
	m.checkpoint = c
	return nil
}

// metaWriter cuts facts into transactions.
type metaWriter struct {
	m       *metaDB
	format  uint32
	digest  digest
	entries []metaEntry // of the next transaction
	size    int         // of these
	begun   bool        // there was one before
}

// metaEntry deletes its key when it has no value.
type metaEntry struct{ key, value []byte }

// put writes a fact, over that which is there under its key.
func (w *metaWriter) put(f fact) error {
	var old []byte
	var parts uint32 // of the old one
	err := w.m.view(func(txn *badger.Txn) (err error) {
		old, parts, err = getFact(txn, f.key)
		return err
	})
	if err != nil {
		return err
	}
	if old != nil {
		w.digest.remove(w.format, f.key, old)
	}
	stored := storedKey(f.key)
	var head []byte
	var fresh [][]byte
	if !f.deleted {
		w.digest.add(w.format, f.key, f.value)
		head, fresh = encodeFact(f.key, f.value)
	}
	if err := w.write(stored, head); err != nil {
		return err
	}
	for n, part := range fresh {
		if err := w.write(partKey(stored, uint32(n)), part); err != nil {
			return err
		}
	}
	for n := uint32(len(fresh)); n < parts; n++ {
		if err := w.write(partKey(stored, n), nil); err != nil {
			return err
		}
	}
	return nil
}

// write puts an entry into this transaction or the next.
func (w *metaWriter) write(key, value []byte) error {
	n := len(key) + len(value)
	if w.size+n > metaTxnBytes || len(w.entries) == metaTxnOps {
		if !w.begun {
			mark, _ := encodeFact(begunKey, nil)
			w.entries, w.begun = append(w.entries, metaEntry{begunKey, mark}), true
		}
		if err := w.commit(); err != nil {
			return err
		}
	}
	w.entries, w.size = append(w.entries, metaEntry{key, value}), w.size+n
	return nil
}

func (w *metaWriter) commit() error {
	if !w.m.journal.holds(len(w.entries), int64(w.size)) {
		if err := w.m.turn(); err != nil {
			return fmt.Errorf("begin a new journal of meta: %w", err)
		}
	}
	txn := w.m.journal.begin()
	defer txn.Discard()
	for _, e := range w.entries {
		var err error
		if e.value == nil {
			err = txn.Delete(e.key)
		} else {
			err = txn.Set(e.key, e.value)
		}
		if err != nil {
			return fmt.Errorf("set in meta: %w", err)
		}
	}
	if err := w.m.journal.commit(txn, len(w.entries), int64(w.size)); err != nil {
		return fmt.Errorf("commit meta: %w", err)
	}
	w.entries, w.size = w.entries[:0], 0
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
// rubbish, so that a half removed one is never opened. One that an earlier try could not
// remove goes first: it has the name.
func (m *metaDB) renew() error {
	if err := m.close(); err != nil {
		m.log.Warn("close copy of meta", "error", err)
	}
	trash := filepath.Join(filepath.Dir(m.dir), ringDir, trashPrefix+filepath.Base(m.dir))
	if err := m.seam.removeAll(trash); err != nil {
		return fmt.Errorf("remove old copy of meta: %w", err)
	}
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
