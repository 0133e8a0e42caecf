package session

import (
	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
)

// Inbound is the receiving half of a session: the packet ids of QoS 2 that are
// held, and how many messages the peer may still send without acknowledgement.
type Inbound struct {
	// held maps a packet id of QoS 2 to whether its PUBLISH came on the present
	// connection, so that it counts against the Receive Maximum.
	held   map[uint16]bool
	window int
	open   int // messages of the present connection that are not acknowledged
}

// Verdict says what to do with a PUBLISH of QoS 1 or 2.
type Verdict byte

// The verdicts.
const (
	// Fresh: deliver it, and record IncomingHeld if it is of QoS 2.
	Fresh Verdict = iota
	// Repeated: its packet id is held, so it is acknowledged and not delivered
	// [MQTT-4.3.3-10]. As the first one may still be on its way to the disk, record
	// IncomingHeld once more (which is harmless) and wait for that.
	Repeated
	// TooMany: more than the Receive Maximum; disconnect with 0x93 [MQTT-3.3.4-7].
	TooMany
)

// NewInbound is a receiving half that holds nothing.
func NewInbound() *Inbound { return &Inbound{window: maxPacketID} }

// Restore holds a packet id again at start, or after a take-over.
func (in *Inbound) Restore(pid uint16) { in.hold(pid, false) }

// Connect begins a new connection. window is the Receive Maximum that we gave
// the peer; 0 is none given. Without a session the ids are forgotten: forgotten
// are those for which IncomingReleased is to be recorded.
func (in *Inbound) Connect(window int, sessionPresent bool) (forgotten []uint16) {
	if window <= 0 {
		window = maxPacketID
	}
	in.window, in.open = window, 0
	for pid := range in.held {
		if sessionPresent {
			in.held[pid] = false
			continue
		}
		forgotten = append(forgotten, pid)
		delete(in.held, pid)
	}
	return forgotten
}

// Publish takes notice of a PUBLISH of QoS 1 or 2.
func (in *Inbound) Publish(pid uint16, qos core.QoS) Verdict {
	now, held := in.held[pid]
	repeated := held && qos == core.ExactlyOnce
	if repeated && now {
		return Repeated
	}
	if in.open >= in.window {
		return TooMany
	}
	in.open++
	if qos == core.ExactlyOnce {
		in.hold(pid, true)
	}
	if repeated {
		return Repeated
	}
	return Fresh
}

// Pubrel ends a message of QoS 2: record IncomingReleased, and send PUBCOMP when
// that is synced. A packet id that is not known is answered at once (with 0x92).
func (in *Inbound) Pubrel(pid uint16) (known bool) {
	now, known := in.held[pid]
	if now {
		in.open--
	}
	delete(in.held, pid)
	return known
}

// Acked is told when a PUBACK, or a PUBREC with an error, leaves: what ends a
// message beside Pubrel.
func (in *Inbound) Acked(kind packet.Type, pid uint16) {
	if kind == packet.PUBACK {
		in.open = max(0, in.open-1)
		return
	}
	in.Pubrel(pid)
}

// Len counts the packet ids that are held.
func (in *Inbound) Len() int { return len(in.held) }

// Holds says whether a packet id is held.
func (in *Inbound) Holds(pid uint16) bool {
	_, ok := in.held[pid]
	return ok
}

func (in *Inbound) hold(pid uint16, now bool) {
	if in.held == nil {
		in.held = make(map[uint16]bool)
	}
	in.held[pid] = now
}
