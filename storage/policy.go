package storage

import (
	"slices"
	"time"

	"github.com/weir-edge/weir/core"
)

// segmentOverhead is roughly what a segment takes on disk beside its pages.
const segmentOverhead = 64 << 10

// bytes is what the store takes on disk, without segments that are about to go.
func (l *Log) bytes() (n int64) {
	for _, s := range l.segments {
		if s.owing > 0 || !s.leaving {
			n += s.bytes + segmentOverhead
		}
	}
	return n
}

// budget is what the store may take: what is configured, or what the disk offers
// when that is less, so that a backlog that fills a small disk by itself gives
// way by on_full before the disk is short.
func (l *Log) budget() int64 {
	if l.share > 0 {
		return min(l.cfg.Budget, l.share)
	}
	return l.cfg.Budget
}

// shareMargin is what the store takes at most beside its pages: the spare, and
// journals that are being turned into tables.
const shareMargin = spareSize + 4*segmentMemtable + 4*metaMemtable

// shareOf is what the disk offers to a store of so many bytes, 0 when that can
// not be said: a disk that is nearly full tells nothing, because nobody knows who
// has filled it.
func shareOf(bytes, free, reserve int64) int64 {
	room := free - max(reserve, watermark) - shareMargin
	if free < 0 || room < (bytes+room)/8 {
		return 0
	}
	return bytes + room - room/8
}

// measure takes note of the free space on the disk. What others free counts for
// the store's share; what they take does not.
func (l *Log) measure(free int64) {
	l.health.measure(free, l.cfg.Reserve)
	l.share = max(l.share, shareOf(l.bytes(), free, l.cfg.Reserve))
}

// admit decides who of the receivers gets m. It makes room by their policies, or
// refuses the message; then nothing has happened.
//
// What is on disk gives way to the budget only. When the disk itself takes
// nothing, because others have filled it or it fails, that is nobody's choice and
// may be over in a moment: then the backlog stays, and new messages are refused.
func (l *Log) admit(m *core.Message, debts []core.Debt, hold time.Duration) ([]core.Debt, error) {
	if (l.without || l.health.full()) && needsDisk(debts, hold) {
		return l.admitWithoutDisk(m, debts)
	}
	debts, err := l.admitEach(m, debts)
	if err != nil || !needsDisk(debts, hold) || l.bytes() < l.budget() {
		return debts, err
	}
	taken, refuse, top := l.insisting(debts, true)
	if len(taken) > 0 && (l.health.err != nil || !l.makeRoom(top) && (refuse || !l.waiting())) {
		return nil, core.ErrFull
	}
	l.loseOthers(debts, taken)
	return taken, nil
}

// admitWithoutDisk lets those pass who take the message from memory, if all
// others do without it by their policy.
func (l *Log) admitWithoutDisk(m *core.Message, debts []core.Debt) ([]core.Debt, error) {
	taken, _, _ := l.insisting(debts, false)
	absent := slices.ContainsFunc(taken, func(d core.Debt) bool { return !d.Live })
	if absent || len(taken) > 0 && m.QoS == core.ExactlyOnce {
		return nil, core.ErrFull
	}
	if len(taken) == len(debts) { // it could have been held, and was not to be
		return nil, core.ErrFull
	}
	l.loseOthers(debts, taken)
	return taken, nil
}

// insisting are the receivers that do not do without a message when there is no
// room (a history does, but not before something else gives way); whether one of them refuses it, and their highest priority.
func (l *Log) insisting(debts []core.Debt, histories bool) (taken []core.Debt, refuse bool, top int) {
	for _, d := range debts {
		p := l.receiver(d.Receiver).policy
		if p.OnFull == core.DropNewest || p.Priority < 0 && !histories {
			continue
		}
		refuse = refuse || p.OnFull == core.Refuse
		top = max(top, p.Priority)
		taken = append(taken, d)
	}
	return taken, refuse, top
}

// loseOthers counts the message as lost for those who are not among the taken.
func (l *Log) loseOthers(debts, taken []core.Debt) {
	for _, d := range debts {
		if !slices.Contains(taken, d) {
			l.lose(d.Receiver, core.DroppedStoreFull, 1)
		}
	}
}

// needsDisk is false for a message that may pass through memory alone.
func needsDisk(debts []core.Debt, hold time.Duration) bool {
	return hold <= 0 || slices.ContainsFunc(debts, func(d core.Debt) bool { return !d.Live })
}

