package session

import (
	"sort"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
)

// Acks are the PUBACKs and PUBRECs that are owed to one peer. Each leaves once
// its promise holds, and all leave in the order in which their PUBLISH came
// [MQTT-4.6.0-2] [MQTT-4.6.0-3]. They belong to a connection and end with it.
type Acks struct {
	queue  ring[ack]
	synced core.Ticket
	last   core.Seq
}

// Promise is what an acknowledgement waits for: that Seq is settled, that Ticket
// is synced, or both. The zero value waits for nothing.
type Promise struct {
	Seq    core.Seq
	Ticket core.Ticket
}

type ack struct {
	key     core.Seq // its Seq, or that of the one before it: keys only grow
	ticket  core.Ticket
	pid     uint16
	kind    packet.Type
	reason  packet.Reason
	settled bool
}

// Push owes an acknowledgement. Seqs must grow from one Push to the next.
func (a *Acks) Push(kind packet.Type, pid uint16, reason packet.Reason, wait Promise) {
	if wait.Seq != 0 {
		a.last = wait.Seq
	}
	a.queue.push(ack{
		key: a.last, ticket: wait.Ticket, pid: pid, kind: kind, reason: reason,
		settled: wait.Seq == 0,
	})
}

// Settled notes that the promise about seq holds.
func (a *Acks) Settled(seq core.Seq) { a.settle(seq, packet.Success) }

// Refused notes that the promise about seq will not be made: the answer is an error.
func (a *Acks) Refused(seq core.Seq, why packet.Reason) { a.settle(seq, why) }

func (a *Acks) settle(seq core.Seq, reason packet.Reason) {
	n := a.queue.len()
	i := sort.Search(n, func(i int) bool { return a.queue.at(i).key >= seq })
	if i == n {
		return
	}
	if e := a.queue.at(i); e.key == seq && !e.settled {
		e.settled = true
		if reason.IsError() {
			e.reason, e.ticket = reason, 0
		}
	}
}

// Synced notes that all changes up to t are durable.
func (a *Acks) Synced(t core.Ticket) { a.synced = max(a.synced, t) }

// Next is the next acknowledgement that may leave now.
func (a *Acks) Next() (packet.Ack, bool) {
	if a.queue.len() == 0 {
		return packet.Ack{}, false
	}
	e := a.queue.at(0)
	if !e.settled || e.ticket > a.synced {
		return packet.Ack{}, false
	}
	out := packet.Ack{Kind: e.kind, PacketID: e.pid, Reason: e.reason}
	a.queue.pop()
	return out, true
}

// Len counts what is owed.
func (a *Acks) Len() int { return a.queue.len() }
