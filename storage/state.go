package storage

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"github.com/weir-edge/weir/core"
)

// state is the key space of the broker's durable state: a copy of meta and, over
// it, what was changed since its checkpoint. It belongs to the committer; before
// that is started, to Open.
//
// There are two copies on disk. Each checkpoint is written to one and then to
// the other, so that damage to one loses nothing, and one can be made anew when
// it has grown, while the other is there.
type state struct {
	log *slog.Logger
	mu  sync.Mutex // held by the committer during a job, and by Load

	main    *metaDB
	mirror  *metaDB
	paired  bool   // the mirror has the same checkpoint as main
	format  uint32 // of the checkpoints that are written
	changed map[string]change
	bytes   int // of changed
}

// change is what a key becomes at the next checkpoint.
type change struct {
	value   []byte
	deleted bool
}

// changeOverhead is what a changed key costs in memory beside its bytes.
const changeOverhead = 100

// metaNames are the directories of the two copies.
var metaNames = []string{"meta-a", "meta-b"}

// openState opens the better copy of meta, or makes a new one. Copies that are
// damaged are given to aside; lost says that no good one was left.
func openState(root string, f formats, s *seam, log *slog.Logger, aside func(dir string, why error) error) (st *state, lost bool, err error) {
	st = &state{log: log, changed: make(map[string]change), format: f.version}
	var good []*metaDB
	var newer *metaDB
	var why error
	damaged := 0
	for _, name := range metaNames {
		m := &metaDB{dir: filepath.Join(root, name), reads: f.version, seam: s, log: log}
		bad, err := m.openOrMove(aside)
		damaged += bad
		switch {
		case err == nil:
		case errors.Is(err, errNewer) && newer == nil:
			newer, why = m, err
			continue
		default:
			return nil, false, errors.Join(err, st.closeAll(good))
		}
		good = append(good, m)
	}
	if newer != nil {
		if good, err = takeOlder(good, newer, why); err != nil {
			return nil, false, errors.Join(err, st.closeAll(good))
		}
	}
	if good[1].newer(good[0]) {
		slices.Reverse(good)
	}
	st.main, st.mirror = good[0], good[1]
	for range good {
		err := st.main.verified()
		if err == nil {
			if st.main.checkpoint.Format > 0 {
				st.format = st.main.checkpoint.Format
			}
			st.paired = st.main.checkpoint == st.mirror.checkpoint && st.main.checkpoint.Format > 0
			return st, damaged > 0 && st.main.checkpoint.Format == 0, nil
		}
		damaged++
		st.main.close()
		if err := aside(st.main.dir, err); err != nil {
			return nil, false, errors.Join(err, st.close())
		}
		st.main.checkpoint = checkpointRecord{}
		st.main, st.mirror = st.mirror, st.main
	}
	return st, true, st.main.reopen()
}

// openOrMove opens a copy that may be new, or gives it to aside when it is damaged.
// Where it can not even be moved, the copy is made under another name; a later opening
// comes by there again.
func (m *metaDB) openOrMove(aside func(dir string, why error) error) (damaged int, err error) {
	err = m.open()
	if err == nil || errors.Is(err, errEmpty) {
		return 0, nil
	}
	if errors.Is(err, errTransient) || errors.Is(err, errNewer) {
		return 0, err
	}
	err = aside(m.dir, err)
	if errors.Is(err, errStays) {
		m.dir += "-instead"
		more, err := m.openOrMove(aside)
		return 1 + more, err
	}
	return 1, err
}

// newer says whether m knows more than o. Of two formats the older one does: the
// other is of an upgrade that was not finished.
func (m *metaDB) newer(o *metaDB) bool {
	if f, g := m.checkpoint.Format, o.checkpoint.Format; f > 0 && g > 0 && f != g {
		return f < g
	}
	return m.db != nil && m.checkpoint.Format > 0 && (o.checkpoint.Format == 0 || m.checkpoint.Page > o.checkpoint.Page)
}

// verified checks the better copy; an empty one is right.
func (m *metaDB) verified() error {
	switch {
	case m.db == nil:
		return m.reopen()
	case m.begun:
		return fmt.Errorf("%w: a checkpoint was not finished, and the other copy is lost", errDamaged)
	}
	return m.verify()
}

// reopen opens a copy that may be new.
func (m *metaDB) reopen() error {
	if m.db != nil {
		return nil
	}
	if err := m.open(); err != nil && !errors.Is(err, errEmpty) {
		return err
	}
	return nil
}

func (s *state) closeAll(list []*metaDB) (err error) {
	for _, m := range list {
		err = errors.Join(err, m.close())
	}
	return err
}

func (s *state) close() error { return s.closeAll([]*metaDB{s.main, s.mirror}) }

// apply folds ops into the state.
func (s *state) apply(ops []op) (err error) {
	for _, o := range ops {
		switch o.Kind {
		case opSet:
			s.put(string(o.Key), change{value: o.Value})
		case opDelete:
			s.put(string(o.Key), change{deleted: true})
		case opClear:
			err = errors.Join(err, s.clear(o.Key)) // the others count all the same
		}
	}
	return err
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
		s.put(key, change{deleted: true})
	}
	return err
}

// get is nil for a key that is not set.
func (s *state) get(key []byte) ([]byte, error) {
	if c, ok := s.changed[string(key)]; ok {
		return c.value, nil
	}
	return s.main.get(key)
}

