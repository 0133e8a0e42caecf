package storage

import (
	"slices"
	"time"

	"github.com/weir-edge/weir/core"
)

// Fetch asks for what is owed to a receiver next. See broker.Log.
func (l *Log) Fetch(id core.ReceiverID, maxMessages, maxBytes int) {
	r := l.receiver(id)
	if r.want != nil || l.closed {
		return
	}
	r.want = &want{messages: max(1, maxMessages), bytes: max(1, maxBytes)}
	l.request(r)
}

// request has the reader look for what r wants, or answers from the tail.
func (l *Log) request(r *receiver) {
	if l.holdsBack(r) {
		l.deferred = append(l.deferred, r)
		return
	}
	if !r.diskAhead() {
		l.answered = append(l.answered, r)
		if len(l.answered) == 1 {
			l.cfg.Notify()
		}
		return
	}
	j := &fetchJob{
		receiver: r.id, round: r.round, after: r.cursor,
		maxMessages: r.want.messages, maxBytes: r.want.bytes,
	}
	j.segments, j.page = r.pagesAfter(r.cursor, r.page)
	l.fetches.put(j)
}

// arrive takes what the reader has found.
func (l *Log) arrive(f *fetched, h core.LogHandler) {
	switch k := f.job.look; {
	case k == nil:
	case k.check != nil:
		l.checked(f)
		return
	default:
		l.looked(f)
		return
	}
	r := l.receivers[f.job.receiver]
	if r == nil || r.want == nil || r.round != f.job.round {
		return // rewound or gone meanwhile
	}
	if f.err != nil && len(f.found) == 0 {
		l.refetch = append(l.refetch, r)
		l.refetchAt = time.Now().Add(retryMin)
		return
	}
	if f.broken > 0 && len(f.found) == 0 {
		l.repair(r, f.broken, f.why)
		return
	}
	r.page = max(r.page, f.page)
	l.answer(r, f, h)
}

// repair has a segment salvaged that can not be opened. The receiver waits for
// that. What can not be opened even then is lost.
func (l *Log) repair(r *receiver, first uint64, why error) {
	seg := l.segment(first)
	switch {
	case seg == nil: // it is gone meanwhile
	case !seg.salvaged:
		seg.salvaged, seg.leaving = true, true // nothing else is done with it
		l.jobs.put(job{salvage: first, why: why})
		fallthrough
	case seg.leaving:
		l.deferred = append(l.deferred, r)
		return
	default:
		if s := r.spanIn(first); s != nil {
			l.dropSpan(r, s, core.DroppedUnreadable)
		}
	}
	l.request(r)
}

// answer delivers what is owed to r next: what was found on disk, and, when the
// disk has no more, what is in the tail.
func (l *Log) answer(r *receiver, f *fetched, h core.LogHandler) {
	now := l.cfg.Clock.Now()
	var next []core.Delivery
	if f != nil {
		next = make([]core.Delivery, 0, len(f.found))
		for _, m := range f.found {
			if l.takeStored(r, m, now) {
				next = append(next, r.delivery(m.seq, m.m))
			}
		}
		l.finishSegments(r, f)
	}
	if !r.diskAhead() {
		next = l.takeHeld(r, next, now)
	}
	if len(next) == 0 && r.diskAhead() { // all of it was paid or expired: look further
		l.request(r)
		return
	}
	r.want = nil
	l.correct(next)
	h.Fetched(r.id, next, r.caughtUp())
}

// takeStored decides about a message found on disk: is it to be delivered?
func (l *Log) takeStored(r *receiver, m located, now core.Stamp) bool {
	if m.seq <= r.cursor {
		return false
	}
	if r.takeAhead(m.seq) {
		r.hand(m.seq, m.page, m.m, true)
		return false
	}
	if r.skip > 0 && m.seq > r.skipFrom {
		r.skip--
		r.skipFrom = m.seq
		r.hand(m.seq, m.page, m.m, true)
		return false
	}
	if r.tooOld(m.m, now) {
		r.hand(m.seq, m.page, m.m, true)
		l.payStored(r, m.seq)
		l.lose(r.id, core.DroppedExpired, 1)
		return false
	}
	r.hand(m.seq, m.page, m.m, false)
	return true
}

func (r *receiver) tooOld(m *core.Message, now core.Stamp) bool {
	return m.Expired(now) || r.policy.MaxAge > 0 && now.Since(m.Received) >= r.policy.MaxAge
}

// delivery must be made right after hand, which raises sent.
func (r *receiver) delivery(seq core.Seq, m *core.Message) core.Delivery {
	again := seq <= r.resent
	if !again && r.again > 0 {
		r.again--
		again = true
	}
	return core.Delivery{Seq: seq, Message: m, Again: again, QoS: m.QoS, Retain: m.Retain}
}

// takeHeld goes on with what is in the tail.
func (l *Log) takeHeld(r *receiver, next []core.Delivery, now core.Stamp) []core.Delivery {
	bytes := 0
	for _, d := range next {
		bytes += d.Message.Size()
	}
	for _, e := range slices.Clone(l.tail.entries[l.tail.after(r.cursor):]) {
		d := e.debtOf(r)
		if e.gone || d == nil {
			continue
		}
		if r.takeAhead(e.seq) || d.paid {
			r.hand(e.seq, 0, e.m, true)
			continue
		}
		if r.tooOld(e.m, now) {
			r.hand(e.seq, 0, e.m, true)
			l.writeOff(e, r)
			l.lose(r.id, core.DroppedExpired, 1)
			continue
		}
		if len(next) > 0 && (len(next) >= r.want.messages || bytes+e.m.Size() > r.want.bytes) {
			return next
		}
		d.live = true
		r.hand(e.seq, 0, e.m, false)
		next = append(next, r.delivery(e.seq, e.m))
		bytes += e.m.Size()
	}
	r.pass(r.last) // what is missing was given up
	return next
}

// writeOff ends a debt in the tail that is not going to be paid.
func (l *Log) writeOff(e *held, r *receiver) {
	r.pay(e.seq, false)
	if l.payHeld(e, r) {
		e.settled = false
		l.settle(e)
	}
}

// finishSegments counts as unreadable what a damaged segment still owed when it
// was read to its end.
func (l *Log) finishSegments(r *receiver, f *fetched) {
	for _, first := range f.damaged {
		if seg := l.segment(first); seg != nil {
			seg.damaged = true
		}
	}
	for i, s := range f.job.segments[:f.done] {
		span := r.spanIn(s.segment)
		if span == nil {
			continue
		}
		// Pages may have come to the last one since the job was given.
		if i == len(f.job.segments)-1 && span.seg.last > s.last {
			continue
		}
		missing := span.owed() - min(span.owed(), r.openIn(span))
		if missing > 0 {
			l.log.Error("messages can not be read", "segment", s.segment, "receiver", r.name, "messages", missing)
			l.lose(r.id, core.DroppedUnreadable, missing)
			l.credit(r, span, missing)
			l.soil(r)
		}
		r.pass(span.last)
	}
}
