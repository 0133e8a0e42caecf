package broker

import (
	"errors"
	"fmt"
	"strings"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/topic"
)

// Publish takes a message from inside the process. The caller must not change it
// afterwards. With QoS 1 and 2 it takes the same path as a client's; nobody waits
// for its promise. core.ErrFull: the mailbox is full, the message was not taken.
// It may be called from any goroutine and does not wait.
func (b *Broker) Publish(m *core.Message) error {
	if err := checkMessage(m); err != nil {
		return err
	}
	return b.mail.offer(func() { b.publishInOrder(m) })
}

// maxInsiders bounds what comes from inside and waits for room in the store, where its
// sender does not wait for an answer.
const maxInsiders = 4096

// publishInOrder takes a message of an adapter.
func (b *Broker) publishInOrder(m *core.Message) {
	if b.insiders.len() >= maxInsiders {
		b.drop(core.DroppedStoreFull, 1)
		return
	}
	b.inOrder(func() error {
		_, err := b.publishInside(m, true)
		if err != nil && !errors.Is(err, core.ErrBusy) {
			b.drop(core.DroppedStoreFull, 1)
		}
		return err
	})
}

// inOrder does what somebody inside wants, or lets it wait where a client keeps the disk
// busy (try says core.ErrBusy): nobody could hold an adapter back, and an upstream that was
// refused a message would not send it again. All wait in one queue, so that what a bridge
// records stays behind the messages that it has handed over before.
func (b *Broker) inOrder(try func() error) {
	b.insiders.push(try)
	if b.insiders.len() == 1 {
		b.insidersGoOn()
	}
}

// insidersGoOn goes on with those that wait until there is no room.
func (b *Broker) insidersGoOn() {
	for b.insiders.len() > 0 {
		if err := (*b.insiders.first())(); errors.Is(err, core.ErrBusy) {
			b.awaitRoom(b.insidersGoOn)
			return
		}
		b.insiders.pop()
	}
}

// Tell publishes what the gateway says of itself, at QoS 0. It is retained for as
// long as the broker runs: it is about this run, so that none of it is written.
func (b *Broker) Tell(m *core.Message) error {
	if err := checkMessage(m); err != nil {
		return err
	}
	return b.mail.offer(func() {
		m.Received = b.stamp
		b.begin(m, true)
		b.publication.passing = true
		// QoS 0 is owed to nobody: there is nothing that could fail.
		_, _ = b.take()
	})
}

func checkMessage(m *core.Message) error {
	if err := topic.ValidName(m.Topic); err != nil {
		return fmt.Errorf("%w: topic %q: %w", core.ErrInvalid, m.Topic, err)
	}
	if strings.HasPrefix(m.Topic, "$") { // those are the broker's own, whoever asks
		return fmt.Errorf("%w: topic %q begins with $", core.ErrInvalid, m.Topic)
	}
	if m.QoS > core.ExactlyOnce {
		return fmt.Errorf("%w: QoS %d", core.ErrInvalid, m.QoS)
	}
	return nil
}

// publishInside takes a message that is on the heap already. lazy: its retained
// state need not be durable with its promise.
func (b *Broker) publishInside(m *core.Message, lazy bool, changes ...core.Change) (wait promise, err error) {
	if m.Received.IsZero() {
		m.Received = b.stamp
	}
	b.begin(m, true)
	b.publication.lazy = lazy
	if wait, err = b.take(changes...); !errors.Is(err, core.ErrBusy) {
		b.counters.messagesReceived++
		b.counters.payloadReceived += uint64(len(m.Payload))
	}
	return wait, err
}

// Accept takes a message that a bridge has received, together with changes that
// must become durable with it. done is called once, on the loop, when the promise
// holds for both, or with an error when nothing has happened; it must not wait.
// When the gateway stops before that, it is not called.
func (b *Broker) Accept(m *core.Message, changes []core.Change, done func(error)) {
	if err := checkMessage(m); err != nil {
		done(err)
		return
	}
	if !b.mail.post(func() { b.acceptInOrder(m, changes, done) }) {
		done(core.ErrClosed)
	}
}

