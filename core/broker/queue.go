package broker

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/weir-edge/weir/core"
)

// Queue is where a bridge gets what a rule takes. It is a subscriber of the loop
// whose far end is another goroutine: what is ready lies in a short locked queue,
// the rest in the log. Its exported methods belong to one goroutine, the bridge's,
// and do not wait.
//
// Like a client's session it is live or behind; see there.
type Queue struct {
	endpoint // owned by the loop

	// Static.
	broker   *Broker
	cfg      RuleConfig
	receiver core.ReceiverID // 0: a rule of QoS 0
	wake     chan struct{}
	fresh    atomic.Bool // of the two parts of a rule the one for what is new

	// Owned by the loop.
	online   bool
	behind   bool
	fetching bool
	expected int  // messages of QoS 2 appended as live that are not durable yet
	poked    bool // on the list of those to be woken
	pace     pace // by Seq
	dropped  map[core.Reason]uint64
	history  *history // nil: what was delivered is not kept

	mu        sync.Mutex
	batch     int // how many are fetched at a time
	ready     fifo[core.Delivery]
	bytes     int
	rewinding int  // rewinds that the loop has not seen: what it delivers meanwhile comes again
	hungry    bool // the loop waits for room in ready
	paid      []core.Seq
	spare     []core.Seq
}

// Receiver is the rule's name in the log.
func (q *Queue) Receiver() core.ReceiverID { return q.receiver }

// Wake has an element when Take may have more.
func (q *Queue) Wake() <-chan struct{} { return q.wake }

// Take appends to buf what is next, in order, at most max messages.
func (q *Queue) Take(buf []core.Delivery, max int) []core.Delivery {
	q.mu.Lock()
	defer q.mu.Unlock()
	for ; max > 0 && q.ready.len() > 0; max-- {
		d := q.ready.pop()
		q.bytes -= d.Message.Size()
		buf = append(buf, d)
	}
	if q.hungry && q.ready.len() <= q.low() {
		q.hungry = false
		q.broker.mail.post(q.fetch)
	}
	return buf
}

// Paid is told what the upstream has acknowledged.
func (q *Queue) Paid(seqs ...core.Seq) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.paid) == 0 && len(seqs) > 0 {
		q.broker.mail.post(q.settle)
	}
	q.paid = append(q.paid, seqs...)
}

// Online says that there is a connection, on which so many messages may be under way.
func (q *Queue) Online(inflight int) {
	q.broker.mail.post(func() { q.connected(inflight) })
}

// Offline says that there is none, or not any more. The order of effects:
//
//  1. at once: what was ready is forgotten, what the loop delivers until 2 as well, and
//     Take gives nothing
//  2. on the loop: QoS 0 is dropped and counted from now on, unless the rule buffers it,
//     and the rest goes to the log
//  3. the log is rewound: what is not paid comes again, in order, after Online
//
// What was reported as paid before counts: its letter was posted before.
func (q *Queue) Offline() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.rewinding++
	q.clearLocked() // 1
	q.broker.mail.post(func() {
		q.online = false // 2
		q.rewind()       // 3
	})
}

// Owed counts what the upstream has not acknowledged.
func (q *Queue) Owed() (n uint64) {
	if q.receiver != 0 {
		q.broker.do(func() { n = q.broker.store.Owed(q.receiver) })
	}
	return n
}

// clearLocked forgets what is ready; messages of QoS 0 are lost with it.
func (q *Queue) clearLocked() {
	lost := 0
	for q.ready.len() > 0 {
		if d := q.ready.pop(); d.Seq == 0 {
			lost++
		}
	}
	q.bytes, q.hungry = 0, false
	if lost > 0 {
		q.broker.mail.post(func() { q.drop(core.DroppedOffline, lost) })
	}
}

// low is how many are still ready when more are fetched. mu is held.
func (q *Queue) low() int { return q.batch / 2 }

// The rest is called on the loop.

func (q *Queue) connected(inflight int) {
	q.online = true
	q.mu.Lock()
	q.batch = min(max(inflight, fetchMessages), fetchMost)
	q.mu.Unlock()
	if q.receiver != 0 {
		q.broker.store.SetInflight(q.receiver, inflight)
	}
	if q.split != nil {
		q.split.connected()
	}
	q.fetch()
}

func (q *Queue) debt() debtor {
	if q.online && !q.behind && !q.fits(q.broker.publication.message.Size()) {
		q.behind = q.receiver != 0
	}
	return debtor{receiver: q.receiver, live: q.online && !q.behind, hold: q.pace.patience(q.broker.now, q.broker.cfg.SpillAfter)}
}

