package storage

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// salvagePrefix is that of a directory into which pages are being salvaged. Open
// takes it for rubbish, unless it was finished and only its name is missing.
const salvagePrefix = "new-"

// salvage makes a new segment of what can be read of a damaged one, whatever is
// wrong with Badger's files, in this order:
//
//  1. pages are found in the files by their magic, and checked by their sums;
//  2. they are written into a new segment, which is sealed;
//  3. the damaged one goes to quarantine, whole;
//  4. the new one takes its place.
//
// ok is false when nothing was found; then only the third step is done. The
// segment is not open for anybody. errStays: it is left where it is.
func (r *ring) salvage(s *segment, why error) (holds sealRecord, ok bool, err error) {
	dec, err := newDecoder()
	if err != nil {
		return holds, false, err
	}
	defer dec.close()
	found, unread, err := scavenge(s.dir, r.seam, dec)
	if err != nil {
		return holds, false, err
	}
	why = errors.Join(why, unread)
	fresh := r.newSegment(s.first)
	fresh.dir = filepath.Join(r.dir, salvagePrefix+segmentName(s.first))
	if len(found) > 0 {
		if holds, err = fresh.refill(found, dec); err != nil {
			return holds, false, errors.Join(err, fresh.close(), r.seam.removeAll(fresh.dir))
		}
		ok = holds.Last >= holds.First
	}
	if err := r.setAside(s.dir, why); err != nil {
		return holds, false, err
	}
	if !ok {
		return holds, false, r.seam.removeAll(fresh.dir)
	}
	if err := r.seam.rename(fresh.dir, s.dir); err != nil {
		return holds, false, transient(fmt.Errorf("rename salvaged segment: %w", err))
	}
	r.log.Warn("salvaged a damaged segment", "segment", s.first, "pages", len(found), "messages", holds.Messages)
	return holds, true, r.seam.syncDir(r.dir)
}

// mostPages is more than a segment has.
const mostPages = 1 << 20

// refill writes pages into a new segment and seals it.
func (s *segment) refill(pages map[uint64][]byte, dec *codec) (sealRecord, error) {
	if err := s.seam.removeAll(s.dir); err != nil {
		return sealRecord{}, fmt.Errorf("clear for salvage: %w", err)
	}
	if err := s.openWriter(); err != nil {
		return sealRecord{}, err
	}
	for _, n := range slices.Sorted(maps.Keys(pages)) {
		if n < s.first || n-s.first >= mostPages {
			continue
		}
		if err := s.write(n, pages[n]); err != nil {
			return sealRecord{}, err
		}
	}
	if err := s.journal.sync(); err != nil {
		return sealRecord{}, err
	}
	holds, _, err := scan(s, dec, 0, func(*page) error { return nil })
	if err != nil {
		return holds, err
	}
	return holds, s.seal(holds)
}

// finishSalvage gives a salvaged segment the name that a crash has kept from it.
func (r *ring) finishSalvage(name string) error {
	dir := filepath.Join(r.dir, name)
	target := filepath.Join(r.dir, name[len(salvagePrefix):])
	_, damaged := os.Stat(target)
	if unreadable(damaged) { // and can not be moved: it stays, and so does what is in here
		return r.setAside(dir, damaged)
	}
	_, unfinished := os.Stat(filepath.Join(dir, sealFile))
	switch {
	case damaged == nil, os.IsNotExist(unfinished): // its salvage begins again, or there is none
		return r.seam.removeAll(dir)
	case !os.IsNotExist(damaged):
		return transient(damaged)
	default: // the damaged one is in quarantine: this is all that there is
		return r.seam.rename(dir, target)
	}
}
