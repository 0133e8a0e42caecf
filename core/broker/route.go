package broker

import (
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/session"
	"github.com/weir-edge/weir/core/topic"
)

// endpoint is where subscriptions lead to: a client's session, a bridge rule, or
// a function inside the process. It is the key of the subscription tree. All of it
// belongs to the loop.
type endpoint struct {
	subscriber
	name     string   // whose own publications No Local holds back
	owner    *client  // whose rights count; nil: those inside may have everything
	excludes []string // filters of what is not wanted all the same
	buffers  *Queue   // keeps messages of QoS 0, too, when they cannot go; nil: does not
	split    *split   // of whose parts it is one; nil: it is whole

	mark  uint64 // the publication that it was last a target of,
	at    int    // and its place among the targets
	epoch uint32 // counts its rewinds: what was live before is not any more
}

// subscriber is what is behind an endpoint.
type subscriber interface {
	// debt says to whom a message of QoS 1 or 2 is owed.
	debt() debtor
	// deliver hands a message over. d.Message is p's: who needs it after the call
	// asks p to keep it. live is what debt said.
	deliver(p *publication, d core.Delivery, live bool)
	// expect says that n more (or fewer) messages for which debt said live will
	// be delivered later.
	expect(n int)
}

// debtor is how a subscriber stands to the next message.
type debtor struct {
	receiver core.ReceiverID // 0: it is owed to nobody who outlives a crash
	live     bool            // the subscriber will take it from memory now
	hold     time.Duration   // how long it is worth waiting for the acknowledgement
}

// promise is what an acknowledgement waits for.
type promise = session.Promise

// grant is the value of a subscription in the tree.
type grant struct {
	options packet.Options
	id      uint32 // subscription identifier, 0 for none
	at      int32  // the place of the filter among those of its client
}

// begin makes m the present publication.
func (b *Broker) begin(m *core.Message, kept bool) {
	p := &b.publication
	p.message, p.from, p.kept, p.lazy, p.passing = m, nil, kept, false, false
}

// take brings the present publication to everybody whom it concerns and says what
// its promise waits for. With it go changes that must become durable with it. An
// error means that nothing has happened.
//
//  1. route
//  2. append to the log what is owed to durable receivers
//  3. retained state and changes, behind it in the same commit
//  4. deliver: at once, but QoS 2 only after 2 and 3 are durable, and what its
//     publisher sends to the same topic meanwhile behind it (see flows)
func (b *Broker) take(changes ...core.Change) (promise, error) {
	p := &b.publication
	b.route(p) // 1
	return b.give(p, changes...)
}

// give is take without the first step: the targets are known.
func (b *Broker) give(p *publication, changes ...core.Change) (promise, error) {
	var wait promise
	seq, settled, err := b.owe(p) // 2
	if err != nil {
		return wait, err
	}
	if !settled {
		wait.Seq = seq
	}
	if p.message.Retain { // 3
		wait.Ticket = b.retain(p)
	}
	if len(changes) > 0 {
		wait.Ticket = b.record(changes...)
	}
	b.pass(p, seq, wait) // 4
	return wait, nil
}

// pass delivers the publication: now, or when it may go.
func (b *Broker) pass(p *publication, seq core.Seq, wait promise) {
	if len(p.targets) == 0 {
		return
	}
	if first := p.message.QoS == core.ExactlyOnce && wait != (promise{}); first || b.flows.busy(p.message) {
		b.deliverLater(p, seq, wait, !first)
		return
	}
	for i := range p.targets {
		b.deliver(p, seq, &p.targets[i])
	}
}

// route finds the targets of the publication, each once however many of its
// subscriptions match.
func (b *Broker) route(p *publication) {
	b.mark++
	p.targets, p.ids = p.targets[:0], p.ids[:0]
	b.subscriptions.Match(p.message.Topic, b.matched)
}

// match adds a subscription to the targets.
func (b *Broker) match(to *endpoint, g grant) {
	p := &b.publication
	m := p.message
	if g.options.NoLocal() && to.name == m.Publisher { // [MQTT-3.8.3-3]
		return
	}
	if g.options&toBridge != 0 && m.Hops == core.HopsUnknown {
		return
	}
	qos := min(g.options.QoS(), m.QoS) // [MQTT-3.8.4-8]
	retain := m.Retain && g.options.RetainAsPublished()
	if to.mark != b.mark {
		if to.excluded(m.Topic) || to.owner != nil && !to.owner.mayReceive(m.Topic) {
			return
		}
		to.mark, to.at = b.mark, len(p.targets)
		p.targets = append(p.targets, target{to: to, qos: qos, retain: retain, ids: p.identify(nil, g.id)})
		return
	}
	t := &p.targets[to.at]
	t.qos = max(t.qos, qos) // [MQTT-3.3.4-2]
	t.retain = t.retain || retain
	t.ids = p.identify(t.ids, g.id) // one copy, all the identifiers [MQTT-3.3.4-4]
}

