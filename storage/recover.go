package storage

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"

	"github.com/weir-edge/weir/core"
)

// recovery is what Open finds in the ring.
type recovery struct {
	segments []*segmentInfo
	debts    []segmentDebt  // by segment, oldest first
	losses   []debtorRecord // what segments owed that had to be set aside
	mark     uint64         // no seq above it was given out
	next     uint64         // page
	unknown  bool           // pages above the checkpoint are lost
	damaged  []uint64       // segments of which pages can not be read

	// stateLost: both copies of meta were damaged. What is owed to receivers that
	// nobody knows of any more is kept in quarantine.
	stateLost bool

	// The segment that is written on, or nil.
	active *segment
	resume uint64
	holds  sealRecord

	limit int64 // bytes of pages after which a segment is sealed
	ring  *ring
	state *state
	codec *codec
	log   *slog.Logger
}

type segmentDebt struct {
	debtorRecord
	seg *segmentInfo
}

// recoverRing opens the ring and replays the pages above the checkpoint into st.
func recoverRing(r *ring, st *state, limit int64, log *slog.Logger) (*recovery, error) {
	codec, err := newDecoder()
	if err != nil {
		return nil, err
	}
	defer codec.close()
	found, err := r.list()
	if err != nil {
		return nil, err
	}
	rec := &recovery{
		limit: limit, ring: r, state: st, codec: codec, log: log,
		mark: st.main.checkpoint.Seq, next: st.main.checkpoint.Page + 1,
	}
	expect := uint64(0)
	for i, s := range found {
		if expect != 0 && s.first > expect {
			log.Error("pages are missing between segments", "from", expect, "to", s.first-1)
		}
		before := uint64(math.MaxUint64) // its pages end before this one
		if i+1 < len(found) {
			before = found[i+1].first
		}
		if err := rec.segment(s, before); err != nil {
			return nil, fmt.Errorf("recover segment %d: %w", s.first, err)
		}
		expect = rec.next
	}
	if rec.unknown { // what is lost may have given out more than is known
		rec.mark += lostSeqs
	}
	return rec, nil
}

// segment recovers one segment, or sets it aside.
func (rec *recovery) segment(s *segment, before uint64) error {
	last := before == math.MaxUint64
	seal, sealed, err := readSeal(s.dir, s.seam)
	if err != nil {
		return err
	}
	err = rec.tryOpen(s, seal, sealed)
	if errors.Is(err, errTransient) {
		return err
	}
	if err != nil {
		return rec.abandon(s, seal, before, err)
	}
	if sealed {
		s.sealed = true
		resume := last && int64(seal.Bytes) < rec.limit
		if resume { // sealed by Close: it is written on
			rec.resume, rec.holds = s.first, seal
		}
		rec.take(s, seal, !resume)
		return nil
	}
	holds, err := rec.scan(s, 0)
	if err != nil {
		return rec.abandon(s, seal, before, errors.Join(err, s.close()))
	}
	if last {
		rec.active, rec.resume, rec.holds = s, s.first, holds
		rec.take(s, holds, false)
		return nil
	}
	// A seal was lost: write it again, behind the checkpoint that it stands for.
	page := max(holds.Last, rec.state.main.checkpoint.Page)
	if err := rec.state.save(page, core.Seq(rec.mark)); err != nil {
		return errors.Join(err, s.close())
	}
	if err := s.seal(holds); err != nil {
		return err
	}
	rec.take(s, holds, true)
	return nil
}

// tryOpen checks a segment and opens it where its pages have to be read: those
// of an unsealed one, and those that meta does not know of.
func (rec *recovery) tryOpen(s *segment, seal sealRecord, sealed bool) error {
	if !sealed {
		if err := s.openWriter(); err != nil {
			return err
		}
		rec.unknown = rec.ring.keepDamaged(s) || rec.unknown
		return nil
	}
	rec.ring.keepDamaged(s)
	if err := checkSeal(s.dir, seal, s.seam); err != nil {
		return err
	}
	s.sealed = true
	if seal.Last <= rec.state.main.checkpoint.Page {
		return nil
	}
	if err := s.openReader(); err != nil { // meta was lost
		return err
	}
	_, err := rec.scan(s, seal.Last)
	s.rest()
	return err
}

// take books a segment.
func (rec *recovery) take(s *segment, r sealRecord, sealed bool) {
	info := &segmentInfo{
		first: r.First, last: r.Last, bytes: int64(r.Bytes), messages: r.Messages,
		sealed: sealed, damaged: slices.Contains(rec.damaged, r.First), oldest: r.Oldest.stamp(), newest: r.Newest.stamp(),
	}
	rec.ring.add(s)
	rec.segments = append(rec.segments, info)
	for _, d := range r.Receivers {
		info.debts += d.Count
		rec.debts = append(rec.debts, segmentDebt{d, info})
	}
	rec.next = max(rec.next, r.Last+1)
}

// abandon sets a segment aside that can not be opened or read, and goes on with
// what can be salvaged of it.
func (rec *recovery) abandon(s *segment, seal sealRecord, before uint64, why error) error {
	holds, ok, err := rec.ring.salvage(s, why)
	if errors.Is(err, errStays) {
		if err = nil; before == math.MaxUint64 { // the next segment must not have its name, nor a page of its
			rec.next = max(rec.next, s.first+lostPages)
		}
	}
	if err != nil {
		return err
	}
	rec.unknown = rec.unknown || before-1 > rec.state.main.checkpoint.Page
	rec.losses = append(rec.losses, missing(seal.Receivers, holds.Receivers)...)
	rec.next = max(rec.next, s.first, seal.Last+1)
	if !ok {
		return nil
	}
	fresh := rec.ring.newSegment(s.first)
	if err := rec.tryOpen(fresh, holds, true); err != nil {
		return err
	}
	rec.take(fresh, holds, true)
	return nil
}

// missing is what was owed and is not left.
func missing(owed, left []debtorRecord) (lost []debtorRecord) {
	for _, d := range owed {
		for _, l := range left {
			if l.Receiver == d.Receiver {
				d.Count -= min(d.Count, l.Count)
			}
		}
		if d.Count > 0 {
			lost = append(lost, d)
		}
	}
	return lost
}

// scan sums up the pages of a segment and replays those above the checkpoint.
func (rec *recovery) scan(s *segment, last uint64) (sealRecord, error) {
	holds, lost, err := scan(s, rec.codec, last, rec.replay)
	if lost > 0 {
		rec.unknown = rec.unknown || holds.Last > rec.state.main.checkpoint.Page
		rec.damaged = append(rec.damaged, s.first)
		rec.log.Error("pages can not be read", "segment", s.first, "pages", lost)
	}
	return holds, err
}

func (rec *recovery) replay(p *page) error {
	rec.mark = max(rec.mark, p.mark)
	if p.page <= rec.state.main.checkpoint.Page {
		return nil
	}
	return rec.state.apply(p.index.Changes)
}
