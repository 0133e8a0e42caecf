package storage

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/weir-edge/weir/core"
)

// sweep does what has to be done from time to time.
func (l *Log) sweep(now time.Time) {
	if len(l.refetch) > 0 && !now.Before(l.refetchAt) {
		again := l.refetch
		l.refetch = nil
		for _, r := range again {
			if r.want != nil {
				l.request(r)
			}
		}
	}
	if l.health.ill() && !now.Before(l.health.probeAt) {
		l.health.probeAt = now.Add(l.cfg.retry)
		l.jobs.put(job{probe: true})
	}
	if !now.Before(l.sweepAt) {
		l.sweepAt = now.Add(sweepEvery)
		l.expire()
		for _, s := range l.segments {
			l.release(s)
		}
	}
}

// sweepEvery is how often segments are looked at that are too old as a whole.
const sweepEvery = 30 * time.Second

// expire drops segments for receivers for whom everything in them is too old, so
// that a receiver that never comes does not hold the disk.
func (l *Log) expire() {
	now := l.cfg.Clock.Now()
	for _, r := range l.receivers {
		if r.policy.MaxAge <= 0 {
			continue
		}
		for _, s := range r.spans {
			if s.owed() == 0 {
				continue
			}
			if s.seg.newest.IsZero() || now.Since(s.seg.newest) < r.policy.MaxAge {
				break
			}
			l.dropSpan(r, s, core.DroppedExpired)
		}
	}
}

// Status is a snapshot. See broker.Commits.
func (l *Log) Status() core.BufferStatus {
	st := core.BufferStatus{
		Budget:       uint64(l.budget()),
		Segments:     len(l.segments),
		Held:         l.tail.live,
		Written:      l.counts.written,
		WrittenBytes: l.counts.writtenBytes,
		Commits:      l.counts.commits,
		Dropped:      maps.Clone(l.counts.dropped),
		Quarantined:  int(l.ring.aside.Load()),
		FreeBytes:    uint64(max(0, l.health.free)),
		Bytes:        uint64(l.bytes()),
	}
	st.State, st.Error = l.health.state()
	if l.without {
		st.State, st.Error = stateFailed, l.health.err.Error()+"; live values pass through, nothing is kept, and sessions that are away miss them"
	}
	if silent := l.silence(time.Now()); silent >= hangsAfter {
		st.HangsSeconds = silent.Seconds()
		if st.State == stateOK {
			st.State, st.Error = stateHangs, "the disk does not answer; what has to be kept is not acknowledged until it does"
		}
	}
	if st.State == stateOK && l.bytes() >= l.budget() {
		st.State, st.Error = stateFull, "the store has reached its budget"
	}
	now := l.cfg.Clock.Now()
	for _, r := range l.receivers {
		if r.isHistory() {
			st.History += r.owed()
			continue
		}
		if n := r.owed(); n > 0 || r.name != "" {
			st.Receivers = append(st.Receivers, r.status(now))
		}
		if at := r.oldest(); !at.IsZero() {
			st.OldestSeconds = max(st.OldestSeconds, now.Since(at).Seconds())
		}
	}
	for _, e := range l.tail.entries {
		if !e.gone && e.open > 0 {
			st.OldestSeconds = max(st.OldestSeconds, now.Since(e.m.Received).Seconds())
			break
		}
	}
	st.Messages = l.messagesOwed()
	slices.SortFunc(st.Receivers, func(a, b core.ReceiverStatus) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Receiver, b.Receiver))
	})
	return st
}

// isHistory: what is owed to it was delivered, or is owed to somebody else as well.
func (r *receiver) isHistory() bool { return r.policy.Priority < 0 }

func (r *receiver) status(now core.Stamp) core.ReceiverStatus {
	st := core.ReceiverStatus{
		Receiver: r.id, Name: r.name, Rule: r.rule, Owed: r.owed(), Bytes: uint64(max(0, r.bytes())),
		Priority: r.policy.Priority, MaxBytes: uint64(max(0, r.policy.MaxBytes)), OnFull: string(r.policy.OnFull),
		Dropped: maps.Clone(r.dropped),
	}
	if at := r.oldest(); !at.IsZero() {
		st.Oldest = now.Since(at).Seconds()
	}
	return st
}

// oldest is when the oldest that is owed on disk was received, as exactly as is
// known without reading it: what was paid before was no younger.
func (r *receiver) oldest() core.Stamp {
	h := r.head()
	if h == nil || h.owed() == 0 {
		return core.Stamp{}
	}
	if len(r.window) > 0 && r.window[0].seq >= h.first {
		return r.window[0].at
	}
	if h.paid > 0 && r.paidAt.Boot == h.seg.oldest.Boot && r.paidAt.Mono > h.seg.oldest.Mono {
		return r.paidAt
	}
	return h.seg.oldest
}

// messagesOwed counts messages on disk, each once.
func (l *Log) messagesOwed() (n uint64) {
	sums := make(map[*segmentInfo]*union, len(l.segments))
	for _, r := range l.receivers {
		if r.isHistory() {
			continue
		}
		for _, s := range r.spans {
			u := sums[s.seg]
			if u == nil {
				u = new(union)
				sums[s.seg] = u
			}
			u.add(s, r.position)
		}
	}
	for seg, u := range sums {
		n += u.messages(seg)
	}
	return n
}

// union counts the messages of one segment that are owed to somebody. What is known
// is a count for each receiver, and how far it has come; the messages of a segment
// are not looked at. That is enough to be exact, but for what was paid out of order
// in a window, where no message is owed to two, and where the one that is owed every
// message of the segment is also the furthest behind. Between these it is an
// estimate, never above what the segment holds.
type union struct {
	sum    uint64   // of what is owed to each
	most   uint64   // to one
	lowest core.Seq // position of those to whom something is owed
	all    bool     // one at the lowest was owed every message,
	rest   uint64   // and this much is owed to it
	any    bool
}

func (u *union) add(s *span, position core.Seq) {
	owed := s.owed()
	if owed == 0 {
		return
	}
	u.sum, u.most = u.sum+owed, max(u.most, owed)
	position = max(position, s.first-1)
	if !u.any || position < u.lowest {
		u.any, u.lowest, u.all, u.rest = true, position, false, 0
	}
	if position == u.lowest && s.count == s.seg.messages {
		u.all, u.rest = true, max(u.rest, owed)
	}
}

func (u *union) messages(seg *segmentInfo) uint64 {
	switch {
	case seg.debts == seg.messages:
		return u.sum
	case u.all:
		return max(u.rest, u.most)
	default:
		return min(u.sum, seg.messages)
	}
}
