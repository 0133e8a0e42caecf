package storage

import (
	"errors"
	"slices"
	"time"

	"github.com/weir-edge/weir/core"
)

// Collect tells h what became of what was given to the log. See broker.Commits.
//
// The handler may call the log from within; what that brings about is told in
// the same Collect.
func (l *Log) Collect(h core.LogHandler) {
	for more := true; more; {
		more = false
		for _, r := range l.results.take() {
			more = true
			l.finish(r, h)
		}
		for _, f := range l.found.take() {
			more = true
			l.arrive(f, h)
		}
		more = l.tell(h) || more
	}
}

// tell delivers what the owner's own calls have brought about.
func (l *Log) tell(h core.LogHandler) (more bool) {
	answered, settled, dropped, later := l.answered, l.settled, l.dropped, l.later
	l.answered, l.settled, l.dropped, l.later = nil, nil, nil, nil
	for _, r := range answered {
		if r.want != nil && l.receivers[r.id] == r {
			l.answer(r, nil, h)
		}
	}
	for _, seq := range settled {
		h.Settled(seq)
	}
	for _, d := range dropped {
		h.Dropped(d.r, d.why, d.n)
	}
	for _, f := range later {
		f()
	}
	return len(answered)+len(settled)+len(dropped)+len(later) > 0
}

// lose notes that n messages are owed to r no more.
func (l *Log) lose(r core.ReceiverID, why core.Reason, n uint64) {
	if n == 0 {
		return
	}
	l.counts.dropped[why] += n
	if to := l.receivers[r]; to != nil {
		to.dropped = addDrop(to.dropped, why, n)
	}
	l.dropped = append(l.dropped, drop{r: r, why: why, n: int(n)})
	if len(l.dropped) == 1 {
		l.cfg.Notify()
	}
}

func addDrop(counts map[core.Reason]uint64, why core.Reason, n uint64) map[core.Reason]uint64 {
	if counts == nil {
		counts = make(map[core.Reason]uint64)
	}
	counts[why] += n
	return counts
}

// settle notes that the promise about a message in the tail holds.
func (l *Log) settle(e *held) {
	if e.settled {
		return
	}
	e.settled = true
	l.settled = append(l.settled, e.seq)
	if len(l.settled) == 1 {
		l.cfg.Notify()
	}
}

// finish takes note of what the committer did.
func (l *Log) finish(r result, h core.LogHandler) {
	l.measure(r.free)
	l.noRoom = 0
	switch {
	case r.group != nil && r.err != nil:
		l.takeBack(r.group, r.err)
	case r.group != nil:
		l.written(r, h)
	case r.err != nil:
		l.health.failed(r.err, time.Now(), l.cfg.retry)
		l.unleave(r.segment)
		if s := l.segment(r.segment); s != nil && r.salvaged { // again, when the disk is well
			s.salvaged = false
		}
	case r.probed:
		l.health.succeeded()
		l.resume()
	case r.salvaged:
		if s := l.segment(r.segment); s != nil {
			s.leaving = false
			l.release(s)
		}
		l.resume()
	case r.sealed:
		l.sealed(r.segment)
	case r.dropped:
		l.removed(r.segment)
	case r.lost:
		l.lost(r.segment)
	}
}

// takeBack puts what could not be written where it came from.
func (l *Log) takeBack(g *group, err error) {
	now := time.Now()
	l.unbusy()
	l.reserving = false
	l.health.failed(err, now, l.cfg.retry)
	if errors.Is(err, errFullDisk) {
		l.health.short = true
	} else {
		l.log.Error("write to the store failed; trying again", "error", err, "messages", len(g.entries))
	}
	for _, e := range l.flight {
		e.writing = false
		e.landed()
		if e.open == 0 {
			l.tail.remove(e)
			continue
		}
		l.tail.hurry(e, now)
	}
	l.flight = nil
	l.pending.giveBack(g.changes, now)
	for _, r := range l.saving {
		if l.receivers[r.id] == r {
			l.soil(r)
		}
	}
	l.resume()
}

// resume goes on with Fetches that waited for a commit.
func (l *Log) resume() {
	waiting := l.deferred
	l.deferred = nil
	for _, r := range waiting {
		if r.want != nil && l.receivers[r.id] == r {
			l.request(r)
		}
	}
}

