package storage

import (
	"log/slog"
	"sync"
	"time"

	"github.com/weir-edge/weir/core"
)

// Log is the ordered log. All its methods are called from its owner's goroutine;
// none of them waits for the disk.
type Log struct {
	// Static after Open.
	cfg   Config
	log   *slog.Logger
	state *state // Load's, until the first Record; then the committer's alone

	// The owner's.
	seq       core.Seq // the newest given out
	reserved  core.Seq // numbers up to it may be given out
	reserving bool     // a higher reservation is on its way
	tail      tail
	hasty     time.Time // when the newest message that is due at once came
	receivers map[core.ReceiverID]*receiver
	segments  []*segmentInfo // in order
	dirty     []*receiver
	saving    []*receiver // whose positions the committer has
	pending   pending
	linger    linger
	flight    []*held // what the group at the committer holds
	busy      bool    // the committer has a group
	busySince time.Time
	pass      uint64
	health    health
	noRoom    int   // nobody below this priority can give way; 0: not known
	share     int64 // what the disk offers to the store, 0: not known
	counts    counts
	deferred  []*receiver // whose Fetch waits until their positions are on disk
	refetch   []*receiver // whose pages the system refused to read
	refetchAt time.Time   // when it is asked again
	sweepAt   time.Time
	recovered bool // Record was not called yet: Load may be

	// To be told at the next Collect.
	settled  []core.Seq
	dropped  []drop
	answered []*receiver // whose Fetch can be answered from memory
	later    []func()    // answers to looks

	// Shared with committer and reader through their own locks.
	ring    *ring
	jobs    *mailbox[job]
	results *mailbox[result]
	fetches *mailbox[*fetchJob]
	found   *mailbox[*fetched]

	committer *committer
	reader    *reader
	stop      chan struct{}
	workers   sync.WaitGroup
	lock      func() error // gives the directory free
	closed    bool
	without   bool     // there is no disk: see OpenWithout
	clean     bool     // the store was closed cleanly before,
	cleanSeq  core.Seq // with this newest number
}

// segmentInfo is what the owner knows of a segment.
type segmentInfo struct {
	first, last uint64 // pages
	bytes       int64
	messages    uint64
	debts       uint64 // that its messages had, each to one receiver
	owing       int    // receivers to whom something in it is owed
	sealed      bool
	leaving     bool // the committer was told to seal or remove it
	damaged     bool // it goes to quarantine, not to the bin
	salvaged    bool // what was damaged of it is in quarantine already
	oldest      core.Stamp
	newest      core.Stamp
}

// drop is a loss to be told.
type drop struct {
	r   core.ReceiverID
	why core.Reason
	n   int
}

// counts are since the start.
type counts struct {
	written      uint64
	writtenBytes uint64
	commits      uint64
	dropped      map[core.Reason]uint64
}

// Append takes m, owed to the receivers of debts. See broker.Log.
//
// ErrBusy refuses it when the tail is used up (Config.MaxTail), for as long as the
// disk takes what is written. ErrFull does so when it does not, or when the
// message would need the disk, the disk or the budget is used up, and the
// policies of its receivers make no room. A message of which all receivers are
// live, and that may be held, passes through memory even then.
func (l *Log) Append(m *core.Message, debts []core.Debt, hold time.Duration) (core.Seq, bool, error) {
	if l.closed {
		return 0, false, core.ErrClosed
	}
	if l.tail.bytes > 0 && l.tail.bytes+int64(m.Size()) > l.tailLimit(debts, hold) {
		return 0, false, l.tailUsedUp()
	}
	taken, err := l.admit(m, debts, hold)
	if err != nil {
		return 0, false, err
	}
	l.seq++
	if len(taken) == 0 { // all receivers did without, by their policy
		return l.seq, true, nil
	}
	now := time.Now()
	e := &held{seq: l.seq, m: m, due: now, open: len(taken), debts: make([]debt, len(taken))}
	if hold > 0 {
		e.due = now.Add(hold)
	} else {
		l.hasty = now
	}
	for i, d := range taken {
		r := l.receiver(d.Receiver)
		e.debts[i] = debt{r: r, live: d.Live && r.caughtUp() && !l.holdsBack(r)}
		if d.Live && !e.debts[i].live {
			refuseLive(debts, d.Receiver)
		}
		r.last = e.seq
		r.inTail++
		r.held += int64(m.Size())
		if e.debts[i].live {
			r.hand(e.seq, 0, m, false)
		}
	}
	e.settled = l.promiseOf(m) == core.PromiseMemory
	l.tail.push(e)
	return e.seq, e.settled, nil
}

// promiseOf is what the acknowledgement of a message stands for.
func (l *Log) promiseOf(m *core.Message) core.Promise {
	if m.Promise == core.PromiseDefault {
		return l.cfg.Promise.Level()
	}
	return m.Promise
}

// refuseLive tells the caller that a receiver has to fetch the message.
func refuseLive(debts []core.Debt, r core.ReceiverID) {
	for i := range debts {
		if debts[i].Receiver == r {
			debts[i].Live = false
		}
	}
}

