package broker

import (
	"slices"

	"github.com/weir-edge/weir/core"
)

// flow is what keeps its order: what one publisher sends to one topic, whatever
// the QoS.
type flow struct{ publisher, topic string }

// flows holds publications that are not delivered yet: those of QoS 2 that wait
// to be durable, and behind them whatever came in the same flow meanwhile. Without
// it a message of QoS 1 would overtake one of QoS 2 whose sync is under way.
//
// It costs a look-up for each publication while some message of QoS 2 waits, and
// nothing else; a flow without QoS 2 is never held up. In the log the order is that
// of Seq anyway, so it is the same for who is served from there.
type flows map[flow]*queuedFlow

type queuedFlow struct{ first, last *later }

// later is a publication that waits.
type later struct {
	publication
	seq  core.Seq
	due  bool // only those before it keep it from being delivered
	next *later
}

// busy says whether something of m's flow waits.
func (f flows) busy(m *core.Message) bool {
	return len(f) > 0 && f[flow{m.Publisher, m.Topic}] != nil
}

func (f flows) push(key flow, l *later) {
	q := f[key]
	if q == nil {
		f[key] = &queuedFlow{first: l, last: l}
		return
	}
	q.last.next, q.last = l, l
}

// pop is the next publication of a flow that may be delivered; nil if there is none.
func (f flows) pop(key flow) *later {
	q := f[key]
	if q == nil || !q.first.due {
		return nil
	}
	l := q.first
	if q.first = l.next; q.first == nil {
		delete(f, key)
	}
	return l
}

// flowsFull says whether a message would have to wait and there is no room for that.
func (b *Broker) flowsFull(m *core.Message) bool {
	return b.laterBytes > 0 && b.laterBytes+int64(m.Size()) > b.cfg.Limits.MaxPendingBytes &&
		(m.QoS == core.ExactlyOnce || b.flows.busy(m))
}

// deliverLater lets the targets get the publication when it is durable, or (due)
// when what is before it in its flow has gone. Who has another connection by then,
// or none, will find it in the log.
func (b *Broker) deliverLater(p *publication, seq core.Seq, wait promise, due bool) {
	l := &later{seq: seq, due: due, publication: publication{message: p.keep(), kept: true, targets: slices.Clone(p.targets)}}
	for i := range l.targets {
		t := &l.targets[i]
		t.ids = slices.Clone(t.ids)
		if t.live {
			t.to.expect(1)
		}
	}
	b.laterBytes += int64(l.message.Size())
	key := flow{l.message.Publisher, l.message.Topic}
	b.flows.push(key, l)
	if due {
		return
	}
	b.onKept(wait, func() {
		l.due = true
		b.deliverDue(key)
	})
}

// deliverDue delivers what a flow has that waits for nothing any more.
func (b *Broker) deliverDue(key flow) {
	for l := b.flows.pop(key); l != nil; l = b.flows.pop(key) {
		b.laterBytes -= int64(l.message.Size())
		for i := range l.targets {
			t := &l.targets[i]
			if t.live {
				t.to.expect(-1)
			}
			t.live = t.live && t.epoch == t.to.epoch
			b.deliver(&l.publication, l.seq, t)
		}
	}
}
