package storage

import (
	"errors"

	"github.com/weir-edge/weir/core"
)

// A look at the log beside its receivers: it hands nothing out and pays nothing,
// so that it disturbs nobody who is being served. Looks take turns with the
// Fetches at the reader.

// Place is where a look at what is owed to somebody goes on. The zero Place is
// the oldest.
type Place struct {
	After core.Seq
	End   bool // nothing more is owed

	page    uint64 // no page before it is needed
	skipped uint64 // of those that were dropped by a count
}

// Seen is one step of a look.
type Seen struct {
	Messages []core.Delivery
	Next     Place
	Unread   []uint64 // segments of which something can not be read, and was passed over
	Err      error    // the same step can be tried again
}

// look is what a fetchJob that is not for a receiver is for.
type look struct {
	from  Place
	upTo  core.Seq // what was on disk when it began
	done  func(Seen)
	check *check // it is no look, but a check of every page
}

// Browse looks at what is owed to a receiver behind a place. done is called once,
// by a later Collect.
func (l *Log) Browse(id core.ReceiverID, from Place, maxMessages, maxBytes int, done func(Seen)) {
	r := l.receivers[id]
	if r == nil || l.closed {
		from.End = true
		l.tellLater(func() { done(Seen{Next: from}) })
		return
	}
	j := &fetchJob{
		receiver: id, after: max(from.After, r.position), page: max(from.page, r.floor),
		maxMessages: max(1, maxMessages), maxBytes: max(1, maxBytes),
		look: &look{from: from, done: done},
	}
	j.segments, j.page = r.pagesAfter(j.after, j.page)
	if n := len(r.spans); n > 0 {
		j.look.upTo = r.spans[n-1].last
	}
	if len(j.segments) > 0 {
		l.fetches.put(j)
		return
	}
	l.tellLater(func() { l.looked(&fetched{job: j}) })
}

// pagesAfter lists where on disk something above seq is owed, and the page at
// which that begins.
func (r *receiver) pagesAfter(seq core.Seq, page uint64) (list []pageSpan, first uint64) {
	for _, s := range r.spans {
		if s.last <= seq {
			continue
		}
		if len(list) == 0 {
			page = max(page, s.page)
		}
		list = append(list, pageSpan{segment: s.seg.first, last: s.seg.last, paid: s.owed() == 0})
	}
	return list, page
}

// tellLater has f called by the next Collect.
func (l *Log) tellLater(f func()) {
	l.later = append(l.later, f)
	if len(l.later) == 1 {
		l.cfg.Notify()
	}
}

// looked takes what the reader has found for a look.
func (l *Log) looked(f *fetched) {
	k, r := f.job.look, l.receivers[f.job.receiver]
	seen := Seen{Next: k.from}
	switch {
	case r == nil:
		seen.Next.End = true
	case f.err != nil:
		seen.Err = f.err
	default:
		l.lookAt(r, f, &seen)
		seen.Unread = f.damaged
		if f.broken > 0 { // it is salvaged for those who are served, not for a look
			seen.Unread = append(seen.Unread, f.broken)
			seen.Next.pass(r, f.broken)
		}
	}
	k.done(seen)
}

// pass goes on behind a segment.
func (p *Place) pass(r *receiver, segment uint64) {
	for _, s := range r.spans {
		if s.seg.first == segment {
			p.After, p.page = max(p.After, s.last), max(p.page, s.seg.last+1)
		}
	}
}

func (l *Log) lookAt(r *receiver, f *fetched, seen *Seen) {
	now, next := l.cfg.Clock.Now(), &seen.Next
	next.After, next.page = max(next.After, f.job.after), f.page
	for _, m := range f.found {
		next.After = m.seq
		switch {
		case r.hasPaid(m.seq) || r.tooOld(m.m, now):
		case next.skipped < r.skip && m.seq > r.skipFrom:
			next.skipped++
		default:
			seen.Messages = append(seen.Messages, core.Delivery{Seq: m.seq, Message: m.m, QoS: m.m.QoS, Retain: m.m.Retain})
		}
	}
	if f.done == len(f.job.segments) {
		next.After = max(next.After, f.job.look.upTo)
		if n := len(r.spans); n == 0 || r.spans[n-1].last <= next.After { // nothing has come to the disk meanwhile
			l.lookAtTail(r, f.job, seen, now)
		}
	}
	l.correct(seen.Messages)
}

