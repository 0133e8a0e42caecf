package broker

import (
	"unsafe"

	"github.com/weir-edge/weir/core"
)

// resting is a retained message between its publication and the next subscriber.
// There may be a hundred thousand of them, most of them a reading of some bytes: so
// it lies in a row of the index, and beside it there is only one piece of memory,
// without pointers, for topic and payload.
type resting struct {
	// whole is the message itself where it has more than the rest can say, or is so
	// large that a copy would matter.
	whole *core.Message

	payload    string // behind the topic, in one piece with it
	publisher  string
	wall, mono int64 // a core.Stamp
	boot       uint64
	synced     bool
	retain     bool
	qos        core.QoS
	hops       uint8
	promise    core.Promise
}

// largeResting is a payload that is not copied.
const largeResting = 4 << 10

// fitsAtRest says whether a message need not be kept whole.
func fitsAtRest(m *core.Message) bool {
	return m.Properties == nil && m.Expiry == 0 && len(m.Payload) < largeResting
}

// rest lays down a message; topic is m's, in memory that it shares with r. A message
// that is kept whole must be on the heap.
func rest(m *core.Message) (topic string, r resting) {
	if !fitsAtRest(m) {
		return m.Topic, resting{whole: m}
	}
	text := make([]byte, len(m.Topic)+len(m.Payload))
	n := copy(text, m.Topic)
	copy(text[n:], m.Payload)
	all := alias(text) // never written again
	return all[:n], resting{
		payload: all[n:], publisher: m.Publisher,
		wall: m.Received.Wall, mono: m.Received.Mono, boot: m.Received.Boot, synced: m.Received.Synced,
		retain: m.Retain, qos: m.QoS, hops: m.Hops, promise: m.Promise,
	}
}

// wake makes it a message again, in m if it was not kept whole. Topic and payload
// stay where they are.
func (r *resting) wake(topic string, m *core.Message) *core.Message {
	if r.whole != nil {
		return r.whole
	}
	*m = core.Message{
		Topic: topic, Payload: unsafe.Slice(unsafe.StringData(r.payload), len(r.payload)),
		QoS: r.qos, Retain: r.retain, Hops: r.hops, Promise: r.promise, Publisher: r.publisher,
		Received: core.Stamp{Wall: r.wall, Mono: r.mono, Boot: r.boot, Synced: r.synced},
	}
	return m
}

// says tells whether the payload is this one.
func (r *resting) says(value string) bool {
	if r.whole != nil {
		return string(r.whole.Payload) == value
	}
	return r.payload == value
}

// size is the memory that a retained message takes, with its place in the index.
func (r *resting) size(topic string) int64 {
	var m core.Message
	return retainedSize(r.wake(topic, &m))
}
