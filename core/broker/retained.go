package broker

import (
	"errors"
	"slices"
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
		if !b.unsetRetained(m.Topic) {
			return 0
		}
	} else {
		if b.retainedFull(m) { // from inside: it was delivered, and what was there is too old now
			b.drop(core.DroppedRetainedFull, 1)
			b.unsetRetained(m.Topic)
			m = &core.Message{Topic: m.Topic, QoS: m.QoS}
		} else {
			if !fitsAtRest(m) {
				m = p.keep()
			}
			b.setRetained(m)
		}
	}
	if p.passing || isSys(m.Topic) {
		return 0
	}
	if m.QoS == 0 || p.lazy {
		b.noteUnsaved(strings.Clone(m.Topic))
		return 0
	}
	delete(b.unsaved, m.Topic)
	if len(m.Payload) > 0 {
		m = p.keep()
	}
	return b.record(retainedChange(m.Topic, m))
}

// setRetained and unsetRetained are where the retained messages change.
func (b *Broker) setRetained(m *core.Message) {
	b.retainedBytes += retainedSize(m) - b.sizeRetained(m.Topic)
	for s := range b.surveys {
		s.since[strings.Clone(m.Topic)] = struct{}{}
	}
	b.retained.Set(rest(m))
	if m.Expiry > 0 {
		b.awaitSweep()
	}
}

func (b *Broker) unsetRetained(name string) bool {
	b.retainedBytes -= b.sizeRetained(name)
	return b.retained.Delete(name)
}

// sizeRetained is what the retained message of a topic takes, 0 if there is none.
func (b *Broker) sizeRetained(name string) int64 {
	r, ok := b.retained.Get(name)
	if !ok {
		return 0
	}
	return r.size(name)
}

// retainedSize is the memory of a retained message, with its place in the index.
func retainedSize(m *core.Message) int64 {
	const overhead = 256
	return int64(m.Size()) + overhead
}

// retainedFull says whether there is no room for a message among the retained ones.
// One that takes the place of a larger one always fits.
func (b *Broker) retainedFull(m *core.Message) bool {
	if !m.Retain || len(m.Payload) == 0 || isSys(m.Topic) {
		return false
	}
	more := retainedSize(m) - b.sizeRetained(m.Topic)
	return more > 0 && b.retainedBytes+more > b.cfg.Limits.MaxRetainedBytes
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
		var m *core.Message
		if r, ok := b.retained.Get(name); ok {
			m = r.wake(name, new(core.Message))
		}
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
	cursor  *topic.Cursor[resting]
	options packet.Options
	id      uint32
	left    string // the topic for which the store had no room; "": none
	waits   bool   // for room
}

func (cl *client) newReplay(filter string, o packet.Options, id uint32) *replay {
	return &replay{cursor: cl.broker.retained.Cursor(filter), options: o, id: id}
}

// replay begins replays.
func (cl *client) replay(rs []*replay) {
	cl.replays = append(cl.replays, rs...)
	cl.resumeReplays()
}

// resumeReplays goes on with the first of them, if it had no room.
func (cl *client) resumeReplays() {
	if len(cl.replays) == 0 || cl.replaying || cl.behind {
		return
	}
	cl.replaying = true
	cl.broker.work(cl.replayStep)
}

// replayStep sends the next retained messages of the first replay.
func (cl *client) replayStep() (more bool) {
	cl.replaying = cl.connected() && !cl.behind && len(cl.replays) > 0
	if !cl.replaying {
		return false
	}
	r := cl.replays[0]
	if name := r.left; name != "" {
		r.left = ""
		if found, ok := cl.broker.retained.Get(name); ok {
			cl.replayOne(r, name, &found)
		}
	}
	if cl.replaying {
		for name, found := range r.cursor.Next(sliceSize) {
			if cl.replayOne(r, name, &found); !cl.replaying {
				break
			}
		}
	}
	if r.cursor.Done() && r.left == "" {
		cl.replays = slices.Delete(cl.replays, 0, 1)
	}
	return cl.replaying
}

// replayOne sends a retained message, and stops the replay where it cannot go on now.
func (cl *client) replayOne(r *replay, name string, found *resting) {
	m := found.wake(name, &cl.broker.scratch)
	qos := min(r.options.QoS(), m.QoS)
	if !cl.sendRetained(m, r) {
		r.left, cl.replaying = name, false
		cl.awaitReplay(r)
		return
	}
	if !cl.connected() || cl.queue.len() > 0 || !cl.ready(qos) {
		cl.replaying = false // pump goes on, or the next connection
	}
}

// awaitReplay goes on with a replay when the store may have room.
func (cl *client) awaitReplay(r *replay) {
	if r.waits {
		return
	}
	r.waits = true
	cl.broker.awaitRoom(func() {
		r.waits = false
		cl.resumeReplays()
	})
}

// sendRetained sends one message with the retain flag set [MQTT-3.3.1-8]. To a
// durable session it is owed like any other; where the store has no room for that
// it is left out, and its topic keeps it. False: there is no room for a moment only.
func (cl *client) sendRetained(m *core.Message, r *replay) (done bool) {
	b := cl.broker
	mine := r.options.NoLocal() && m.Publisher == cl.id // [MQTT-3.8.3-3]
	if mine || m.Expired(b.stamp) || !cl.mayReceive(m.Topic) {
		return true
	}
	d := core.Delivery{Message: m, QoS: min(r.options.QoS(), m.QoS), Retain: true}
	if r.id != 0 {
		d.Subscriptions = []uint32{r.id}
	}
	b.begin(m, m != &b.scratch)
	live := true
	if cl.receiver != 0 && d.QoS > 0 {
		d.Message = b.publication.keep()
		debt := []core.Debt{{Receiver: cl.receiver, Live: true}}
		seq, _, err := b.store.Append(d.Message, debt, cl.patience())
		switch {
		case errors.Is(err, core.ErrBusy):
			return false
		case err != nil:
			cl.drop(core.DroppedStoreFull, 1)
			return true
		}
		d.Seq, live = seq, debt[0].Live
	}
	cl.deliver(&b.publication, d, live)
	return true
}