// written moves the debts of a group from memory to disk, and settles it.
func (l *Log) written(r result, h core.LogHandler) {
	l.unbusy()
	l.health.succeeded()
	seg := l.segmentFor(r)
	l.counts.commits++
	l.counts.written += uint64(len(r.group.entries))
	l.counts.writtenBytes += uint64(r.bytes)
	first := r.last + 1 - uint64(r.pages)
	flight := l.flight
	l.flight = nil
	settled := make([]core.Seq, 0, len(flight))
	for i, e := range flight {
		l.tail.remove(e)
		e.landed()
		for _, id := range r.group.entries[i].owed {
			if rec := l.receivers[id]; rec != nil {
				l.shelve(e, rec, seg, first)
			}
		}
		if !e.settled {
			e.settled = true
			settled = append(settled, e.seq)
		}
	}
	if l.reserving && reservedBy(r.group.ops) {
		l.reserving, l.reserved = false, r.group.mark+reserveBlock
	}
	for _, r := range l.saving {
		r.unsaved -= min(r.unsaved, r.saving)
		r.saving = 0
	}
	l.resume()
	l.release(seg)
	for _, seq := range settled {
		h.Settled(seq)
	}
	h.Synced(r.group.ticket)
}

// segmentFor finds the segment of a written group, or takes note of a new one.
func (l *Log) segmentFor(r result) *segmentInfo {
	seg := l.segment(r.segment)
	if seg == nil {
		seg = &segmentInfo{first: r.segment}
		l.noRoom = 0
		l.segments = append(l.segments, seg)
	}
	seg.last, seg.bytes = r.last, seg.bytes+r.bytes
	if n := len(r.group.entries); n > 0 {
		if seg.messages == 0 {
			seg.oldest = r.group.entries[0].m.Received
		}
		seg.newest = r.group.entries[n-1].m.Received
		seg.messages += uint64(n)
		for _, e := range r.group.entries {
			seg.debts += uint64(len(e.owed))
		}
	}
	return seg
}

// shelve books a debt that is now on disk. It may have been paid meanwhile.
func (l *Log) shelve(e *held, r *receiver, seg *segmentInfo, page uint64) {
	d := e.debtOf(r)
	n := len(r.spans)
	if n == 0 || r.spans[n-1].seg != seg {
		r.spans = append(r.spans, &span{seg: seg, page: page, first: e.seq})
		n++
	}
	r.store(e.seq, page)
	s := r.spans[n-1]
	wasOwed := s.owed() > 0
	s.count, s.bytes, s.last = s.count+1, s.bytes+uint64(e.m.Size()), e.seq
	if d.paid {
		s.paid++
		r.unsaved++
		l.soil(r)
	} else {
		r.inTail--
		r.held -= int64(e.m.Size())
		r.onDisk++
	}
	if !wasOwed && s.owed() > 0 {
		seg.owing++
	}
}

func (l *Log) segment(first uint64) *segmentInfo {
	for i := len(l.segments) - 1; i >= 0; i-- {
		if l.segments[i].first == first {
			return l.segments[i]
		}
	}
	return nil
}

func (l *Log) sealed(first uint64) {
	if s := l.segment(first); s != nil {
		s.sealed, s.leaving = true, false
		l.release(s)
	}
}

// unleave lets a segment be removed, or the active one be sealed, that could not be.
func (l *Log) unleave(first uint64) {
	for _, s := range l.segments {
		if !s.sealed || s.first == first {
			s.leaving = false
		}
	}
}

func (l *Log) removed(first uint64) {
	for i, s := range l.segments {
		if s.first == first {
			l.segments = append(l.segments[:i:i], l.segments[i+1:]...)
			break
		}
	}
	for _, r := range l.receivers {
		r.leave(first)
		if len(r.spans) == 0 { // what it paid is gone
			r.dirty, r.unsaved, r.saving = false, 0, 0
		}
	}
	l.dirty = slices.DeleteFunc(l.dirty, func(r *receiver) bool { return !r.dirty })
	l.resume()
}

// lost drops what a segment owed that had to be set aside.
func (l *Log) lost(first uint64) {
	for _, r := range l.receivers {
		for _, s := range r.spans {
			if s.seg.first == first && s.owed() > 0 {
				l.lose(r.id, core.DroppedUnreadable, s.owed())
				r.onDisk -= s.owed()
				s.paid = s.count
				l.soil(r)
			}
		}
		r.settleSpans()
	}
	l.removed(first)
	l.resume()
}
