package bridgetest

import (
	"slices"
	"sync"
	"time"

	"github.com/weir-edge/weir/core"
)

// Local is a local broker: queues for the bridge, and a store that makes changes
// durable some time after they were recorded, in order.
type Local struct {
	// SyncTime is how long a commit takes. Set before use.
	SyncTime time.Duration

	mu       sync.Mutex
	owner    core.ReceiverID
	seq      core.Seq
	queues   []*Queue
	accepted []*core.Message
	err      error // what Accept says
	failed   error // what becomes of records
	gone     bool

	pending []*commit
	durable state
}

// state is what a crash leaves.
type state struct {
	outgoing map[uint16]core.Outgoing
	incoming map[uint16]bool
}

// commit is one Accept or Record on its way to the disk.
type commit struct {
	changes []core.Change
	message *core.Message
	done    func(error)
}

// NewLocal is an empty one.
func NewLocal(syncTime time.Duration) *Local {
	return &Local{
		SyncTime: syncTime,
		owner:    core.NewReceiverID(),
		durable:  state{outgoing: make(map[uint16]core.Outgoing), incoming: make(map[uint16]bool)},
	}
}

// Accept takes a message from the bridge.
func (l *Local) Accept(m *core.Message, with []core.Change, done func(error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		done(l.err)
		return
	}
	l.commitLocked(&commit{changes: with, message: m, done: done})
}

// Record takes changes from the bridge.
func (l *Local) Record(changes []core.Change, _ bool, done func(error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		if done != nil {
			done(l.failed)
		}
		return
	}
	l.commitLocked(&commit{changes: changes, done: done})
}

func (l *Local) commitLocked(c *commit) {
	l.pending = append(l.pending, c)
	if len(l.pending) == 1 {
		time.AfterFunc(l.SyncTime, l.sync)
	}
}

// sync makes everything pending durable, and what is paid.
func (l *Local) sync() {
	l.mu.Lock()
	if l.gone {
		l.mu.Unlock()
		return
	}
	batch := l.pending
	l.pending = nil
	for _, c := range batch {
		l.durable.apply(c.changes)
		if c.message != nil {
			l.accepted = append(l.accepted, c.message)
		}
	}
	for _, q := range l.queues {
		q.sync()
	}
	l.mu.Unlock()
	for _, c := range batch {
		if c.done != nil {
			c.done(nil)
		}
	}
}

func (s *state) apply(changes []core.Change) {
	for _, c := range changes {
		switch c := c.(type) {
		case core.OutgoingSaved:
			s.outgoing[c.Outgoing.PacketID] = c.Outgoing
		case core.OutgoingDone:
			delete(s.outgoing, c.PacketID)
		case core.IncomingHeld:
			s.incoming[c.PacketID] = true
		case core.IncomingReleased:
			delete(s.incoming, c.PacketID)
		}
	}
}

// Crash loses what is not durable. The bridge that used this Local must be
// stopped afterwards, and the one that follows uses the Local that is returned.
func (l *Local) Crash() *Local {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = true
	next := NewLocal(l.SyncTime)
	next.owner, next.seq, next.durable, next.accepted = l.owner, l.seq, l.durable, l.accepted
	for _, q := range l.queues {
		next.queues = append(next.queues, q.crash(next))
	}
	return next
}

// Owner is whose packet ids the bridge uses.
func (l *Local) Owner() core.ReceiverID { return l.owner }

// Incoming are the packet ids of QoS 2 that are held, durably.
func (l *Local) Incoming() (pids []uint16) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for pid := range l.durable.incoming {
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	return pids
}

// Outgoing are the messages of QoS 2 that are in flight, durably.
func (l *Local) Outgoing() (out []core.Outgoing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.durable.outgoing {
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b core.Outgoing) int { return int(a.PacketID) - int(b.PacketID) })
	return out
}

// Accepted is what the bridge has brought in, durably.
func (l *Local) Accepted() []*core.Message {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.accepted)
}