// scan visits all keys with a prefix. Key and value are valid during the visit.
func (s *state) scan(prefix []byte, visit func(key, value []byte) error) error {
	err := s.main.scan(prefix, func(key, value []byte) error {
		if _, ok := s.changed[string(key)]; ok || key[0] == keyCheckpoint {
			return nil
		}
		return visit(key, value)
	})
	if err != nil {
		return fmt.Errorf("scan meta: %w", err)
	}
	for key, c := range s.changed {
		if c.deleted || !bytes.HasPrefix([]byte(key), prefix) {
			continue
		}
		if err := visit([]byte(key), c.value); err != nil {
			return err
		}
	}
	return nil
}

// save makes the state durable up to a page, in this order:
//
//  1. the mirror is whole: where it is not, it is made anew from main;
//  2. main: the changes, and with the last of them the checkpoint;
//  3. the mirror: the same;
//  4. when main has grown, they change roles: next time it is made anew.
//
// So a copy is written to only while the other is whole. When that fails it may hold some
// of the changes without their checkpoint: the other copy takes its part, and it begins
// anew. The changes stay.
func (s *state) save(page uint64, seq core.Seq) error {
	if err := s.pair(); err != nil {
		return err
	}
	if err := s.saveMain(page, seq); err != nil {
		return err
	}
	s.main.seam.step("checkpoint: main written")
	if err := s.saveMirror(s.main.checkpoint); err != nil {
		return err
	}
	s.forget()
	if s.main.grown() {
		s.main, s.mirror, s.paired = s.mirror, s.main, false
	}
	return nil
}

// pair makes the mirror whole. Where main has no checkpoint yet, the pages have all.
func (s *state) pair() error {
	if s.paired || s.main.checkpoint.Format == 0 {
		return nil
	}
	if err := s.main.reopen(); err != nil {
		return err
	}
	return s.renewMirror(s.main.facts, s.main.checkpoint)
}

func (s *state) saveMain(page uint64, seq core.Seq) error {
	err := s.main.reopen()
	if err == nil && s.main.checkpoint.Format == 0 { // what is in it was not finished
		err = s.main.renew()
	}
	if err == nil {
		err = s.main.save(s.facts(), checkpointRecord{Format: s.format, Page: page, Seq: uint64(seq)})
	}
	if err == nil {
		return nil
	}
	err = errors.Join(fmt.Errorf("write checkpoint: %w", err), s.main.close())
	if s.paired {
		s.main, s.mirror, s.paired = s.mirror, s.main, false
	}
	return err
}

// forget drops the changes, which are in the checkpoint.
func (s *state) forget() {
	clear(s.changed)
	s.bytes = 0
}

// saveMirror writes to the mirror what main has just got.
func (s *state) saveMirror(c checkpointRecord) error {
	if !s.paired {
		return s.renewMirror(s.main.facts, c)
	}
	if err := s.mirror.save(s.facts(), c); err != nil {
		s.paired = false
		return errors.Join(fmt.Errorf("write second checkpoint: %w", err), s.mirror.close())
	}
	return nil
}

// renewMirror makes the mirror anew, of all facts that there are.
func (s *state) renewMirror(facts func(failed *error) iter.Seq[fact], c checkpointRecord) error {
	s.paired = false
	err := s.mirror.renew()
	if err == nil {
		var failed error
		err = errors.Join(s.mirror.save(facts(&failed), c), failed)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("make second checkpoint: %w", err), s.mirror.close())
	}
	s.paired, s.mirror.base = true, s.mirror.tables()
	return nil
}

// grownTables is the number of tables from which a copy is made anew.
const grownTables = 6

// grown: as many tables have come since the copy was made as it had then, and half a
// dozen. So making it anew costs no more than what was written meanwhile, however
// much the state holds; and the tables of a small state, which are mapped, do not make
// the process large.
func (m *metaDB) grown() bool { return m.tables() >= grownTables+2*m.base }

// facts gives the changes, in order of their keys.
func (s *state) facts() iter.Seq[fact] {
	return func(yield func(fact) bool) {
		for _, key := range slices.Sorted(maps.Keys(s.changed)) {
			c := s.changed[key]
			if !yield(fact{key: []byte(key), value: c.value, deleted: c.deleted}) {
				return
			}
		}
	}
}

// facts gives all facts of a copy.
func (m *metaDB) facts(failed *error) iter.Seq[fact] {
	return collect(func(visit func(key, value []byte) error) error { return m.scan(nil, visit) }, failed)
}

// collect gives what a scan visits, but for the checkpoint.
func collect(scan func(visit func(key, value []byte) error) error, failed *error) iter.Seq[fact] {
	return func(yield func(fact) bool) {
		stop := errors.New("stop")
		err := scan(func(key, value []byte) error {
			if key[0] == keyCheckpoint || yield(fact{key: bytes.Clone(key), value: bytes.Clone(value)}) {
				return nil
			}
			return stop
		})
		if !errors.Is(err, stop) {
			*failed = err
		}
	}
}

// all gives the facts of main and what has changed.
func (s *state) all(failed *error) iter.Seq[fact] {
	return collect(func(visit func(key, value []byte) error) error { return s.scan(nil, visit) }, failed)
}
