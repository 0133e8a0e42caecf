package session_test

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/session"
)

// A model of everything around an Outbound: a log with two receivers, a store
// that loses what is not synced, a wire that can be cut at any point, and a peer
// that keeps a session. Any order of events must bring every message of QoS 1 at
// least once, every message of QoS 2 exactly once, in order, within the window.

type simMessage struct {
	receiver  core.ReceiverID
	seq       core.Seq
	qos       core.QoS
	paid      bool // in memory
	paidDisk  bool
	gone      bool // dropped from the log
	delivered int
}

type simPacket struct {
	kind byte // 'P' PUBLISH, 'L' PUBREL; from the peer 'A' PUBACK, 'R' PUBREC, 'C' PUBCOMP
	pid  uint16
	msg  *simMessage
}

// simRecord is a change on its way to the disk.
type simRecord struct {
	out  core.Outgoing
	done bool // OutgoingDone
}

type sim struct {
	t      *rapid.T
	out    *session.Outbound
	log    []*simMessage
	cursor map[core.ReceiverID]int
	window int
	lost   bool // the peer has lost a session at least once

	disk    map[uint16]core.Outgoing
	pending []simRecord
	synced  core.Ticket
	waiting session.Gate[simPacket] // PUBLISHes

	toPeer, fromPeer []simPacket

	// The peer.
	held  map[uint16]*simMessage
	unrel map[uint16]bool              // PUBLISHes of this connection that are not acknowledged to the end
	order map[core.ReceiverID]core.Seq // highest first delivery
}

func newSim(t *rapid.T) *sim {
	s := &sim{
		t: t, out: session.NewOutbound(owner), window: rapid.IntRange(1, 5).Draw(t, "window"),
		disk: map[uint16]core.Outgoing{}, held: map[uint16]*simMessage{},
		order: map[core.ReceiverID]core.Seq{},
	}
	s.connect(false)
	return s
}

func (s *sim) connect(present bool) {
	s.toPeer, s.fromPeer = nil, nil
	s.waiting.Clear()
	s.cursor = map[core.ReceiverID]int{}
	s.unrel = map[uint16]bool{}
	if !present {
		s.held = map[uint16]*simMessage{}
	}
	for _, pid := range s.out.Connect(s.window, present) {
		s.pending = append(s.pending, simRecord{out: core.Outgoing{PacketID: pid}, done: true})
	}
	for pid := range s.out.Releases() {
		s.toPeer = append(s.toPeer, simPacket{kind: 'L', pid: pid})
	}
}

func (s *sim) publish() {
	s.log = append(s.log, &simMessage{
		receiver: rapid.SampledFrom([]core.ReceiverID{8, 9}).Draw(s.t, "receiver"),
		seq:      core.Seq(len(s.log) + 1),
		qos:      rapid.SampledFrom([]core.QoS{1, 2}).Draw(s.t, "qos"),
	})
}

// pump starts the next message of a receiver, as the owner's queue gives them.
func (s *sim) pump(r core.ReceiverID) bool {
	if s.out.Room() == 0 {
		return false
	}
	for i, m := range s.log[s.cursor[r]:] {
		if m.receiver != r || m.paid || m.gone {
			continue
		}
		s.cursor[r] += i + 1
		s.start(m)
		return true
	}
	s.cursor[r] = len(s.log)
	return false
}

func (s *sim) start(m *simMessage) {
	st := s.out.Start(m.receiver, core.Delivery{Seq: m.seq, QoS: m.qos})
	switch {
	case st.Released:
		m.paid = true
	case st.Save:
		out := core.Outgoing{Owner: owner, PacketID: st.PacketID, Receiver: m.receiver, Seq: m.seq}
		s.pending = append(s.pending, simRecord{out: out})
		s.waiting.Push(s.synced+core.Ticket(len(s.pending)), simPacket{'P', st.PacketID, m})
	default:
		s.waiting.Push(0, simPacket{'P', st.PacketID, m}) // behind those that wait
	}
	s.leave()
}

func (s *sim) leave() {
	for p, ok := s.waiting.Pop(); ok; p, ok = s.waiting.Pop() {
		s.out.Saved(p.pid)
		s.toPeer = append(s.toPeer, p)
	}
}

// sync makes the oldest n changes durable. What is paid may follow later, except
// that a flight is not forgotten before its message.
func (s *sim) sync(n int, paid bool) {
	for _, r := range s.pending[:n] {
		if r.done {
			paid = true
			delete(s.disk, r.out.PacketID)
			continue
		}
		s.disk[r.out.PacketID] = r.out
		if r.out.Released && s.out.Released(r.out.PacketID) {
			s.toPeer = append(s.toPeer, simPacket{kind: 'L', pid: r.out.PacketID})
		}
	}
	s.pending = s.pending[n:]
	s.synced += core.Ticket(n)
	s.waiting.Synced(s.synced)
	s.leave()
	for _, m := range s.log {
		m.paidDisk = m.paidDisk || paid && m.paid
	}
}