// identify adds a subscription identifier to those of a target. The memory is
// that of the publication.
func (p *publication) identify(ids []uint32, id uint32) []uint32 {
	if id == 0 {
		return ids
	}
	start := len(p.ids)
	p.ids = append(append(p.ids, ids...), id)
	return p.ids[start:len(p.ids):len(p.ids)]
}

func (e *endpoint) excluded(name string) bool {
	for _, filter := range e.excludes {
		if topic.Match(filter, name) {
			return true
		}
	}
	return false
}

// owe appends the publication to the log if a durable receiver gets it with
// QoS 1 or 2.
func (b *Broker) owe(p *publication) (seq core.Seq, settled bool, err error) {
	p.debts = p.debts[:0]
	hold := time.Duration(0)
	for i := range p.targets {
		t := &p.targets[i]
		if t.to.split != nil {
			t.to = &t.to.split.part(p.message).endpoint
		}
		if t.qos == 0 && t.to.buffers != nil && t.to.buffers.away(p.message.Size()) {
			t.qos = core.AtLeastOnce
		}
		if t.qos == 0 {
			continue
		}
		to := t.to.debt()
		t.live, t.epoch = to.live, t.to.epoch
		if to.receiver == 0 {
			continue
		}
		t.owed = true
		p.debts = append(p.debts, core.Debt{Receiver: to.receiver, Live: to.live})
		if to.live && to.hold > 0 && hold >= 0 {
			hold = max(hold, to.hold)
		} else {
			hold = -1 // it has to be written anyway: don't wait
		}
	}
	if len(p.debts) == 0 {
		if b.cfg.Fleeting && p.message.QoS > core.AtMostOnce && !p.lazy {
			return 0, false, core.ErrFull // a session that the store knows may be owed it
		}
		return 0, true, nil
	}
	if p.lazy || p.message.QoS == core.AtMostOnce {
		hold = b.cfg.SpillAfter // nobody waits for an acknowledgement: let readings gather
	}
	if p.message.QoS == core.ExactlyOnce {
		hold = 0 // on disk before it goes on
	}
	seq, settled, err = b.store.Append(p.keep(), p.debts, max(hold, 0))
	p.learnLive()
	if err != nil && p.message.QoS == core.AtMostOnce { // a full store is no reason to keep it from the others
		p.owedNothing()
		return 0, true, nil
	}
	return seq, settled, err
}

// owedNothing makes the publication one of QoS 0 again, for all.
func (p *publication) owedNothing() {
	for i := range p.targets {
		p.targets[i].qos, p.targets[i].owed, p.targets[i].live = 0, false, false
	}
}

// learnLive takes over to whom the log lets the message be handed from memory.
func (p *publication) learnLive() {
	debts := p.debts
	for i := range p.targets {
		if t := &p.targets[i]; t.owed {
			t.live, debts = debts[0].Live, debts[1:]
		}
	}
}

// deliver hands the publication to one target.
func (b *Broker) deliver(p *publication, seq core.Seq, t *target) {
	d := core.Delivery{Message: p.message, QoS: t.qos, Retain: t.retain, Subscriptions: t.ids}
	if t.owed {
		d.Seq = seq
	}
	t.to.deliver(p, d, t.live)
}

// waiter is told when a promise holds.
type waiter struct {
	conn     *conn     // whose acknowledgement waits
	deferred *deferred // what waits beside it
	next     *waiter   // somebody else who waits for the same
}

// deferred is something to be done once everything that it waits for has come.
type deferred struct {
	waits int
	do    func()
}

// await registers w for both parts of a promise.
func (b *Broker) await(wait promise, w waiter) {
	if wait.Seq != 0 {
		if first, ok := b.waiting[wait.Seq]; ok {
			w.next = &first
		}
		b.waiting[wait.Seq] = w
	}
	if wait.Ticket != 0 {
		b.gate.Push(wait.Ticket, gated{conn: w.conn, deferred: w.deferred})
	}
}

// gated waits for a ticket.
type gated struct {
	conn     *conn
	deferred *deferred
	do       func()
}

// after does f once t is synced.
func (b *Broker) after(t core.Ticket, f func()) {
	if t == 0 {
		f()
		return
	}
	b.gate.Push(t, gated{do: f})
}

// record puts changes behind everything so far; the ticket is that of the last.
func (b *Broker) record(changes ...core.Change) (t core.Ticket) {
	for _, c := range changes {
		t = b.store.Record(c, false)
	}
	return t
}

// onKept calls f once both parts of a promise hold.
func (b *Broker) onKept(wait promise, f func()) {
	d := &deferred{do: f}
	if wait.Seq != 0 {
		d.waits++
	}
	if wait.Ticket != 0 {
		d.waits++
	}
	if d.waits == 0 {
		f()
		return
	}
	b.await(wait, waiter{deferred: d})
}
