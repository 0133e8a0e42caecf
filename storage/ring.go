package storage

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ring is the directory of segments. The committer adds, seals and removes them,
// the reader looks pages up.
type ring struct {
	dir        string
	quarantine string
	seam       *seam
	log        *slog.Logger

	aside atomic.Int64 // directories in quarantine

	mu       sync.Mutex
	segments []*segment // guarded by mu, by first page
}

const (
	ringDir       = "q"
	quarantineDir = "quarantine"
)

func newRing(root string, s *seam, log *slog.Logger) *ring {
	r := &ring{
		dir:        filepath.Join(root, ringDir),
		quarantine: filepath.Join(root, quarantineDir),
		seam:       s,
		log:        log,
	}
	before, _ := s.readDir(r.quarantine)
	r.aside.Store(int64(len(before)))
	return r
}

// list finds the segments on disk.
func (r *ring) list() ([]*segment, error) {
	if err := r.seam.makeDir(r.dir); err != nil {
		return nil, fmt.Errorf("make ring: %w", err)
	}
	if err := r.tidy(); err != nil {
		return nil, err
	}
	names, err := r.seam.readDir(r.dir)
	if err != nil {
		return nil, transient(fmt.Errorf("list ring: %w", err))
	}
	var found []*segment
	for _, f := range names {
		if first, ok := parseSegmentName(f.Name()); ok {
			found = append(found, r.newSegment(first))
		}
	}
	return found, nil // ReadDir sorts, and names sort by number
}

// tidy ends what a crash has left half done.
func (r *ring) tidy() error {
	names, err := r.seam.readDir(r.dir)
	if err != nil {
		return transient(fmt.Errorf("list ring: %w", err))
	}
	for _, f := range names {
		switch {
		case strings.HasPrefix(f.Name(), trashPrefix):
			if err := r.seam.removeAll(filepath.Join(r.dir, f.Name())); err != nil {
				r.log.Warn("remove drained segment", "error", err)
			}
		case strings.HasPrefix(f.Name(), salvagePrefix):
			err := r.finishSalvage(f.Name())
			if unreadable(err) {
				err = r.setAside(filepath.Join(r.dir, f.Name()), err)
			}
			if err != nil && !errors.Is(err, errStays) {
				return fmt.Errorf("finish salvage: %w", err)
			}
		}
	}
	return nil
}

func (r *ring) newSegment(first uint64) *segment {
	return &segment{
		first: first,
		dir:   filepath.Join(r.dir, segmentName(first)),
		seam:  r.seam,
		log:   r.log,
	}
}

// add makes a segment known to the reader.
func (r *ring) add(s *segment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, _ := slices.BinarySearchFunc(r.segments, s.first, bySegment)
	r.segments = slices.Insert(r.segments, i, s)
}

// drop makes the reader forget a segment.
func (r *ring) drop(first uint64) *segment {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, s := range r.segments {
		if s.first == first {
			r.segments = slices.Delete(r.segments, i, i+1)
			return s
		}
	}
	return nil
}

func bySegment(s *segment, first uint64) int { return cmp.Compare(s.first, first) }

func (r *ring) find(first uint64) *segment {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, ok := slices.BinarySearchFunc(r.segments, first, bySegment)
	if !ok {
		return nil
	}
	return r.segments[i]
}

// closeAll closes what is open.
func (r *ring) closeAll() (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.segments {
		if closed := s.close(); err == nil {
			err = closed
		}
	}
	return err
}

// setAside moves a directory that can not be read to quarantine. errStays: it can not
// even be moved.
func (r *ring) setAside(dir string, why error) error {
	if unreadable(why) {
		if err := r.seam.trial(filepath.Dir(r.quarantine)); err != nil {
			return fmt.Errorf("try the disk: %w", err)
		}
	}
	if err := r.seam.makeDir(r.quarantine); err != nil {
		return fmt.Errorf("make quarantine: %w", err)
	}
	target := r.asideName(dir)
	if err := r.seam.rename(dir, target); err != nil {
		return r.stay(dir, fmt.Errorf("move to quarantine: %w", err))
	}
	if err := errors.Join(r.seam.syncDir(r.quarantine), r.seam.syncDir(filepath.Dir(dir))); err != nil {
		return err
	}
	r.tellAside(target, why)
	return nil
}

// asideName is a new name in quarantine.
func (r *ring) asideName(of string) string {
	return filepath.Join(r.quarantine, time.Now().UTC().Format("20060102T150405.000000000")+"-"+filepath.Base(of))
}

func (r *ring) tellAside(dir string, why error) {
	r.aside.Add(1)
	r.log.Error("set aside what can not be read", "directory", dir, "error", why)
	// For whoever looks into it later; of no matter to us.
	_ = os.WriteFile(filepath.Join(dir, "WHY"), []byte(why.Error()+"\n"), 0o600)
}

// keepDamaged moves what settle has left of damaged journals of a segment to quarantine,
// and says whether there may be any. One that can not be moved stays, until it can.
func (r *ring) keepDamaged(s *segment) (found bool) {
	files, err := r.seam.readDir(s.dir)
	if err != nil {
		r.log.Warn("look for damaged journals", "segment", s.first, "error", err)
		return true // for all that is known
	}
	for _, f := range files {
		if filepath.Ext(f.Name()) != damagedSuffix {
			continue
		}
		found = true
		name, _, _ := strings.Cut(f.Name(), ".")
		if err := r.keepJournal(filepath.Join(s.dir, f.Name()), filepath.Join(r.asideName(s.dir), name+memSuffix)); err != nil {
			r.log.Error("move damaged journal to quarantine", "segment", s.first, "error", err)
		}
	}
	return found
}

func (r *ring) keepJournal(path, target string) error {
	dir := filepath.Dir(target)
	if err := r.seam.makeDir(dir); err != nil {
		return err
	}
	if err := r.seam.rename(path, target); err != nil {
		return errors.Join(err, r.seam.remove(dir))
	}
	r.tellAside(dir, fmt.Errorf("%w: a journal, before its end", errDamaged))
	return errors.Join(r.seam.syncDir(dir), r.seam.syncDir(filepath.Dir(path)))
}
