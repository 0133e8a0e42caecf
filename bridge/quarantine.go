package bridge

import (
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

// inFlight remembers the messages under way, for the case that one is refused.
// The log has them too, but gives none of them alone. It is bounded: what is not
// remembered is quarantined when it comes again, on the next connection.
type inFlight struct {
	messages map[place]*core.Message
	bytes    int
}

const rememberMost = 4 << 20 // bytes

func (f *inFlight) add(at place, m *core.Message) {
	if at.seq == 0 || f.bytes+m.Size() > rememberMost {
		return
	}
	f.messages[at] = m
	f.bytes += m.Size()
}

func (f *inFlight) remove(at place) *core.Message {
	m := f.messages[at]
	if m != nil {
		delete(f.messages, at)
		f.bytes -= m.Size()
	}
	return m
}

func (f *inFlight) clear() {
	clear(f.messages)
	f.bytes = 0
}

// quarantine sets a message aside. The order of effects:
//
//  1. it is in quarantine, synced
//  2. it is paid, as if it had been delivered
//
// Where it cannot be kept it is dropped all the same, counted and logged: it would
// stop the uplink.
func (b *Bridge) quarantine(o *outlet, seq core.Seq, m *core.Message, reason core.Reason, why string) {
	var err error
	if b.cfg.Quarantine != nil {
		err = b.cfg.Quarantine(Quarantined{Rule: o.rule.LocalFilter(), Message: m, Why: why})
	}
	o.drop(seq, reason)
	b.log.Warn("the upstream cannot have a message; it is set aside", "rule", o.rule.LocalFilter(),
		"topic", m.Topic, "bytes", len(m.Payload), "seq", uint64(seq), "why", why, "kept", b.cfg.Quarantine != nil && err == nil)
	if err != nil {
		b.log.Error("the quarantine did not take the message", "error", err)
	}
}

// condemn sets a message aside that is known by its number only.
func (b *Bridge) condemn(o *outlet, sent session.Sent, why string) {
	at := place{sent.Receiver, sent.Seq}
	if m := b.flying.remove(at); m != nil {
		b.quarantine(o, sent.Seq, m, core.DroppedRejected, why)
		return
	}
	b.condemned[at] = why
}
