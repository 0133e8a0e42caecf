package storage

import (
	"errors"

	"github.com/weir-edge/weir/core"
)

// scan reads the pages of a segment in order, up to a page or (0) to the end,
// gives those of whole groups to visit, and sums them up. lost counts pages that
// can not be read although what comes after them was written.
//
// A group at the end that is not whole was never acknowledged: it is cut off, and
// its numbers are used again.
func scan(s *segment, c *codec, last uint64, visit func(*page) error) (holds sealRecord, lost int, err error) {
	sum := summary{holds: sealRecord{First: s.first, Last: s.first - 1}, visit: visit}
	sealed := last > 0
	if !sealed {
		if last, err = s.newest(); err != nil {
			return sum.holds, 0, err
		}
	}
	var a assembly
	var buf []byte
	for n := s.first; n <= last; n++ {
		p, size, err := loadPage(s, c, n, buf)
		if errors.Is(err, errTransient) {
			return sum.holds, 0, err
		}
		if err != nil {
			a.miss()
			continue
		}
		if err := sum.take(a.add(p, size)); err != nil {
			return sum.holds, 0, err
		}
	}
	if sealed { // all of it was acknowledged
		err = sum.take(a.rest())
		sum.holds.Last = last
	}
	sum.holds.Receivers = sum.owed.list
	return sum.holds, sum.lost, err
}

func loadPage(s *segment, c *codec, n uint64, buf []byte) (page, int64, error) {
	b, err := s.read(n, buf[:0])
	if err != nil {
		return page{}, 0, err
	}
	p, err := c.parsePage(b)
	if err == nil && p.page != n {
		err = errDamaged
	}
	p.body = nil
	return p, int64(len(b)), err
}

// assembly puts pages together to groups.
type assembly struct {
	run  []page // of the group that is not whole yet
	size int64  // of the run
	lost int    // pages that could not be read since the last whole group
	torn bool   // the page before could not be read
}

// whole is what is known to be written.
type whole struct {
	pages []page
	size  int64
	lost  int
}

// miss notes a page that can not be read.
func (a *assembly) miss() { a.lost, a.torn = a.lost+1, true }

// add takes the next page, and gives what is known to be written by that.
func (a *assembly) add(p page, size int64) (w whole) {
	if n := len(a.run); n > 0 && !a.continues(a.run[n-1], p) {
		switch prev := a.run[n-1]; {
		case a.torn: // the end of that group could not be read
			w = a.rest()
		case p.place == 0 || p.mark > prev.mark:
			// The run is left over from a group that was cut off, and whose numbers were
			// used again; what was written in its place can not be read. A group begins
			// behind a whole one, and what is left over further on is older.
			a.lost, a.torn = a.lost+n, true
		}
		a.run, a.size = nil, 0
	}
	if len(a.run) == 0 && p.place != 0 && !a.torn && w.pages == nil {
		return w // left over from a group that was cut off before
	}
	a.run, a.size, a.torn = append(a.run, p), a.size+size, false
	if p.last {
		more := a.rest()
		w.pages, w.size, w.lost = append(w.pages, more.pages...), w.size+more.size, w.lost+more.lost
	}
	return w
}

func (a *assembly) continues(prev, p page) bool {
	return p.group == prev.group && (p.place == prev.place+1 || a.torn && p.place > prev.place)
}

// rest gives what is there, whole or not.
func (a *assembly) rest() whole {
	w := whole{pages: a.run, size: a.size, lost: a.lost}
	a.run, a.size, a.lost = nil, 0, 0
	return w
}

// summary sums up the pages of a segment.
type summary struct {
	holds sealRecord
	owed  debtors
	lost  int
	visit func(*page) error
}

func (s *summary) take(w whole) error {
	for i := range w.pages {
		s.add(&w.pages[i])
		if err := s.visit(&w.pages[i]); err != nil {
			return err
		}
		s.holds.Last = w.pages[i].page
	}
	s.holds.Bytes += uint64(w.size)
	s.lost += w.lost
	return nil
}

func (s *summary) add(p *page) {
	h := &s.holds
	if p.messages > 0 {
		if h.Messages == 0 {
			h.Oldest = p.index.Base
		}
		h.Newest = p.index.Newest
	}
	h.Messages += uint64(p.messages)
	for _, d := range p.index.Receivers {
		s.owed.merge(d)
	}
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
