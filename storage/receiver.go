package storage

import (
	"cmp"
	"maps"
	"slices"

	"github.com/weir-edge/weir/core"
)

// receiver is the bookkeeping of one durable receiver. It belongs to the owner.
//
//	position  everything owed up to it is paid
//	window    what was handed out after it, in order; those paid early are marked
//	ahead     paid, but not handed out since the last Rewind
//	cursor    everything owed up to it was handed out since the last Rewind
//	last      the newest that is owed
//
// position <= window <= cursor <= last; ahead lies above the position, spans
// tell what is on disk, and what is in the tail comes after what is on disk.
type receiver struct {
	id       core.ReceiverID
	name     string
	rule     bool // of a bridge, not a session
	policy   core.Policy
	inflight int // SetInflight; 0: not told

	position core.Seq
	paidAt   core.Stamp // when the message at the position was received
	window   []handed
	ahead    map[core.Seq]bool // whether it is on disk
	cursor   core.Seq
	last     core.Seq
	sent     core.Seq // the newest ever handed out
	resent   core.Seq // what sent was at the last Rewind: up to it, Again is set
	again    int      // so many more after a crash may have been sent before as well

	spans  []*span // on disk, in order
	onDisk uint64  // debts
	inTail uint64
	held   int64  // bytes of messages in the tail
	floor  uint64 // no page before it is needed for what is above the position
	page   uint64 // no page before it is needed for what is above the cursor

	dropped map[core.Reason]uint64 // since the start

	skipFrom core.Seq // the skip oldest debts on disk above skipFrom were dropped
	skip     uint64

	want  *want  // the Fetch that is not answered yet
	round uint32 // counts Rewinds

	mark    uint64 // of the last tail.choose that marked it
	dirty   bool   // paid something on disk that no group tells of
	unsaved int    // payments that no group on disk tells of
	saving  int    // of them, told by the group that the committer has
	flying  int    // payments of messages that the committer has: they will be unsaved
}

// handed is a message that was handed out.
type handed struct {
	seq  core.Seq
	page uint64     // no page before it holds the message; 0: it is not on disk
	at   core.Stamp // when it was received
	paid bool
}

// want is an open Fetch.
type want struct {
	messages int
	bytes    int
}

// span is what one segment holds for one receiver.
type span struct {
	seg         *segmentInfo
	page        uint64 // the first that holds something for it
	first, last core.Seq
	count, paid uint64
	bytes       uint64
}

func (s *span) owed() uint64 { return s.count - s.paid }

// owedBytes is roughly what is owed of the span.
func (s *span) owedBytes() uint64 {
	if s.count == 0 {
		return 0
	}
	return s.bytes / s.count * s.owed()
}

func (r *receiver) owed() uint64 { return r.onDisk + r.inTail }

// caughtUp: all that is owed was handed out.
func (r *receiver) caughtUp() bool { return r.cursor >= r.last }

// diskAhead: something on disk was not handed out.
func (r *receiver) diskAhead() bool {
	n := len(r.spans)
	return n > 0 && r.spans[n-1].last > r.cursor
}

// hand puts a message behind the window.
func (r *receiver) hand(seq core.Seq, page uint64, m *core.Message, paid bool) {
	r.window = append(r.window, handed{seq: seq, page: page, at: m.Received, paid: paid})
	r.cursor = seq
	if !paid {
		r.sent = max(r.sent, seq)
		return
	}
	r.advance()
}

// pay marks seq as paid. fresh is false when it was already. stored says whether
// the message is on disk.
func (r *receiver) pay(seq core.Seq, stored bool) (fresh bool) {
	if seq <= r.position {
		return false
	}
	if i, ok := r.inWindow(seq); ok {
		if r.window[i].paid {
			return false
		}
		r.window[i].paid = true
		r.advance()
		return true
	}
	if _, ok := r.ahead[seq]; ok || seq > r.last {
		return false
	}
	r.keepAhead(seq, stored)
	return true
}

func (r *receiver) keepAhead(seq core.Seq, stored bool) {
	if r.ahead == nil {
		r.ahead = make(map[core.Seq]bool)
	}
	r.ahead[seq] = stored
}

// store notes that a message is on disk now, in this page or a later one.
func (r *receiver) store(seq core.Seq, page uint64) {
	if i, ok := r.inWindow(seq); ok {
		r.window[i].page = max(r.window[i].page, page)
	} else if _, ok := r.ahead[seq]; ok {
		r.ahead[seq] = true
	}
}

func (r *receiver) inWindow(seq core.Seq) (int, bool) {
	if len(r.window) > 0 && r.window[0].seq == seq { // most are paid in order
		return 0, true
	}
	return slices.BinarySearchFunc(r.window, seq, func(h handed, s core.Seq) int { return cmp.Compare(h.seq, s) })
}

// advance moves the position over what is paid at the front of the window.
func (r *receiver) advance() {
	n := 0
	for n < len(r.window) && r.window[n].paid {
		r.position, r.paidAt = r.window[n].seq, r.window[n].at
		r.floor = max(r.floor, r.window[n].page)
		n++
	}
	r.window = r.window[n:]
	if len(r.window) == 0 {
		r.window = nil
	}
}

