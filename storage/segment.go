package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// segment is one directory of the ring: pages first and up, in a Badger database
// of its own. While it is the active one it is open for writing; sealed, it is
// opened read-only when a receiver needs it.
type segment struct {
	first uint64
	dir   string
	seam  *seam
	log   *slog.Logger

	mu     sync.RWMutex
	db     *badger.DB // guarded by mu, which readers hold while they use it
	sealed bool       // guarded by mu
	gone   bool       // guarded by mu

	// The committer's.
	journal *journal // nil unless open for writing
	tag     uint64   // of its groups, known while it is
}

var (
	errMissing = errors.New("page is missing")
	errGone    = errors.New("segment is gone")
)

const segmentNameLen = 20

// segmentName sorts by number.
func segmentName(first uint64) string {
	return fmt.Sprintf("%0*d", segmentNameLen, first)
}

func parseSegmentName(name string) (first uint64, ok bool) {
	first, err := strconv.ParseUint(name, 10, 64)
	return first, err == nil && len(name) == segmentNameLen && first > 0
}

const pageKeyKind = 'p'

func pageKey(n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{pageKeyKind}, n)
}

// chunkKey follows its page's key.
func chunkKey(n uint64, chunk uint32) []byte {
	return binary.BigEndian.AppendUint32(pageKey(n), chunk)
}

// openWriter opens the segment for the committer. A seal that could not be
// finished is broken first: what is written from now on is not in it.
func (s *segment) openWriter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.closeLocked(); err != nil { // a reader's handle
		return transient(err)
	}
	s.sealed = false
	if err := s.breakSeal(); err != nil {
		return s.seam.blame(filepath.Join(s.dir, sealFile), err)
	}
	err := s.openLocked()
	if errors.Is(err, errKept) {
		err = s.openLocked()
	}
	return err
}

func (s *segment) openLocked() error {
	tag, err := readTag(s.dir, s.seam)
	if errors.Is(err, errTransient) {
		return err
	}
	db, err := openChecked(s.dir, tag, segmentOptions(s.dir, s.log), s.seam)
	if err != nil {
		return err
	}
	if tag == tagUnknown { // it was made just now
		tag, err = readTag(s.dir, s.seam)
	}
	if err != nil {
		return transient(errors.Join(err, db.Close()))
	}
	j, err := openJournal(db, s.seam)
	if err != nil {
		return transient(errors.Join(err, db.Close()))
	}
	s.db, s.journal, s.tag = db, j, tag
	return nil
}

// turn goes on with a new journal; the old one, which is full, becomes a table. Readers
// wait meanwhile. Where it can not be read any more, that is an error: what is not
// acknowledged of it is written again.
func (s *segment) turn() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.closeLocked(); err != nil {
		return transient(err)
	}
	s.seam.step("turn: closed")
	return s.openLocked()
}

func (s *segment) breakSeal() error {
	err := s.seam.remove(filepath.Join(s.dir, sealFile))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("break seal: %w", err)
	}
	return s.seam.syncDir(s.dir)
}

// close ends reading and writing; a sealed segment opens again by itself.
func (s *segment) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closeLocked()
}

func (s *segment) closeLocked() error {
	db, j := s.db, s.journal
	s.db, s.journal = nil, nil
	switch {
	case j != nil:
		return j.close()
	case db != nil:
		return db.Close()
	}
	return nil
}

// write puts a page into the segment. It is neither durable nor visible to
// recovery's eye before its group is complete and synced. A page that is too
// large for one transaction is cut:
//
//  1. its further chunks, each in an entry and a transaction of its own;
//  2. its head, which names their number.
func (s *segment) write(n uint64, page []byte) error {
	head := page
	if len(page) >= segmentThreshold {
		head = page[:chunkSize]
		rest := page[chunkSize:]
		chunks := uint32(0)
		for len(rest) > 0 {
			chunks++
			size := min(len(rest), chunkSize)
			if err := s.set(chunkKey(n, chunks), rest[:size]); err != nil {
				return err
			}
			rest = rest[size:]
			s.seam.step("commit: chunk written")
		}
		binary.BigEndian.PutUint32(head[68:], chunks)
	}
	return s.set(pageKey(n), head)
}

