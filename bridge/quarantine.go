package bridge

import (
	"math/bits"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/session"
)

// Quarantined is a message that the upstream cannot have, and why.
type Quarantined struct {
	Rule    string // the rule's local filter
	Message *core.Message
	Why     string // in plain words
}

// place names a message among those of all rules.
type place struct {
	receiver core.ReceiverID
	seq      core.Seq
}

// inFlight remembers the messages under way on this connection, by their packet ids,
// for the case that one is refused. Not all of them when they are large: then the
// message is set aside when it comes again. A slot is free for every id of a window,
// because ids go round.
type inFlight struct {
	slots []underWay // of id n at n & (len-1); len is a power of two
	bytes int
}

type underWay struct {
	pid     uint16
	message *core.Message // nil: none
}

const rememberMost = 4 << 20 // bytes

// begin forgets those of an earlier connection.
func (f *inFlight) begin(window int) {
	f.slots, f.bytes = make([]underWay, 1<<bits.Len(uint(window))), 0
}

func (f *inFlight) add(pid uint16, m *core.Message) {
	u := &f.slots[int(pid)&(len(f.slots)-1)]
	if u.message != nil || f.bytes+m.Size() > rememberMost {
		return
	}
	*u = underWay{pid, m}
	f.bytes += m.Size()
}

// remove is nil for a message that is not known.
func (f *inFlight) remove(pid uint16) *core.Message {
	u := &f.slots[int(pid)&(len(f.slots)-1)]
	m := u.message
	if m == nil || u.pid != pid {
		return nil
	}
	*u = underWay{}
	f.bytes -= m.Size()
	return m
}

func (f *inFlight) end() { *f = inFlight{} }

// aside is a message that was set aside, or that could not be.
type aside struct {
	outlet *outlet
	seq    core.Seq
	reason core.Reason
	err    error
}

// asides are the messages on their way into quarantine, which syncs each: too slow
// for a loop that others wait for. The owner counts them; done is how they come back.
type asides struct {
	pending int
	done    chan aside
}

// maxAsides are so many that the rules wait. What the upstream refuses comes on top of
// it, at most a window.
const maxAsides = 16

// quarantine sets a message aside. The order of effects:
//
//  1. it is in quarantine, synced
//  2. it is paid, as if it had been delivered (gather)
//
// Where it cannot be kept it is dropped all the same, counted and logged: it would
// stop the uplink.
func (b *Bridge) quarantine(o *outlet, seq core.Seq, m *core.Message, reason core.Reason, why string) {
	b.log.Warn("the upstream cannot have a message; it is set aside", "rule", o.rule.LocalFilter(),
		"topic", m.Topic, "bytes", len(m.Payload), "seq", uint64(seq), "why", why, "kept", b.cfg.Quarantine != nil)
	if b.cfg.Quarantine == nil {
		o.drop(seq, reason)
		return
	}
	b.asides.pending++
	go func() {
		err := b.cfg.Quarantine(Quarantined{Rule: o.rule.LocalFilter(), Message: m, Why: why})
		b.asides.done <- aside{o, seq, reason, err}
		b.events.ring()
	}()
}

// gather pays for what is in quarantine by now.
func (b *Bridge) gather() {
	for {
		select {
		case a := <-b.asides.done:
			b.aside(a)
		default:
			return
		}
	}
}

// await pays for all that is on its way into quarantine: the queues give again what is
// not paid when the connection ends.
func (b *Bridge) await() {
	for b.asides.pending > 0 {
		b.aside(<-b.asides.done)
	}
}

func (b *Bridge) aside(a aside) {
	b.asides.pending--
	a.outlet.drop(a.seq, a.reason)
	if a.err != nil {
		b.log.Error("the quarantine did not take the message", "seq", uint64(a.seq), "error", a.err)
	}
}

// condemn sets a message aside that is known by its number only.
func (b *Bridge) condemn(o *outlet, sent session.Sent, why string) {
	if m := b.flying.remove(sent.PacketID); m != nil {
		b.quarantine(o, sent.Seq, m, core.DroppedRejected, why)
		return
	}
	b.condemned[place{sent.Receiver, sent.Seq}] = why
}
