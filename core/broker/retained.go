package broker

import (
	"strings"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/topic"
)

// retain makes the publication the retained message of its topic
// [MQTT-3.3.1-5], or removes it [MQTT-3.3.1-6]. At QoS 1 and 2 the change becomes
// durable with the acknowledgement, which waits for the ticket; at QoS 0, and for
// what adapters publish, the last value is written every RetainedFlush.
func (b *Broker) retain(p *publication) core.Ticket {
	m := p.message
	if len(m.Payload) == 0 { // never stored [MQTT-3.3.1-7]
		if !b.retained.Delete(m.Topic) {
			return 0
		}
	} else {
		m = p.keep()
		b.retained.Set(m.Topic, m)
	}
	if isSys(m.Topic) {
		return 0
	}
	if m.QoS == 0 || p.lazy {
		b.noteUnsaved(strings.Clone(m.Topic))
		return 0
	}
	delete(b.unsaved, m.Topic)
	return b.record(retainedChange(m.Topic, m))
}

func retainedChange(name string, m *core.Message) core.Change {
	if m == nil || len(m.Payload) == 0 {
		return core.RetainedDropped{Topic: strings.Clone(name)}
	}
	return core.RetainedSaved{Message: m}
}

// noteUnsaved remembers that the retained message of a topic is to be written
// with the next flush.
func (b *Broker) noteUnsaved(name string) {
	if len(b.unsaved) == 0 {
		b.timers.set(&b.flushTimer, b.now.Add(b.cfg.RetainedFlush))
	}
	b.unsaved[name] = struct{}{}
}

// saveRetained records what was noted, a slice at a time: the last value of each
// topic.
func (b *Broker) saveRetained() (more bool) {
	n := 0
	for name := range b.unsaved {
		if n++; n > sliceSize {
			return true
		}
		m, _ := b.retained.Get(name)
		b.store.Record(retainedChange(name, m), true)
		delete(b.unsaved, name)
	}
	return false
}

// replay sends the retained messages that match a new subscription. It looks at
// the index a slice at a time and only when the client has room, so it costs
// neither a long turn nor memory, and a value that changes meanwhile is sent as
// it is then. It outlives a connection of its session.
type replay struct {
	cursor  *topic.Cursor[*core.Message]
	options packet.Options
	id      uint32
	filter  string
	running bool // on the broker's list of work
}

func (cl *client) newReplay(filter string, o packet.Options, id uint32) *replay {
	return &replay{cursor: cl.broker.retained.Cursor(filter), options: o, id: id, filter: filter}
}

// replay begins replays.
func (cl *client) replay(rs []*replay) {
	cl.replays = append(cl.replays, rs...)
	cl.resumeReplays()
}

// resumeReplays goes on with those that had no room.
func (cl *client) resumeReplays() {
	for _, r := range cl.replays {
		if !r.running && !cl.behind {
			r.running = true
			cl.broker.work(func() bool { return cl.step(r) })
		}
	}
}

// step sends the next retained messages of a replay.
func (cl *client) step(r *replay) (more bool) {
	if !cl.connected() || cl.behind {
		r.running = false
		return false
	}
	for _, m := range r.cursor.Next(sliceSize) {
		if !cl.sendRetained(m, r) {
			return false
		}
		if cl.queue.len() > 0 || !cl.ready(min(r.options.QoS(), m.QoS)) {
			r.running = false // pump goes on
			break
		}
	}
	if r.cursor.Done() {
		r.running = false
		cl.endReplay(r)
	}
	return r.running
}

func (cl *client) endReplay(r *replay) {
	for i, other := range cl.replays {
		if other == r {
			cl.replays = append(cl.replays[:i], cl.replays[i+1:]...)
			return
		}
	}
}

// sendRetained sends one message with the retain flag set [MQTT-3.3.1-8]. To a
// durable session it is owed like any other; where the store has no room for that
// it is left out, and its topic keeps it.
func (cl *client) sendRetained(m *core.Message, r *replay) bool {
	b := cl.broker
	if m.Expired(b.stamp) {
		return true
	}
	d := core.Delivery{Message: m, QoS: min(r.options.QoS(), m.QoS), Retain: true}
	if r.id != 0 {
		d.Subscriptions = []uint32{r.id}
	}
	if cl.receiver != 0 && d.QoS > 0 {
		seq, _, err := b.store.Append(m, []core.Debt{{Receiver: cl.receiver, Live: true}}, cl.patience())
		if err != nil {
			cl.drop(core.DroppedStoreFull, 1)
			return true
		}
		d.Seq = seq
	}
	b.begin(m, true)
	cl.deliver(&b.publication, d, true)
	return cl.connected()
}
