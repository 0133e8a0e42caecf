package broker

import (
	"fmt"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/topic"
)

// RuleConfig is one outgoing rule of a bridge.
type RuleConfig struct {
	Name              string   // for good: what is owed to the rule is found by it after a restart
	Filters           []string // what it takes
	Excludes          []string // and what it does not take all the same
	QoS               core.QoS // at most
	BufferQoS0        bool     // keep messages of QoS 0 that cannot go now as if they had QoS 1
	RetainAsPublished bool     // keep the retain flag
	NoPublisher       string   // leave out what this publisher has published ("bridge:NAME")
	Policy            core.Policy
	MaxMessages       int           // in memory, for the bridge to take; default 4,096
	MaxBytes          int           // default 4 MiB
	Wake              chan struct{} // of one element, for several rules together; default: one of its own
	History           time.Duration // how long what was delivered is kept; QoS 1 and 2
	Beside            bool          // what is new goes beside a backlog, not behind it: see split
}

// LinkState is what is durable of a bridge's connection.
type LinkState struct {
	Owner    core.ReceiverID // of its packet ids
	Incoming []uint16        // held packet ids of QoS 2
	Outgoing []core.Outgoing
}

// rule is what the store knows under a name: a bridge's rule, or its connection.
type rule struct {
	name     string
	receiver core.ReceiverID
	queue    *Queue // nil while nobody has attached to it

	// Until the connection asks for it.
	incoming []uint16
	outgoing []core.Outgoing
}

// Attach makes a rule a subscriber, with the durable state that it had before if
// it takes QoS 1 or 2. What is published before Attach is not owed to the rule, for
// what it takes is not known yet; so those of the configuration are to be attached
// before Run.
func (b *Broker) Attach(cfg RuleConfig) (*Queue, error) {
	setDefault(&cfg.MaxMessages, 4096)
	setDefault(&cfg.MaxBytes, 4<<20)
	for _, filter := range append(append([]string{}, cfg.Filters...), cfg.Excludes...) {
		if err := topic.ValidFilter(filter); err != nil {
			return nil, fmt.Errorf("rule %s: filter %q: %w", cfg.Name, filter, err)
		}
	}
	if cfg.Wake == nil {
		cfg.Wake = make(chan struct{}, 1)
	}
	q := &Queue{broker: b, cfg: cfg, wake: cfg.Wake}
	err := b.do(func() {
		if r := b.rules[cfg.Name]; r != nil && r.queue != nil {
			q = nil
			return
		}
		b.attach(q)
		b.divide(q)
	})
	if err == nil && q == nil {
		err = fmt.Errorf("rule %s is attached already", cfg.Name)
	}
	return q, err
}

// Reattach gives a rule of QoS 1 or 2 that is attached another configuration, under
// the same name. Nothing that is published meanwhile is missed, and what is owed
// stays owed. Nobody may use the queue at that moment.
func (b *Broker) Reattach(q *Queue, cfg RuleConfig) error {
	setDefault(&cfg.MaxMessages, 4096)
	setDefault(&cfg.MaxBytes, 4<<20)
	if cfg.Name != q.cfg.Name || q.receiver == 0 || cfg.QoS == 0 {
		return fmt.Errorf("rule %s cannot become %s", q.cfg.Name, cfg.Name)
	}
	return b.do(func() {
		b.unsubscribe(q)
		q.cfg = cfg
		if cfg.Wake != nil {
			q.wake = cfg.Wake
		}
		q.excludes, q.endpoint.name, q.buffers = cfg.Excludes, cfg.NoPublisher, q.buffering()
		b.store.SetPolicy(q.receiver, cfg.Policy)
		b.redivide(q)
		b.subscribe(q)
	})
}

// Detach ends a rule's subscription. What is owed to it stays in the log, for the
// rule of that name that may be attached later.
func (b *Broker) Detach(q *Queue) error {
	return b.do(func() {
		b.unsubscribe(q)
		q.online = false
		switch {
		case q.split != nil:
			q.split.detach()
		case q.receiver != 0:
			b.rules[q.cfg.Name].queue = nil
			delete(b.receivers, q.receiver)
		}
	})
}

func (b *Broker) unsubscribe(q *Queue) {
	for _, filter := range q.cfg.Filters {
		b.remove(filter, &q.endpoint)
	}
}

func (b *Broker) attach(q *Queue) {
	q.endpoint = endpoint{subscriber: q, name: q.cfg.NoPublisher, excludes: q.cfg.Excludes}
	if q.cfg.QoS > 0 {
		if b.rules[q.cfg.Name] == nil {
			b.oweRetained(q)
		}
		b.settleIn(q)
	}
	b.subscribe(q)
}

// settleIn gives a queue the receiver of its name.
func (b *Broker) settleIn(q *Queue) {
	r := b.named(q.cfg.Name)
	r.queue = q
	q.receiver = r.receiver
	q.behind = true
	q.buffers = q.buffering()
	b.receivers[q.receiver] = q
	b.store.SetPolicy(q.receiver, q.cfg.Policy)
}

func (b *Broker) subscribe(q *Queue) {
	options := packet.Options(q.cfg.QoS)
	if q.cfg.RetainAsPublished {
		options |= 8
	}
	if q.cfg.NoPublisher != "" {
		options |= 4
	}
	for _, filter := range q.cfg.Filters {
		b.insert(filter, &q.endpoint, grant{options: options})
	}
	if q.cfg.QoS > 0 {
		b.keepHistory(q, options)
	}
}

// oweOne leaves a message in the log for the rule.
func (q *Queue) oweOne(m *core.Message) error {
	q = q.part(m)
	debt := []core.Debt{{Receiver: q.receiver}}
	_, _, err := q.broker.store.Append(m, debt, q.broker.cfg.SpillAfter)
	if err == nil {
		q.behind = true
		q.fetch()
	}
	return err
}

// named is what the store knows under a name, new if there is nothing.
func (b *Broker) named(name string) *rule {
	r := b.rules[name]
	if r == nil {
		r = &rule{name: name, receiver: core.NewReceiverID()}
		b.rules[name], b.ruleOf[r.receiver] = r, r
		b.record(core.RuleSaved{Name: name, Receiver: r.receiver})
	}
	return r
}

// warnOfStrays names rules that are not configured any more and still owe
// something: it stays until the rule is back, or the store needs the room.
func (b *Broker) warnOfStrays() {
	for name, r := range b.rules {
		if n := b.store.Owed(r.receiver); r.queue == nil && n > 0 && !isShared(name) {
			b.log.Warn("messages are owed to a rule that is not configured", "rule", name, "messages", n)
		}
	}
}

// Link gives a bridge's connection its durable state. It is to be asked once,
// before the connection is used: from then on the bridge records the changes.
func (b *Broker) Link(name string) (state LinkState, err error) {
	err = b.do(func() {
		r := b.named("bridge:" + name)
		state = LinkState{Owner: r.receiver, Incoming: r.incoming, Outgoing: r.outgoing}
		r.incoming, r.outgoing = nil, nil
	})
	return state, err
}