// holdsBack: a receiver that has paid so much on disk gets nothing more until that is
// written, so that a kill repeats it and what was under way, and no more; unless the
// disk takes nothing, because live values pass all the same, and a full disk has to be
// drained.
func (l *Log) holdsBack(r *receiver) bool {
	return r.behind(l.repeats(r)) && l.health.err == nil && !l.health.full()
}

// repeats is how many payments of a receiver a kill may undo: with a small window as
// many as that, and of a large one a quarter. More would hardly be cheaper.
func (l *Log) repeats(r *receiver) int { return max(l.cfg.MaxInflight, r.inflight/4) }

// tailLimit leaves a quarter of the tail to messages that may pass through
// memory, for the time when the disk takes nothing.
func (l *Log) tailLimit(debts []core.Debt, hold time.Duration) int64 {
	if needsDisk(debts, hold) {
		return l.cfg.MaxTail / 4 * 3
	}
	return l.cfg.MaxTail
}

// tailUsedUp says why nothing fits into the tail: the disk is slower than what comes,
// or takes nothing.
func (l *Log) tailUsedUp() error {
	if l.without || l.health.err != nil || l.health.full() {
		return core.ErrFull
	}
	return core.ErrBusy
}

// receiver finds or makes the bookkeeping of a receiver.
func (l *Log) receiver(id core.ReceiverID) *receiver {
	r := l.receivers[id]
	if r == nil {
		r = &receiver{id: id}
		l.receivers[id] = r
	}
	return r
}

// Paid pays a debt. See broker.Log.
func (l *Log) Paid(id core.ReceiverID, seq core.Seq) (settled bool) {
	r := l.receivers[id]
	if r == nil {
		return false
	}
	e := l.tail.find(seq)
	switch {
	case !r.pay(seq, e == nil):
		return false
	case e != nil:
		return l.payHeld(e, r)
	}
	l.payStored(r, seq)
	return false
}

// payHeld pays a debt of a message in the tail.
func (l *Log) payHeld(e *held, r *receiver) (settled bool) {
	d := e.debtOf(r)
	if d == nil || d.paid {
		return false
	}
	d.paid = true
	e.open--
	r.inTail--
	r.held -= int64(e.m.Size())
	if e.writing {
		r.flying++
	}
	if e.open > 0 {
		return false
	}
	settled = !e.settled
	e.settled = true
	if !e.writing {
		l.tail.remove(e)
	}
	return settled
}

// payStored pays a debt of a message on disk.
func (l *Log) payStored(r *receiver, seq core.Seq) {
	s := r.spanOf(seq)
	if s == nil || s.owed() == 0 {
		return
	}
	l.credit(r, s, 1)
	r.unsaved++
	l.soil(r)
}

// credit takes n debts off a span.
func (l *Log) credit(r *receiver, s *span, n uint64) {
	n = min(n, s.owed())
	s.paid += n
	r.onDisk -= n
	if n > 0 && s.owed() == 0 {
		l.spanPaid(r, s)
	}
}

// spanPaid: r needs the segment no more.
func (l *Log) spanPaid(r *receiver, s *span) {
	r.settleSpans()
	s.seg.owing--
	l.noRoom = 0
	l.release(s.seg)
}

// soil notes that the next page has to tell what r has paid.
func (l *Log) soil(r *receiver) {
	if !r.dirty {
		r.dirty = true
		l.dirty = append(l.dirty, r)
	}
}

// release removes a segment that nobody needs. The active one is sealed first,
// when it is worth that.
func (l *Log) release(s *segmentInfo) {
	switch {
	case s.owing > 0 || s.leaving:
	case s.sealed:
		s.leaving = true
		l.jobs.put(job{drop: s.first, aside: s.damaged && !s.salvaged})
	case s.bytes >= min(idleSegmentBytes, l.cfg.segment) && !l.busy:
		s.leaving = true
		l.jobs.put(job{seal: true})
	}
}

// Owed counts what is owed to a receiver.
func (l *Log) Owed(id core.ReceiverID) uint64 {
	if r := l.receivers[id]; r != nil {
		return r.owed()
	}
	return 0
}

// SetPolicy bounds what may be owed to a receiver. See broker.Log.
func (l *Log) SetPolicy(id core.ReceiverID, p core.Policy) {
	l.receiver(id).policy = p
	l.noRoom = 0
}

// SetInflight says how large the window of a receiver is. See broker.Log.
func (l *Log) SetInflight(id core.ReceiverID, n int) {
	l.receiver(id).inflight = min(n, inflightMost)
}

// Rewind begins anew with what is owed to a receiver. See broker.Log.
func (l *Log) Rewind(id core.ReceiverID) {
	r := l.receivers[id]
	if r == nil {
		return
	}
	r.rewind()
	now := time.Now()
	for _, e := range l.tail.entries[l.tail.after(r.position):] {
		if e.gone {
			continue
		}
		if d := e.debtOf(r); d != nil && !d.paid {
			d.live = false
			l.tail.hurry(e, now)
		}
	}
}