// Refuse lets Accept fail; nil ends that.
func (l *Local) Refuse(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// FailRecords lets Record fail; nil ends that.
func (l *Local) FailRecords(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = err
}

// Queues are those that were made, in order.
func (l *Local) Queues() []*Queue { return l.queues }

// Queue is what waits for one rule.
type Queue struct {
	local    *Local
	receiver core.ReceiverID
	wake     chan struct{}

	mu      sync.Mutex
	log     []*entry
	bySeq   map[core.Seq]*entry
	cursor  int        // what is before it was taken
	oldest  int        // what is before it was paid
	durable int        // what is before it was paid durably
	settled *sync.Cond // all is paid
	online  bool
	dropped int // of QoS 0, while offline
}

type entry struct {
	d          core.Delivery
	paid, disk bool
	taken      bool // may have been sent: a store knows that through a crash, or takes it for granted
}

// NewQueue adds a queue.
func (l *Local) NewQueue() *Queue {
	q := newQueue(l, core.NewReceiverID())
	l.mu.Lock()
	l.queues = append(l.queues, q)
	l.mu.Unlock()
	return q
}

func newQueue(l *Local, r core.ReceiverID) *Queue {
	q := &Queue{local: l, receiver: r, wake: make(chan struct{}, 1), bySeq: make(map[core.Seq]*entry)}
	q.settled = sync.NewCond(&q.mu)
	return q
}

// WaitPaid waits until nothing is owed.
func (q *Queue) WaitPaid() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.oldest < len(q.log) {
		q.settled.Wait()
	}
}

func (q *Queue) add(e *entry) {
	q.log = append(q.log, e)
	if e.d.Seq != 0 {
		q.bySeq[e.d.Seq] = e
	}
}

// Put adds a message. Those of QoS 1 and 2 are durable.
func (q *Queue) Put(m *core.Message) core.Seq {
	q.local.mu.Lock()
	q.local.seq++
	seq := q.local.seq
	q.local.mu.Unlock()

	q.mu.Lock()
	defer q.mu.Unlock()
	if m.QoS == core.AtMostOnce {
		if !q.online {
			q.dropped++
			return 0
		}
		seq = 0
	}
	q.add(&entry{d: core.Delivery{Seq: seq, Message: m, QoS: m.QoS, Retain: m.Retain}})
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return seq
}

// Take and the others are what the bridge sees.
func (q *Queue) Take(buf []core.Delivery, most int) []core.Delivery {
	q.mu.Lock()
	defer q.mu.Unlock()
	for ; most > 0 && q.cursor < len(q.log); q.cursor++ {
		e := q.log[q.cursor]
		if e.paid {
			continue
		}
		d := e.d
		d.Again = e.taken
		e.taken = true
		if d.Seq == 0 {
			e.paid = true
		}
		buf = append(buf, d)
		most--
	}
	return buf
}

func (q *Queue) Wake() <-chan struct{}     { return q.wake }
func (q *Queue) Receiver() core.ReceiverID { return q.receiver }

func (q *Queue) Paid(seqs ...core.Seq) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, seq := range seqs {
		if e := q.bySeq[seq]; e != nil {
			e.paid = true
		}
	}
	for q.oldest < len(q.log) && q.log[q.oldest].paid {
		q.oldest++
	}
	if q.oldest == len(q.log) {
		q.settled.Broadcast()
	}
}

func (q *Queue) Online(int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.online = true
}

func (q *Queue) Offline() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.online, q.cursor = false, q.oldest
}

func (q *Queue) Owed() (n uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.log[q.oldest:] {
		if !e.paid {
			n++
		}
	}
	return n
}

// Dropped counts the messages of QoS 0 that came while there was no connection.
func (q *Queue) Dropped() map[core.Reason]uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return map[core.Reason]uint64{core.DroppedOffline: uint64(q.dropped)}
}

func (q *Queue) sync() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.log[q.durable:] {
		e.disk = e.paid
	}
	q.durable = q.oldest
}

func (q *Queue) crash(local *Local) *Queue {
	q.mu.Lock()
	defer q.mu.Unlock()
	next := newQueue(local, q.receiver)
	for _, e := range q.log {
		if e.d.Seq != 0 {
			next.add(&entry{d: e.d, paid: e.disk, disk: e.disk, taken: e.taken})
		}
	}
	next.wake <- struct{}{}
	return next
}
