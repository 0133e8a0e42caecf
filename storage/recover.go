package storage

import (
	"errors"
	"fmt"
	"log/slog"
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
	setAside int
	damaged  []uint64 // segments of which pages can not be read

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
		if err := rec.segment(s, i == len(found)-1); err != nil {
			return nil, fmt.Errorf("recover segment %d: %w", s.first, err)
		}
		expect = rec.next
	}
	if rec.setAside > 0 { // its pages may have given out more than is known
		rec.mark += 2 * reserveBlock
	}
	return rec, nil
}

// segment recovers one segment, or sets it aside.
func (rec *recovery) segment(s *segment, last bool) error {
	seal, sealed := readSeal(s.dir)
	err := rec.tryOpen(s, seal, sealed)
	if errors.Is(err, errTransient) {
		return err
	}
	if err != nil {
		return rec.abandon(s, seal, err)
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
		return rec.abandon(s, seal, errors.Join(err, s.close()))
	}
	if last {
		rec.active, rec.resume, rec.holds = s, s.first, holds
		rec.take(s, holds, false)
		return nil
	}
	// A seal was lost: write it again, behind the checkpoint that it stands for.
	page := max(holds.Last, rec.state.main.checkpoint.Page)
	if err := rec.state.save(page, core.Seq(rec.mark)); err != nil {
		return err
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
		return s.openWriter()
	}
	if err := checkSeal(s.dir, seal); err != nil {
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
		rec.debts = append(rec.debts, segmentDebt{d, info})
	}
	rec.next = max(rec.next, r.Last+1)
}

// abandon sets a segment aside that can not be opened or read.
func (rec *recovery) abandon(s *segment, seal sealRecord, why error) error {
	if err := rec.ring.setAside(s.dir, why); err != nil {
		return err
	}
	rec.setAside++
	rec.losses = append(rec.losses, seal.Receivers...)
	rec.next = max(rec.next, s.first, seal.Last+1)
	return nil
}

// scan reads the pages of a segment, up to a page or (0) to the end, sums them
// up, and replays those above the checkpoint. A group at the end that is not
// whole was never acknowledged: it is cut off, and its numbers are used again.
func (rec *recovery) scan(s *segment, last uint64) (sealRecord, error) {
	sum := summary{holds: sealRecord{First: s.first, Last: s.first - 1}}
	newest, err := s.newest()
	if err != nil {
		return sum.holds, err
	}
	if last == 0 {
		last = newest
	}
	var run []page // of the group that is not whole yet
	lost, torn := 0, false
	var buf []byte
	for n := s.first; n <= last; n++ {
		p, size, err := rec.load(s, n, buf)
		if err != nil {
			if errors.Is(err, errTransient) {
				return sum.holds, err
			}
			lost, torn = lost+1, true
			continue
		}
		if !follows(run, p, torn) {
			run = run[:0]
			if p.place != 0 && !torn {
				continue // left over from a group that was cut off before
			}
		}
		torn = false
		sum.size += size
		run = append(run, p)
		if !p.last {
			continue
		}
		for i := range run {
			if err := rec.replay(&sum, &run[i]); err != nil {
				return sum.holds, err
			}
		}
		sum.end(lost, n)
		run, lost = run[:0], 0
	}
	if sum.lost > 0 {
		rec.damaged = append(rec.damaged, s.first)
		rec.log.Error("pages can not be read", "segment", s.first, "pages", sum.lost)
	}
	sum.holds.Receivers = sum.owed.list
	return sum.holds, nil
}

// follows says whether p continues the run, of which pages may have been torn out.
func follows(run []page, p page, torn bool) bool {
	if len(run) == 0 {
		return p.place == 0 || torn
	}
	prev := run[len(run)-1]
	return p.group == prev.group && (p.place == prev.place+1 || torn)
}

func (rec *recovery) load(s *segment, n uint64, buf []byte) (page, int64, error) {
	b, err := s.read(n, buf[:0])
	if err != nil {
		return page{}, 0, err
	}
	p, err := rec.codec.parsePage(b)
	if err == nil && p.page != n {
		err = errDamaged
	}
	p.body = nil
	return p, int64(len(b)), err
}

// summary sums up the pages of a segment.
type summary struct {
	holds sealRecord
	owed  debtors
	size  int64 // of the pages since end
	lost  int
}

func (rec *recovery) replay(sum *summary, p *page) error {
	h := &sum.holds
	if p.messages > 0 {
		if h.Messages == 0 {
			h.Oldest = p.index.Base
		}
		h.Newest = p.index.Newest
	}
	h.Messages += uint64(p.messages)
	for _, d := range p.index.Receivers {
		sum.owed.merge(d)
	}
	rec.mark = max(rec.mark, p.mark)
	if p.page <= rec.state.main.checkpoint.Page {
		return nil
	}
	return rec.state.apply(p.index.Changes)
}

// end takes note that the pages up to n are whole.
func (s *summary) end(lost int, n uint64) {
	s.holds.Last = n
	s.holds.Bytes += uint64(s.size)
	s.size = 0
	s.lost += lost
}

// merge adds what a page owes to a receiver.
func (d *debtors) merge(o debtorRecord) {
	id := core.ReceiverID(o.Receiver)
	i, ok := d.find(id)
	if !ok {
		d.list = append(d.list, o)
		d.index(id, len(d.list)-1)
		return
	}
	e := &d.list[i]
	e.Count, e.Bytes, e.Last = e.Count+o.Count, e.Bytes+o.Bytes, max(e.Last, o.Last)
}
