package broker

import (
	"errors"
	"fmt"

	"github.com/weir-edge/weir/core"
)

// What an operator does by hand to what is owed.

// Do runs f on the loop, as the owner of the broker's state and its store, and
// waits for it. f must not wait.
func (b *Broker) Do(f func()) error { return b.do(f) }

// Receiver finds by its name to whom something may be owed: a session by its client
// id, or a rule. It is called on the loop.
func (b *Broker) Receiver(name string) (id core.ReceiverID, ok bool) {
	if cl := b.clients[name]; cl != nil && cl.receiver != 0 {
		return cl.receiver, true
	}
	if r := b.rules[name]; r != nil {
		return r.receiver, true
	}
	return 0, false
}

// Knows says whether there is such a receiver. It is called on the loop.
func (b *Broker) Knows(id core.ReceiverID) bool { return b.receivers[id] != nil || b.ruleOf[id] != nil }

// Owe leaves messages behind what is owed to receivers already, as if they had
// published them to these alone. Retained state does not change. done is called
// once, on the loop, when all of them are kept, or with the first error. It is
// called on the loop.
func (b *Broker) Owe(m *core.Message, receivers []core.ReceiverID, done func(error)) {
	b.begin(m, true)
	p := &b.publication
	p.targets, p.ids = p.targets[:0], p.ids[:0]
	for _, id := range receivers {
		to := b.receivers[id]
		if to == nil { // a rule that is not configured
			to = stray(id)
		}
		if e := endpointOf(to); e != nil {
			p.targets = append(p.targets, target{to: e, qos: m.QoS, retain: m.Retain})
		}
	}
	seq, settled, err := b.owe(p)
	if err != nil {
		done(err)
		return
	}
	var wait promise
	if !settled {
		wait.Seq = seq
	}
	b.pass(p, seq, wait)
	b.onKept(wait, func() { done(nil) })
}

func endpointOf(to receiver) *endpoint {
	switch to := to.(type) {
	case *client:
		return &to.endpoint
	case *Queue:
		return &to.endpoint
	case *share:
		return &to.endpoint
	case stray:
		return &endpoint{subscriber: to}
	default:
		return nil
	}
}

// stray is a receiver of which only the store knows.
type stray core.ReceiverID

func (s stray) debt() debtor                              { return debtor{receiver: core.ReceiverID(s)} }
func (stray) expect(int)                                  {}
func (stray) deliver(*publication, core.Delivery, bool)   {}
func (stray) fetched(next []core.Delivery, caughtUp bool) {}
func (stray) drop(core.Reason, int)                       {}

// Why a receiver is not forgotten by hand.
var (
	errConnected  = errors.New("its client is connected; a session is ended while that is away")
	errConfigured = errors.New("the rule is in the configuration, and would begin anew; give up what is owed to it by its age")
	errMembers    = errors.New("the shared subscription has members")
)

// Forget ends a session that has no connection, or a rule that is not configured,
// with everything that is owed to it. kept is called on the loop when that is
// durable. It is called on the loop.
func (b *Broker) Forget(name string, kept func()) error {
	if cl := b.clients[name]; cl != nil {
		if cl.connected() {
			return fmt.Errorf("%s: %w", name, errConnected)
		}
		b.after(b.dropSession(cl, "given up by hand"), kept)
		return nil
	}
	r := b.rules[name]
	switch {
	case r == nil:
		b.after(b.ending[name], kept)
		return nil
	case r.queue != nil:
		return fmt.Errorf("%s: %w", name, errConfigured)
	case b.shares[name] != nil:
		return fmt.Errorf("%s: %w", name, errMembers)
	}
	b.after(b.forgetRule(name), kept)
	return nil
}