func (s *segment) set(key, value []byte) error {
	size := int64(len(key) + len(value))
	if !s.journal.holds(1, size) {
		if err := s.turn(); err != nil {
			return fmt.Errorf("begin a new journal: %w", err)
		}
	}
	txn := s.journal.begin()
	defer txn.Discard()
	if err := txn.Set(key, value); err != nil {
		return fmt.Errorf("set page: %w", err)
	}
	if err := s.journal.commit(txn, 1, size); err != nil {
		return fmt.Errorf("commit page: %w", err)
	}
	return nil
}

// read gives the bytes of a page, appended to buf.
func (s *segment) read(n uint64, buf []byte) ([]byte, error) {
	if err := s.openReader(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil { // closed in between
		return nil, errGone
	}
	return readPage(s.db, n, buf)
}

// openReader opens a sealed segment that is not open.
func (s *segment) openReader() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.gone:
		return errGone
	case s.db != nil:
		return nil
	}
	o := segmentOptions(s.dir, s.log).WithReadOnly(true)
	db, err := openChecked(s.dir, tagNone, o, s.seam)
	if err != nil && !s.sealed { // the committer is about to open it, and sees what is wrong
		return transient(err)
	}
	if err != nil {
		return err
	}
	s.db = db
	return nil
}

// rest closes a sealed segment that nobody has read for a while.
func (s *segment) rest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sealed && s.db != nil {
		if err := s.closeLocked(); err != nil {
			s.log.Warn("close segment", "segment", s.first, "error", err)
		}
	}
}

func readPage(db *badger.DB, n uint64, buf []byte) (out []byte, err error) {
	err = view(db, func(txn *badger.Txn) error {
		if out, err = getAppend(txn, pageKey(n), buf); err != nil {
			return err
		}
		if len(out)-len(buf) < pageHeader {
			return errDamaged
		}
		chunks := binary.BigEndian.Uint32(out[len(buf)+68:])
		if chunks > sectionMax/chunkSize {
			return errDamaged
		}
		for i := range chunks {
			if out, err = getAppend(txn, chunkKey(n, i+1), out); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

func getAppend(txn *badger.Txn, key, buf []byte) ([]byte, error) {
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, errMissing
	}
	if err != nil {
		return nil, fmt.Errorf("get page: %w", err)
	}
	err = item.Value(func(v []byte) error {
		buf = append(buf, v...)
		return nil
	})
	return buf, err
}

// newest is the highest page number in the segment, 0 when it is empty.
func (s *segment) newest() (n uint64, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	err = view(s.db, func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{pageKeyKind}})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if key := it.Item().Key(); len(key) == 9 {
				n = max(n, binary.BigEndian.Uint64(key[1:]))
			}
		}
		return nil
	})
	return n, err
}

// remove deletes a segment of which nothing is owed, in this order:
//
//  1. no reader has it open, and none will;
//  2. its directory gets a name that Open takes for rubbish,
//  3. durably;
//  4. the files go.
func (s *segment) remove() error {
	s.forget()
	if err := s.close(); err != nil {
		s.log.Warn("close segment before removing it", "segment", s.first, "error", err)
	}
	trash := filepath.Join(filepath.Dir(s.dir), trashPrefix+filepath.Base(s.dir))
	if err := s.seam.rename(s.dir, trash); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("rename segment: %w", err)
	}
	s.seam.step("remove: renamed")
	// From here on it is rubbish. What fails now is done by the next Open.
	if err := s.seam.syncDir(filepath.Dir(s.dir)); err != nil {
		s.log.Warn("sync directory of removed segment", "segment", s.first, "error", err)
		return nil
	}
	s.seam.step("remove: rename synced")
	if err := s.seam.removeAll(trash); err != nil {
		s.log.Warn("remove files of removed segment", "segment", s.first, "error", err)
	}
	s.seam.step("remove: files gone")
	return nil
}

func (s *segment) isSealed() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.sealed
}

// forget lets no reader in any more.
func (s *segment) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
}

// admit undoes forget.
func (s *segment) admit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = false
}

const trashPrefix = "trash-"
