package session

import "github.com/weir-edge/weir/core"

// place is where a message is owed.
type place struct {
	receiver core.ReceiverID
	seq      core.Seq
}

// flight is one message between its first sending and its last acknowledgement.
type flight struct {
	place
	rec  uint64 // the place of its PUBREC among all, 0: not known (restored)
	pid  uint16
	qos  core.QoS
	step flightStep
	old  bool // not started on the present connection
}

type flightStep byte

const (
	free      flightStep = iota
	saving               // its packet id is not durable yet, so nothing was sent
	sent                 // the PUBLISH may have reached the peer
	releasing            // PUBREC has come, which is not durable yet
	released             // only PUBREL and PUBCOMP are left
)

const (
	maxPacketID = 1<<16 - 1
	minSlots    = 8
)

func (o *Outbound) slot(pid uint16) *flight { return &o.slots[int(pid)&(len(o.slots)-1)] }

func (o *Outbound) find(pid uint16) *flight {
	if len(o.slots) == 0 || pid == 0 {
		return nil
	}
	if f := o.slot(pid); f.step != free && f.pid == pid {
		return f
	}
	return nil
}

// next takes a free slot under the next packet id that falls into one. Ids go
// round instead of being used again at once: an acknowledgement that a peer sends
// twice must not end another message.
func (o *Outbound) next() *flight {
	if o.count >= len(o.slots) && len(o.slots) <= maxPacketID {
		o.grow()
	}
	for {
		o.last++
		if o.last == 0 {
			o.last = 1 // packet ids are not zero [MQTT-2.2.1-3]
		}
		if f := o.slot(o.last); f.step == free {
			o.count++
			*f = flight{pid: o.last}
			return f
		}
	}
}

// grow doubles the slots. Ids that differ in their low bits still do with one bit more.
func (o *Outbound) grow() {
	old := o.slots
	o.slots = make([]flight, max(minSlots, 2*len(old)))
	for _, f := range old {
		if f.step != free {
			*o.slot(f.pid) = f
		}
	}
}
