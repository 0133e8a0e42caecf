package broker

import "github.com/weir-edge/weir/core"

// split is a rule in two parts, each a receiver of its own in the log: while a backlog
// drains out of one, what is new goes to the other, beside it. A message is owed to
// one part only, so that nothing is sent twice and each part keeps its order, its
// position and its place on the disk as any receiver does; a kill, a lost connection
// and a reload are for a part what they are for a rule.
//
//	no connection       to the backlog, if there is one, else to the fresh part
//	a connection comes  what waits in the fresh part becomes the backlog, if there is none
//	while it stands     to the fresh part
//
// So as long as nothing has waited at the beginning of a connection everything goes
// through one part, in order. In the store the rule's name is that of the backlog.
//
// A retained message is a state: the last that goes out is what stays upstream. So it
// goes behind the backlog, as long as there is one.
type split struct {
	// Static.
	broker *Broker
	name   string    // of the rule
	both   [2]*Queue // in any order

	// Owned by the loop.
	fresh, backlog *Queue
	off            bool // the rule is not configured so any more: the fresh part drains
}

const freshOf = "fresh of "

// divide makes q a rule in two parts if it is to be one, or was one and has something
// in its fresh part still.
func (b *Broker) divide(q *Queue) {
	cfg := q.cfg
	cfg.Name = freshOf + q.cfg.Name
	left := uint64(0)
	if r := b.rules[cfg.Name]; r != nil {
		left = b.store.Owed(r.receiver)
	}
	switch {
	case left == 0 && !cfg.Beside:
		b.forgetRule(cfg.Name)
		return
	case q.receiver == 0:
		return
	}
	fresh := &Queue{broker: b, cfg: cfg, wake: q.wake}
	fresh.endpoint = endpoint{subscriber: fresh, name: cfg.NoPublisher, excludes: cfg.Excludes}
	b.settleIn(fresh)
	q.split = &split{broker: b, name: q.cfg.Name, both: [2]*Queue{q, fresh}, fresh: fresh, backlog: q, off: !cfg.Beside}
	fresh.split = q.split
	fresh.fresh.Store(true)
}

// redivide gives a rule that has got another configuration the parts that it wants.
func (b *Broker) redivide(q *Queue) {
	s := q.split
	if s == nil {
		b.divide(q)
		return
	}
	other := s.beside(q)
	name := other.cfg.Name
	other.cfg, other.wake = q.cfg, q.wake
	other.cfg.Name = name
	other.endpoint.name, other.endpoint.excludes, other.buffers = q.cfg.NoPublisher, q.cfg.Excludes, other.buffering()
	b.store.SetPolicy(other.receiver, q.cfg.Policy)
	s.off = !q.cfg.Beside
	if s.off && b.store.Owed(other.receiver) == 0 {
		s.end(q)
	}
}

// end makes q the whole rule again; nothing is owed to the other part.
func (s *split) end(q *Queue) {
	if s.fresh == q {
		s.swap()
	}
	q.split = nil
	s.broker.forgetRule(freshOf + s.name)
}

// detach lets both parts wait for the rule to come back.
func (s *split) detach() {
	for _, q := range []*Queue{s.fresh, s.backlog} {
		q.online = false
		delete(s.broker.receivers, q.receiver)
	}
	s.broker.rules[s.name].queue, s.broker.rules[freshOf+s.name].queue = nil, nil
}

func (s *split) beside(q *Queue) *Queue {
	if q == s.both[0] {
		return s.both[1]
	}
	return s.both[0]
}

func (s *split) waits() bool { return s.broker.store.Owed(s.backlog.receiver) > 0 }

// part is to whom a message goes.
func (s *split) part(m *core.Message) *Queue {
	state := m.Retain && s.backlog.cfg.RetainAsPublished
	if s.off || (state || !s.fresh.online) && s.waits() {
		return s.backlog
	}
	return s.fresh
}

// connected: what has waited is the backlog now.
func (s *split) connected() {
	if !s.off && !s.waits() && s.broker.store.Owed(s.fresh.receiver) > 0 {
		s.swap()
	}
}

// swap exchanges the parts. It is recorded before anything that is owed to them by
// their new order, so that the store knows of it whenever it knows of that.
func (s *split) swap() {
	b := s.broker
	s.fresh, s.backlog = s.backlog, s.fresh
	s.fresh.fresh.Store(true)
	s.backlog.fresh.Store(false)
	for name, q := range map[string]*Queue{s.name: s.backlog, freshOf + s.name: s.fresh} {
		r := b.rules[name]
		r.receiver, r.queue = q.receiver, q
		b.ruleOf[q.receiver] = r
		b.record(core.RuleSaved{Name: name, Receiver: q.receiver})
	}
}

// part is q, or who takes the message of its rule now.
func (q *Queue) part(m *core.Message) *Queue {
	if q.split == nil {
		return q
	}
	return q.split.part(m)
}

// Beside is the rule's other part, nil if it has none. That is settled with Attach and
// Reattach, by whose caller it may be asked while the loop goes on.
func (q *Queue) Beside() *Queue {
	if q.split == nil {
		return nil
	}
	return q.split.beside(q)
}

// Fresh says whether this part is the one for what is new. It may be asked from any
// goroutine.
func (q *Queue) Fresh() bool { return q.fresh.Load() }