func (l *Log) lookAtTail(r *receiver, j *fetchJob, seen *Seen, now core.Stamp) {
	for _, e := range l.tail.entries[l.tail.after(seen.Next.After):] {
		if d := e.debtOf(r); e.gone || d == nil || d.paid || r.tooOld(e.m, now) {
			continue
		}
		if len(seen.Messages) >= j.maxMessages {
			return
		}
		seen.Messages = append(seen.Messages, core.Delivery{Seq: e.seq, Message: e.m, QoS: e.m.QoS, Retain: e.m.Retain})
		seen.Next.After = e.seq
	}
	seen.Next.End = true
}

// hasPaid says whether a message that was owed to r is not any more.
func (r *receiver) hasPaid(seq core.Seq) bool {
	if seq <= r.position {
		return true
	}
	if i, ok := r.inWindow(seq); ok {
		return r.window[i].paid
	}
	_, ok := r.ahead[seq]
	return ok
}

// GiveUp ends a debt by hand. What was handed out to a receiver that is there is
// on its way, and stays.
func (l *Log) GiveUp(id core.ReceiverID, seq core.Seq) bool {
	r := l.receivers[id]
	if r == nil || l.closed || r.hasPaid(seq) {
		return false
	}
	if _, handed := r.inWindow(seq); handed {
		return false
	}
	if e := l.tail.find(seq); e != nil {
		if d := e.debtOf(r); d == nil {
			return false
		}
		l.writeOff(e, r)
	} else if r.pay(seq, true) {
		l.payStored(r, seq)
	} else {
		return false
	}
	l.lose(id, core.DroppedByHand, 1)
	return true
}

// Verified is what a look at every page of the store has found.
type Verified struct {
	Segments int    `json:"segments"`
	Pages    uint64 `json:"pages"`
	Messages uint64 `json:"messages"`
	Bytes    int64  `json:"bytes"`
	Damaged  int    `json:"damaged"` // pages that can not be read
}

func (v *Verified) add(o Verified) {
	v.Segments += o.Segments
	v.Pages, v.Messages, v.Bytes, v.Damaged = v.Pages+o.Pages, v.Messages+o.Messages, v.Bytes+o.Bytes, v.Damaged+o.Damaged
}

// check is a run through all segments, one after the other.
type check struct {
	left     []pageSpan
	total    int
	found    Verified
	tries    int
	progress func(done, total int)
	done     func(Verified, error)
}

// checkTries is how often a segment is tried that can not be read at the moment,
// because the committer is about to do something with it.
const checkTries = 100

// Check reads every page of every segment and decodes its messages. progress is
// told how many segments of how many are done; both are called by Collect.
func (l *Log) Check(progress func(done, total int), done func(Verified, error)) {
	c := &check{progress: progress, done: done, total: len(l.segments)}
	for _, s := range l.segments {
		c.left = append(c.left, pageSpan{segment: s.first, last: s.last})
	}
	l.tellLater(func() { l.checkNext(c) })
}

func (l *Log) checkNext(c *check) {
	c.progress(c.total-len(c.left), c.total)
	switch {
	case l.closed:
		c.done(c.found, core.ErrClosed)
	case len(c.left) == 0:
		c.done(c.found, nil)
	default:
		l.fetches.put(&fetchJob{segments: c.left[:1], look: &look{check: c}})
	}
}

// checked takes what was found in a segment.
func (l *Log) checked(f *fetched) {
	c := f.job.look.check
	gone := errors.Is(f.err, errGone) && l.segment(c.left[0].segment) == nil // it was drained meanwhile
	if f.err != nil && !gone {
		if c.tries++; c.tries > checkTries {
			c.done(c.found, f.err)
			return
		}
		l.checkNext(c)
		return
	}
	c.tries = 0
	c.left = c.left[1:]
	c.found.add(f.verified)
	l.checkNext(c)
}

// check reads the pages of one segment.
func (r *reader) check(j *fetchJob) *fetched {
	f := &fetched{job: j}
	span := j.segments[0]
	seg := r.ring.find(span.segment)
	if seg == nil {
		f.err = errGone
		return f
	}
	r.use(seg)
	f.verified.Segments = 1
	for n := span.segment; n <= span.last; n++ {
		pages := Verified{Pages: 1}
		b, err := seg.read(n, nil)
		var p page
		if err == nil {
			p, err = r.codec.parsePage(b)
		}
		if err == nil {
			_, err = r.codec.messagesOf(&p)
		}
		switch {
		case errors.Is(err, errTransient) || errors.Is(err, errGone):
			f.err = err
			return f
		case err != nil:
			pages = Verified{Damaged: 1}
		default:
			pages.Messages, pages.Bytes = uint64(p.messages), int64(len(b))
		}
		f.verified.add(pages)
	}
	return f
}