// peer takes one packet off the wire.
func (s *sim) peer() {
	p := s.toPeer[0]
	s.toPeer = s.toPeer[1:]
	if p.kind == 'L' {
		delete(s.held, p.pid)
		delete(s.unrel, p.pid)
		s.fromPeer = append(s.fromPeer, simPacket{kind: 'C', pid: p.pid})
		return
	}
	s.unrel[p.pid] = true
	if len(s.unrel) > s.window {
		s.t.Fatalf("%d unacknowledged messages in a window of %d", len(s.unrel), s.window)
	}
	if m, ok := s.held[p.pid]; ok && m != p.msg {
		s.t.Fatalf("packet id %d is held for message %d, and message %d came under it", p.pid, m.seq, p.msg.seq)
	}
	if p.msg.qos == 1 {
		s.deliver(p.msg)
		delete(s.unrel, p.pid)
		s.fromPeer = append(s.fromPeer, simPacket{kind: 'A', pid: p.pid})
		return
	}
	if _, ok := s.held[p.pid]; !ok {
		s.held[p.pid] = p.msg
		s.deliver(p.msg)
	}
	s.fromPeer = append(s.fromPeer, simPacket{kind: 'R', pid: p.pid})
}

func (s *sim) deliver(m *simMessage) {
	m.delivered++
	if m.delivered == 1 {
		if s.order[m.receiver] > m.seq {
			s.t.Fatalf("message %d came after message %d", m.seq, s.order[m.receiver])
		}
		s.order[m.receiver] = m.seq
	}
	if m.qos == 2 && m.delivered > 1 && !s.lost {
		s.t.Fatalf("message %d of QoS 2 was delivered twice", m.seq)
	}
}

// answer takes one packet from the peer.
func (s *sim) answer() {
	p := s.fromPeer[0]
	s.fromPeer = s.fromPeer[1:]
	switch p.kind {
	case 'A':
		sent, ok := s.out.Puback(p.pid)
		if !ok {
			s.t.Fatalf("PUBACK %d was not expected", p.pid)
		}
		s.pay(sent)
	case 'R':
		sent, step := s.out.Pubrec(p.pid, false)
		switch step {
		case session.Save:
			s.pay(sent)
			out := core.Outgoing{Owner: owner, PacketID: p.pid, Receiver: sent.Receiver, Seq: sent.Seq, Released: true}
			s.pending = append(s.pending, simRecord{out: out})
		case session.Wait, session.Repeat:
		default:
			s.t.Fatalf("PUBREC %d: step %v", p.pid, step)
		}
	case 'C':
		if sent, step := s.out.Pubcomp(p.pid); step == session.Finish && sent.Saved {
			s.pay(sent)
			s.pending = append(s.pending, simRecord{out: core.Outgoing{PacketID: p.pid}, done: true})
		}
	}
}

func (s *sim) pay(sent session.Sent) {
	for _, m := range s.log {
		if m.receiver == sent.Receiver && m.seq == sent.Seq {
			m.paid = true
		}
	}
}

// crash forgets what is not on disk.
func (s *sim) crash() {
	s.pending, s.synced, s.waiting = nil, 0, session.Gate[simPacket]{}
	for _, m := range s.log {
		m.paid = m.paidDisk
	}
	s.out = session.NewOutbound(owner)
	for _, pid := range slices.Sorted(maps.Keys(s.disk)) {
		s.out.Restore(s.disk[pid])
	}
	s.connect(true)
}

// settle lets everything come to rest.
func (s *sim) settle() {
	for moved := true; moved; {
		moved = false
		for _, r := range []core.ReceiverID{8, 9} {
			for s.pump(r) {
				moved = true
			}
		}
		for len(s.pending) > 0 || len(s.toPeer) > 0 || len(s.fromPeer) > 0 {
			moved = true
			s.sync(len(s.pending), true)
			for len(s.toPeer) > 0 {
				s.peer()
			}
			for len(s.fromPeer) > 0 {
				s.answer()
			}
		}
	}
}

func (s *sim) check() {
	for _, m := range s.log {
		switch {
		case m.delivered == 0 && !m.gone:
			s.t.Fatalf("message %d was lost", m.seq)
		case !m.paid && !m.gone:
			s.t.Fatalf("message %d is still owed", m.seq)
		}
	}
}

// progress does one of the things that may happen next.
func (s *sim) progress(t *rapid.T) {
	var can []func()
	if len(s.pending) > 0 {
		can = append(can, func() {
			s.sync(rapid.IntRange(1, len(s.pending)).Draw(t, "records"), rapid.Bool().Draw(t, "paid"))
		})
	}
	if len(s.toPeer) > 0 {
		can = append(can, s.peer, s.peer)
	}
	if len(s.fromPeer) > 0 {
		can = append(can, s.answer, s.answer)
	}
	can = append(can, func() { s.pump(rapid.SampledFrom([]core.ReceiverID{8, 9}).Draw(t, "rule")) })
	rapid.SampledFrom(can).Draw(t, "event")()
}

func TestOutboundProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSim(t)
		progress := func(t *rapid.T) {
			for range rapid.IntRange(1, 5).Draw(t, "events") {
				s.progress(t)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"publish":   func(*rapid.T) { s.publish() },
			"progress":  progress,
			"progress2": progress,
			"cut":       func(*rapid.T) { s.connect(true) },
			"crash":     func(*rapid.T) { s.crash() },
			"wiped": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "rarely") == 0 {
					s.lost = true
					s.connect(false)
				}
			},
			"drop": func(t *rapid.T) {
				if len(s.log) == 0 {
					return
				}
				if m := rapid.SampledFrom(s.log).Draw(t, "message"); !m.paid {
					m.gone = true
				}
			},
		})
		s.settle()
		s.connect(true) // ends what pass has put aside
		s.settle()
		s.check()
	})
}