// admitEach applies the bounds of the single receivers.
func (l *Log) admitEach(m *core.Message, debts []core.Debt) ([]core.Debt, error) {
	var over []*receiver
	for _, d := range debts {
		r := l.receivers[d.Receiver]
		if r == nil || r.policy.MaxBytes <= 0 || r.bytes()+int64(m.Size()) <= r.policy.MaxBytes {
			continue
		}
		if r.policy.OnFull == core.Refuse {
			return nil, core.ErrFull
		}
		over = append(over, r)
	}
	for _, r := range over {
		if r.policy.OnFull == core.DropNewest {
			debts = slices.DeleteFunc(slices.Clone(debts), func(d core.Debt) bool { return d.Receiver == r.id })
			l.lose(r.id, core.DroppedQueueFull, 1)
			continue
		}
		l.dropOldest(r, uint64(m.Size()), core.DroppedQueueFull)
	}
	return debts, nil
}

// waiting: room is on its way, because a segment is being removed.
func (l *Log) waiting() bool {
	return slices.ContainsFunc(l.segments, func(s *segmentInfo) bool { return s.leaving && s.owing == 0 })
}

// makeRoom gives up the oldest segment that is owed to receivers of low priority
// only, among those whose policy allows that and whose priority is not above top;
// the lower the better. False: no room can be made.
func (l *Log) makeRoom(top int) bool {
	if l.waiting() {
		return true
	}
	if top < l.noRoom { // nothing has changed since the last look
		return false
	}
	best, bestLevel := (*segmentInfo)(nil), top+1
	for _, seg := range l.segments {
		if level, ok := l.level(seg); ok && level < bestLevel {
			best, bestLevel = seg, level
		}
	}
	if best == nil {
		l.noRoom = top + 1
		return false
	}
	for _, r := range l.receivers {
		if s := r.spanIn(best.first); s != nil {
			l.dropSpan(r, s, core.DroppedStoreFull)
		}
	}
	l.letGo(best)
	return true
}

// level is the highest priority among those to whom something in a segment is
// owed. ok is false when one of them does not give way.
func (l *Log) level(seg *segmentInfo) (level int, ok bool) {
	level = core.HistoryPriority
	for _, r := range l.receivers {
		s := r.spanIn(seg.first)
		if s == nil || s.owed() == 0 {
			continue
		}
		if p := r.policy; p.OnFull != core.DropOldest && p.OnFull != "" {
			return 0, false
		}
		level = max(level, r.policy.Priority)
	}
	return level, seg.owing > 0
}

// letGo has a segment removed although it may be small and the active one.
func (l *Log) letGo(s *segmentInfo) {
	if s.leaving || s.owing > 0 {
		return
	}
	s.leaving = true
	if s.sealed {
		l.jobs.put(job{drop: s.first, aside: s.damaged && !s.salvaged})
	} else {
		l.jobs.put(job{seal: true})
	}
}

// dropSpan gives up what a segment owes to a receiver.
func (l *Log) dropSpan(r *receiver, s *span, why core.Reason) {
	n := s.owed()
	if n == 0 {
		return
	}
	l.lose(r.id, why, n)
	l.credit(r, s, n)
	l.soil(r)
}

// dropOldest gives up the oldest of what is owed to a receiver, of about so many
// bytes: first of what is on disk and was not handed out, by a count that Fetch
// skips; whole segments where more than one has to give way; then of the tail.
func (l *Log) dropOldest(r *receiver, bytes uint64, why core.Reason) {
	for bytes > 0 {
		s := r.head()
		if s == nil || s.owed() == 0 {
			l.dropHeld(r, bytes, why)
			return
		}
		each := max(1, s.bytes/max(1, s.count))
		n := (bytes + each - 1) / each
		idle := s.owed() - min(s.owed(), r.openIn(s))
		if n >= idle {
			bytes -= min(bytes, s.owedBytes())
			l.dropSpan(r, s, why)
			continue
		}
		if r.skip == 0 {
			r.skipFrom = max(r.cursor, r.resent)
		}
		r.skip += n
		l.lose(r.id, why, n)
		l.credit(r, s, n)
		l.soil(r)
		return
	}
}

// dropHeld gives up the oldest in the tail that is owed to a receiver.
func (l *Log) dropHeld(r *receiver, bytes uint64, why core.Reason) {
	for _, e := range slices.Clone(l.tail.entries) {
		if bytes == 0 {
			return
		}
		if d := e.debtOf(r); e.gone || d == nil || d.paid {
			continue
		}
		bytes -= min(bytes, uint64(e.m.Size()))
		l.writeOff(e, r)
		l.lose(r.id, why, 1)
	}
}

// forget ends a receiver and all that is owed to it.
func (l *Log) forget(id core.ReceiverID) {
	r := l.receivers[id]
	if r == nil {
		return
	}
	l.lose(id, core.DroppedSessionGone, r.owed())
	for _, e := range slices.Clone(l.tail.entries) {
		if !e.gone && e.debtOf(r) != nil {
			l.writeOff(e, r)
		}
	}
	for _, s := range r.spans {
		if n := s.owed(); n > 0 {
			l.credit(r, s, n)
		}
	}
	delete(l.receivers, id)
	l.dirty = slices.DeleteFunc(l.dirty, func(d *receiver) bool { return d == r })
	r.round++
}