// pass moves the cursor over everything up to seq: there is nothing left there
// that could be handed out. What is paid there and on disk goes into the window,
// so that it is known until the position has moved over it: the position may have
// to wait for something older, and a Rewind would find it again.
func (r *receiver) pass(seq core.Seq) {
	if seq <= r.cursor {
		return
	}
	var paid []core.Seq
	for s, stored := range r.ahead {
		if stored && s > r.cursor && s <= seq {
			paid = append(paid, s)
		}
	}
	slices.Sort(paid)
	for _, s := range paid {
		r.window = append(r.window, handed{seq: s, page: max(1, r.floor), at: r.paidAt, paid: true})
	}
	maps.DeleteFunc(r.ahead, func(s core.Seq, _ bool) bool { return s <= seq })
	r.cursor = seq
	r.advance()
	if len(r.window) == 0 {
		r.position = max(r.position, seq)
	}
}

// rewind goes back to the position.
func (r *receiver) rewind() {
	for _, h := range r.window {
		if h.paid {
			r.keepAhead(h.seq, h.page > 0)
		}
	}
	r.window = nil
	r.cursor, r.page = r.position, r.floor
	r.resent = r.sent
	r.want = nil
	r.round++
}

// takeAhead says whether seq was paid before it was handed out, and forgets that.
func (r *receiver) takeAhead(seq core.Seq) bool {
	_, ok := r.ahead[seq]
	delete(r.ahead, seq)
	return ok
}

// spanOf finds the span that holds seq, or nil.
func (r *receiver) spanOf(seq core.Seq) *span {
	i, _ := slices.BinarySearchFunc(r.spans, seq, func(s *span, q core.Seq) int { return cmp.Compare(s.last, q) })
	if i < len(r.spans) && r.spans[i].first <= seq {
		return r.spans[i]
	}
	return nil
}

// head is the oldest span in which something is owed, or the newest.
func (r *receiver) head() *span {
	for _, s := range r.spans {
		if s.owed() > 0 {
			return s
		}
	}
	if n := len(r.spans); n > 0 {
		return r.spans[n-1]
	}
	return nil
}

// bytes is roughly what is owed.
func (r *receiver) bytes() int64 {
	n := r.held
	for _, s := range r.spans {
		n += int64(s.owedBytes())
	}
	return n
}

// record is what the next page tells of the receiver.
func (r *receiver) record() positionRecord {
	p := positionRecord{
		Position: uint64(r.position),
		Sent:     uint64(r.sent),
		Page:     r.floor,
		SkipFrom: uint64(r.skipFrom),
		Skip:     r.skip,
	}
	h := r.head()
	if h == nil {
		return p
	}
	p.Segment, p.Paid = h.seg.first, h.paid
	from := r.position
	for _, seq := range r.paidAbove() {
		p.Ahead = append(p.Ahead, uint64(seq-from))
		from = seq
	}
	return p
}

// paidAbove lists what is on disk and paid, above the position. What was paid in
// memory and never written does not belong there: it would be counted as paid in
// a segment that does not hold it.
func (r *receiver) paidAbove() (list []core.Seq) {
	for seq, stored := range r.ahead {
		if stored && seq > r.position {
			list = append(list, seq)
		}
	}
	for _, h := range r.window {
		if h.paid && h.page > 0 {
			list = append(list, h.seq)
		}
	}
	slices.Sort(list)
	return list
}

// jump makes the position at least seq: nothing up to it is owed any more.
func (r *receiver) jump(seq core.Seq) {
	if seq <= r.position {
		return
	}
	n, _ := r.inWindow(seq + 1)
	r.window = r.window[n:]
	maps.DeleteFunc(r.ahead, func(s core.Seq, _ bool) bool { return s <= seq })
	r.position = seq
	r.cursor = max(r.cursor, seq)
	if r.skipFrom < seq {
		r.skip = 0
	}
	r.advance()
}

// settleSpans moves the position over the spans in which nothing is owed.
func (r *receiver) settleSpans() {
	for _, s := range r.spans {
		if s.owed() > 0 {
			return
		}
		r.jump(s.last)
	}
}

// leave forgets a segment that was removed.
func (r *receiver) leave(first uint64) {
	r.spans = slices.DeleteFunc(r.spans, func(s *span) bool { return s.seg.first == first })
}

// behind says whether a kill could repeat as many payments: then nothing more is
// handed out before positions are on disk.
func (r *receiver) behind(repeats int) bool {
	return r.unsaved+r.flying >= repeats && (r.flying > 0 || r.needed())
}

// needed says whether a kill could make the receiver look at what it has paid: some of
// it is in a segment that is there. One that is about to be sealed or removed counts, too:
// a kill may come before that, and behind a change that says that a packet id is over.
func (r *receiver) needed() bool { return len(r.spans) > 0 }

func (r *receiver) spanIn(segment uint64) *span {
	for _, s := range r.spans {
		if s.seg.first == segment {
			return s
		}
	}
	return nil
}

// openIn counts what of a span was handed out and is not paid.
func (r *receiver) openIn(s *span) (n uint64) {
	from, _ := r.inWindow(s.first)
	for _, h := range r.window[from:] {
		if h.seq > s.last {
			break
		}
		if !h.paid {
			n++
		}
	}
	return n
}
