package storage

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/dgraph-io/badger/v4"
)

// state is the key space of the broker's durable state: the meta database and,
// over it, what was changed since the last checkpoint. It belongs to the
// committer; before that is started, to Open.
type state struct {
	dir  string
	seam *seam
	log  *slog.Logger

	db      *badger.DB // nil after a failure, until opened again
	journal *journal

	changed    map[string]change // since the checkpoint
	bytes      int               // of changed
	checkpoint checkpointRecord
}

// change is what a key becomes at the next checkpoint.
type change struct {
	value  []byte
	delete bool
}

// changeOverhead is what a changed key costs in memory beside its bytes.
const changeOverhead = 100

const formatVersion = 1

// openState opens meta, or makes it.
func openState(dir string, s *seam, log *slog.Logger) (*state, error) {
	st := &state{dir: dir, seam: s, log: log, changed: make(map[string]change)}
	if err := st.open(); err != nil {
		return nil, err
	}
	value, err := st.get([]byte{keyCheckpoint})
	if err == nil && value != nil {
		_, err = st.checkpoint.UnmarshalMsg(value)
	}
	if err == nil && st.checkpoint.Format > formatVersion {
		err = fmt.Errorf("%w: it has format %d, this program reads up to %d", errNewer, st.checkpoint.Format, formatVersion)
	}
	if err != nil {
		st.close()
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	return st, nil
}

// errNewer: a newer program has written the store.
var errNewer = errors.New("the store was written by a newer version")

func (s *state) open() error {
	db, err := openChecked(s.dir, metaOptions(s.dir, s.log), s.seam)
	if err != nil {
		return err
	}
	j, err := openJournal(s.dir, metaMemtable, s.seam)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	s.db, s.journal = db, j
	return nil
}

func (s *state) close() error {
	if s.db == nil {
		return nil
	}
	s.journal.close()
	err := s.db.Close()
	s.db, s.journal = nil, nil
	return err
}

// apply folds ops into the state.
func (s *state) apply(ops []op) error {
	for _, o := range ops {
		switch o.Kind {
		case opSet:
			s.put(string(o.Key), change{value: o.Value})
		case opDelete:
			s.put(string(o.Key), change{delete: true})
		case opClear:
			if err := s.clear(o.Key); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *state) put(key string, c change) {
	if old, ok := s.changed[key]; ok {
		s.bytes -= changeOverhead + len(key) + len(old.value)
	}
	s.changed[key] = c
	s.bytes += changeOverhead + len(key) + len(c.value)
}

// clear deletes all keys with a prefix.
func (s *state) clear(prefix []byte) error {
	var keys []string
	err := s.scan(prefix, func(key, _ []byte) error {
		keys = append(keys, string(key))
		return nil
	})
	for _, key := range keys {
		s.put(key, change{delete: true})
	}
	return err
}

// get is nil for a key that is not set.
func (s *state) get(key []byte) (value []byte, err error) {
	if c, ok := s.changed[string(key)]; ok {
		return c.value, nil
	}
	err = s.view(func(txn *badger.Txn) error {
		item, err := txn.Get(key)
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		value, err = item.ValueCopy(nil)
		return err
	})
	return value, err
}

func (s *state) view(fn func(*badger.Txn) error) error {
	if s.db == nil {
		return errors.New("meta is not open")
	}
	return s.db.View(fn)
}

// scan visits all keys with a prefix. Key and value are valid during the call.
func (s *state) scan(prefix []byte, visit func(key, value []byte) error) error {
	err := s.view(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			item := it.Item()
			if _, ok := s.changed[string(item.Key())]; ok {
				continue
			}
			if err := item.Value(func(v []byte) error { return visit(item.Key(), v) }); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("scan meta: %w", err)
	}
	for key, c := range s.changed {
		if c.delete || !bytes.HasPrefix([]byte(key), prefix) {
			continue
		}
		if err := visit([]byte(key), c.value); err != nil {
			return err
		}
	}
	return nil
}

// save makes all changes durable in meta, in this order:
//
//  1. the changes, in transactions of bounded size, each synced;
//  2. with the last of them the checkpoint, which says up to which page the
//     state is complete.
//
// A crash in between leaves some newer values under an older checkpoint, which
// the replay of the pages above it sets right.
func (s *state) save(c checkpointRecord) error {
	if s.db == nil {
		if err := s.open(); err != nil {
			return err
		}
	}
	c.Format = formatVersion
	if err := s.write(c); err != nil {
		// Badger does not promise to survive a failed commit: begin anew.
		return errors.Join(fmt.Errorf("write checkpoint: %w", err), s.close())
	}
	s.checkpoint = c
	clear(s.changed)
	s.bytes = 0
	return nil
}

func (s *state) write(c checkpointRecord) error {
	txn := s.db.NewTransaction(true)
	defer func() { txn.Discard() }()
	size, count := 0, 0
	for _, key := range slices.Sorted(maps.Keys(s.changed)) {
		ch := s.changed[key]
		if n := len(key) + len(ch.value); count > 0 && (size+n > metaTxnBytes || count == metaTxnOps) {
			if err := s.commit(txn); err != nil {
				return err
			}
			txn = s.db.NewTransaction(true)
			size, count = 0, 0
		}
		var err error
		if ch.delete {
			err = txn.Delete([]byte(key))
		} else {
			err = txn.Set([]byte(key), ch.value)
		}
		if err != nil {
			return err
		}
		size, count = size+len(key)+len(ch.value), count+1
	}
	last := set([]byte{keyCheckpoint}, &c)
	if err := txn.Set(last.Key, last.Value); err != nil {
		return err
	}
	s.seam.step("checkpoint: changes written")
	return s.commit(txn)
}

func (s *state) commit(txn *badger.Txn) error {
	if err := s.seam.commit(txn); err != nil {
		return err
	}
	return s.journal.follow()
}
