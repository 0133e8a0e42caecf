package storage

import (
	"slices"
	"time"

	"github.com/weir-edge/weir/core"
)

// How long things wait.
const (
	positionEvery = 5 * time.Second // positions in a group without messages are synced as often
	retryMin      = 50 * time.Millisecond
	never         = time.Duration(-1)
)

// Turn gives what is due to the committer. See broker.Commits.
func (l *Log) Turn(now time.Time) (wait time.Duration) {
	if l.closed || l.without {
		return never
	}
	l.sweep(now)
	wait = l.commit(now)
	if silent := l.listen(now); silent != never {
		wait = sooner(wait, silent)
	}
	if len(l.refetch) > 0 {
		wait = sooner(wait, l.refetchAt.Sub(now))
	}
	if l.health.ill() {
		wait = sooner(wait, l.health.probeAt.Sub(now))
	}
	return wait
}

// commit gives a group to the committer when one is due, and says when the next is.
func (l *Log) commit(now time.Time) (wait time.Duration) {
	if l.busy {
		return never
	}
	due, ok := l.due()
	if !ok {
		return never
	}
	if at := l.health.retryAt; at.After(due) {
		due = at
	}
	if wait := due.Sub(now); wait > 0 {
		return wait
	}
	if len(l.deferred) == 0 { // nobody's Fetch waits for a position to be written
		if wait := l.linger.wait(now, l.tail.live+l.pending.count); wait > 0 {
			return wait
		}
	}
	g := l.gather(now)
	if g.empty() {
		return l.commit(now) // what was due has been paid meanwhile
	}
	l.linger.gone(now, len(g.entries)+len(g.changes))
	l.dispatch(g)
	return never
}

// sooner is the shorter of two waits, of which the first may be never.
func sooner(a, b time.Duration) time.Duration {
	b = max(0, b)
	if a < 0 {
		return b
	}
	return min(a, b)
}

// due is the earliest moment at which something wants to be written.
func (l *Log) due() (at time.Time, ok bool) {
	earliest := func(t time.Time) {
		if !ok || t.Before(at) {
			at, ok = t, true
		}
	}
	if l.tail.live > 0 && !l.tail.nextDue.IsZero() {
		earliest(l.tail.nextDue)
	}
	if l.pending.count > 0 {
		if l.pending.urgent {
			earliest(l.pending.since)
		} else {
			earliest(l.pending.since.Add(l.cfg.RetainedFlush))
		}
	}
	if l.reserveNow() {
		earliest(time.Time{})
	}
	for _, r := range l.dirty {
		switch {
		case !r.needed():
		case r.unsaved >= l.repeats(r):
			earliest(time.Time{})
		default:
			earliest(l.health.positionAt)
		}
	}
	return at, ok
}

// Numbers are reserved in blocks, so that none is given out twice although most
// messages never reach the disk.
const (
	reserveBlock = 1 << 20
	reserveLow   = reserveBlock / 4
)

func (l *Log) reserveNow() bool {
	return !l.reserving && l.seq+reserveLow > l.reserved
}

// gather makes a group of what is due. A packet id must be held in the same group in
// which its message is written, or a kill between the two loses that: so what came in
// this very turn, after now, is due as well, and only a group without changes is cut to
// groupBytes.
func (l *Log) gather(now time.Time) *group {
	l.pass++
	g := &group{mark: l.seq, ticket: l.pending.ticket}
	if l.hasty.After(now) {
		now = l.hasty
	}
	l.flight = l.tail.choose(now, l.pass)
	if l.pending.count == 0 {
		l.flight = l.tail.cut(l.flight, now)
	}
	g.entries = entriesOf(l.flight)
	g.changes = l.pending.take()
	l.pending.ticket++
	g.ops = l.gatherPositions()
	if l.reserveNow() {
		l.reserving = true
		g.ops = append(g.ops, reservation(l.seq))
	}
	durable := len(g.changes) > 0 || l.reserving || !now.Before(l.health.positionAt)
	g.sync = durable && l.cfg.Promise == Synced || l.anySynced(g.entries)
	if durable || len(g.entries) > 0 {
		l.health.positionAt = now.Add(positionEvery)
	}
	return g
}

// anySynced says whether one of the messages was promised to survive a power cut.
// One that was only promised to be written is synced with the next that was.
func (l *Log) anySynced(entries []entry) bool {
	return slices.ContainsFunc(entries, func(e entry) bool { return l.promiseOf(e.m) == core.PromiseSynced })
}

// gatherPositions tells what was paid, in the same group as the changes that came
// behind it. Where all that was paid has been removed, nothing has to be told.
func (l *Log) gatherPositions() (ops []op) {
	told, later := l.saving[:0], []*receiver(nil)
	for _, r := range l.dirty {
		if !r.needed() {
			later = append(later, r)
			continue
		}
		record := r.record()
		ops = append(ops, set(receiverKey(keyPosition, r.id, ""), &record))
		r.dirty, r.saving = false, r.unsaved
		told = append(told, r)
	}
	l.dirty, l.saving = later, told
	return ops
}

func entriesOf(chosen []*held) []entry {
	debts := 0
	for _, e := range chosen {
		debts += e.open
	}
	owed := make([]core.ReceiverID, 0, debts)
	entries := make([]entry, len(chosen))
	for i, e := range chosen {
		e.writing = true
		from := len(owed)
		for k := range e.debts {
			if d := &e.debts[k]; !d.paid {
				owed = append(owed, d.r.id)
			}
		}
		entries[i] = entry{seq: e.seq, m: e.m, owed: owed[from:len(owed):len(owed)]}
	}
	return entries
}

// dispatch gives a group to the committer.
func (l *Log) dispatch(g *group) {
	l.busy, l.busySince = true, time.Now()
	l.jobs.put(job{group: g})
}