// buffering is what endpoint.buffers is to be.
func (q *Queue) buffering() *Queue {
	if q.cfg.BufferQoS0 && q.receiver != 0 {
		return q
	}
	return nil
}

// away says whether a message could not go to the bridge now.
func (q *Queue) away(size int) bool {
	return !q.online || q.behind || !q.fits(size)
}

func (q *Queue) fits(size int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ready.len() < q.cfg.MaxMessages && q.bytes+size <= q.cfg.MaxBytes {
		return true
	}
	q.hungry = q.receiver != 0
	return false
}

func (q *Queue) deliver(p *publication, d core.Delivery, live bool) {
	switch {
	case d.Seq != 0 && !live: // in the log, to be fetched
		if q.online && !q.behind {
			q.behind = true
			q.fetch()
		}
		return
	case d.Seq == 0 && !q.online:
		q.drop(core.DroppedOffline, 1)
		return
	case d.Seq == 0 && !q.fits(d.Message.Size()):
		q.drop(core.DroppedQueueFull, 1)
		return
	}
	d.Message = p.keep()
	d.Subscriptions = nil
	q.pace.sent(uint64(d.Seq), q.broker.now)
	q.put(d)
}

// put makes messages ready.
func (q *Queue) put(ds ...core.Delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.rewinding > 0 {
		return
	}
	for _, d := range ds {
		q.ready.push(d)
		q.bytes += d.Message.Size()
	}
	if !q.poked {
		q.poked = true
		q.broker.poked = append(q.broker.poked, q)
	}
}

// wakeQueues wakes each bridge that has got something in this turn, once.
func (b *Broker) wakeQueues() {
	for i, q := range b.poked {
		b.poked[i], q.poked = nil, false
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
	b.poked = b.poked[:0]
}

func (q *Queue) expect(n int) {
	q.expected += n
	if q.expected == 0 {
		q.fetch()
	}
}

// fetch asks the log for more if the rule is behind and has room.
func (q *Queue) fetch() {
	if !q.behind || q.fetching || q.expected > 0 || !q.online {
		return
	}
	q.mu.Lock()
	q.hungry = q.ready.len() > q.low()
	wait, batch := q.hungry || q.rewinding > 0, q.batch
	q.mu.Unlock()
	if !wait {
		q.fetching = true
		q.broker.store.Fetch(q.receiver, batch, fetchBytes)
	}
}

func (q *Queue) fetched(next []core.Delivery, caughtUp bool) {
	q.fetching = false
	if !q.online {
		return
	}
	q.behind = !caughtUp
	for i := range next {
		m := next[i].Message
		next[i].QoS = min(max(m.QoS, core.AtLeastOnce), q.cfg.QoS) // what is in the log is owed, see BufferQoS0
		next[i].Retain = m.Retain && q.cfg.RetainAsPublished
		next[i].Subscriptions = nil
	}
	q.put(next...)
	q.fetch()
}

// rewind is the loop's part of Rewind.
func (q *Queue) rewind() {
	q.mu.Lock()
	q.rewinding--
	again := q.rewinding > 0
	q.mu.Unlock()
	if again || q.receiver == 0 {
		return
	}
	q.epoch++
	q.behind, q.fetching = true, false
	q.pace = pace{}
	q.broker.store.Rewind(q.receiver)
	q.fetch()
}

// settle pays what the bridge has reported since the last turn.
func (q *Queue) settle() {
	q.mu.Lock()
	paid := q.paid
	q.paid = q.spare[:0]
	q.mu.Unlock()
	for _, seq := range paid {
		q.pace.acknowledged(uint64(seq), q.broker.now)
		if q.broker.store.Paid(q.receiver, seq) {
			q.broker.settled(seq)
		}
	}
	q.spare = paid
}

func (q *Queue) drop(why core.Reason, n int) {
	if q.dropped == nil {
		q.dropped = make(map[core.Reason]uint64)
	}
	q.dropped[why] += uint64(n)
	q.broker.drop(why, n)
}

// Dropped counts what the upstream does not get, by reason.
func (q *Queue) Dropped() (counts map[core.Reason]uint64) {
	q.broker.do(func() { counts = clone(q.dropped) })
	return counts
}

// Owe gives the rule a message that it has had before, behind all others, as received
// now if it does not say when. The message goes to nobody else. It may be called from
// any goroutine.
func (q *Queue) Owe(m *core.Message) error {
	if q.receiver == 0 {
		return fmt.Errorf("rule %s is of QoS 0: it keeps nothing", q.cfg.Name)
	}
	var kept error
	err := q.broker.do(func() {
		if m.Received.IsZero() {
			m.Received = q.broker.stamp
		}
		kept = q.oweOne(m)
	})
	return errors.Join(err, kept)
}