func (b *Broker) acceptInOrder(m *core.Message, changes []core.Change, done func(error)) {
	if m.QoS == core.AtMostOnce && b.insiders.len() >= maxInsiders {
		b.drop(core.DroppedStoreFull, 1)
		done(core.ErrFull)
		return
	}
	b.inOrder(func() error {
		wait, err := b.publishInside(m, false, changes...)
		switch {
		case err == nil:
			b.onKept(wait, func() { done(nil) })
		case !errors.Is(err, core.ErrBusy):
			done(err)
		}
		return err
	})
}

// Record makes changes durable on behalf of a bridge. done may be nil.
func (b *Broker) Record(changes []core.Change, lazy bool, done func(error)) {
	posted := b.mail.post(func() {
		b.inOrder(func() error {
			var ticket core.Ticket
			for _, c := range changes {
				ticket = b.store.Record(c, lazy)
			}
			if done != nil {
				b.after(ticket, func() { done(nil) })
			}
			return nil
		})
	})
	if !posted && done != nil {
		done(core.ErrClosed)
	}
}

// do runs f as the owner of the broker's state and waits for it.
func (b *Broker) do(f func()) error {
	b.mu.Lock()
	switch {
	case b.stopped:
		b.mu.Unlock()
		return core.ErrClosed
	case !b.running:
		defer b.mu.Unlock()
		f()
		return nil
	}
	b.mu.Unlock()
	done := make(chan struct{})
	if !b.mail.post(func() { f(); close(done) }) {
		return core.ErrClosed
	}
	<-done
	return nil
}

// Subscribe calls deliver for every message that matches filter, on a goroutine of
// the broker, until cancel. Messages for which its queue has no room are dropped
// and counted. Retained messages are not sent: what is subscribed to inside are
// commands, and an old one must not be carried out again.
func (b *Broker) Subscribe(filter string, deliver func(*core.Message)) (cancel func(), err error) {
	if err := topic.ValidFilter(filter); err != nil {
		return nil, fmt.Errorf("subscribe to %q: %w", filter, err)
	}
	l := &local{broker: b, filter: filter, queue: make(chan *core.Message, localQueue)}
	l.endpoint.subscriber = l
	if err := b.do(l.begin); err != nil {
		return nil, err
	}
	b.serving.Go(func() {
		for m := range l.queue {
			deliver(m)
		}
	})
	return func() { b.mail.post(l.end) }, nil
}

// local is a subscriber inside the process.
type local struct {
	endpoint

	// Static.
	broker *Broker
	filter string
	queue  chan *core.Message // written and closed by the loop
}

const localQueue = 1024

func (l *local) begin() {
	l.broker.locals[l] = struct{}{}
	l.broker.insert(l.filter, &l.endpoint, grant{options: localOptions})
}

// localOptions: QoS 0, retain as published.
const localOptions packet.Options = 8

// end closes the queue: what is in it is still delivered.
func (l *local) end() {
	if _, ok := l.broker.locals[l]; !ok {
		return
	}
	delete(l.broker.locals, l)
	l.broker.remove(l.filter, &l.endpoint)
	close(l.queue)
}

func (l *local) debt() debtor { return debtor{} }
func (l *local) expect(int)   {}

func (l *local) deliver(p *publication, _ core.Delivery, _ bool) {
	select {
	case l.queue <- p.keep():
	default:
		l.broker.drop(core.DroppedQueueFull, 1)
	}
}

// nobody is behind an endpoint whose subscriptions are being removed.
type nobody struct{}

func (nobody) debt() debtor                              { return debtor{} }
func (nobody) expect(int)                                {}
func (nobody) deliver(*publication, core.Delivery, bool) {}
