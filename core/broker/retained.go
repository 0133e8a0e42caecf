package broker

import (
	"strings"

	"github.com/weir-edge/weir/core"
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
