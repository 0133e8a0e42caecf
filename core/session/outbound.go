package session

import (
	"cmp"
	"iter"
	"slices"

	"github.com/weir-edge/weir/core"
)

// Outbound is the sending half of a session: it gives packet ids to messages of
// QoS 1 and 2 and follows each until its last acknowledgement, through any number
// of connections.
type Outbound struct {
	owner core.ReceiverID // whose packet ids these are; 0: nothing is durable

	// A flight lives in slots[pid & (len-1)]; len is a power of two. Ids are given
	// so that no two collide: then none is looked for, and growing keeps them apart.
	slots []flight
	count int
	last  uint16 // the packet id given last
	recs  uint64 // PUBRECs so far

	// Of the present connection.
	window  int
	waiting int // flights of earlier connections that were not started again yet
	orphans int // see pass

	// known finds the flights of earlier connections, and says 0 for those of QoS 2
	// that ended since: their message may be on its way from the log for the last
	// time. What is started again leaves it, so that QoS 1 finds it empty.
	known map[place]uint16
}

// Sent names the message that an acknowledgement was about.
type Sent struct {
	Receiver core.ReceiverID
	Seq      core.Seq
	PacketID uint16
	// Saved: the packet id is on record. When the flight ends record OutgoingDone.
	Saved bool
}

// Started says how a message is to be sent.
type Started struct {
	PacketID uint16
	QoS      core.QoS // at which it is to be sent: that at which it was begun
	Dup      bool     // it was sent before under this packet id [MQTT-3.3.1-1]
	Save     bool     // record OutgoingSaved, wait for the sync, call Saved, then send
	Known    bool     // it is in flight since an earlier connection
	Released bool     // the peer has it: pay the debt again and send no PUBLISH
}

// Step is what an acknowledgement asks of the owner.
type Step byte

// The steps.
const (
	Unknown Step = iota // no such packet id is in that state
	Finish              // over: pay the debt (again: it costs nothing); record OutgoingDone if Saved
	Save                // pay the debt; record OutgoingSaved with Released, when synced call Released, then send PUBREL
	Release             // pay the debt and send PUBREL
	Repeat              // send PUBREL again
	Wait                // nothing: the release is on its way to the disk
)

// NewOutbound is a sending half whose packet ids belong to owner. With owner 0
// nothing of it is durable.
func NewOutbound(owner core.ReceiverID) *Outbound { return &Outbound{owner: owner} }

// Restore puts a flight back at start, before the first Connect.
func (o *Outbound) Restore(out core.Outgoing) {
	f := flight{
		place: place{out.Receiver, out.Seq},
		pid:   out.PacketID,
		qos:   core.ExactlyOnce,
		step:  sent,
	}
	if out.Released {
		f.step = released
	}
	for len(o.slots) == 0 || o.slot(f.pid).step != free && o.slot(f.pid).pid != f.pid {
		o.grow()
	}
	s := o.slot(f.pid)
	if s.step == free {
		o.count++
	}
	*s = f
	o.last = max(o.last, f.pid)
}

// Connect begins a new connection. window is the peer's Receive Maximum. When
// the peer has kept no session all flights are forgotten: those released are
// over, the others will be sent as new. forgotten are the packet ids on record
// among them, for which OutgoingDone is to be recorded.
func (o *Outbound) Connect(window int, sessionPresent bool) (forgotten []uint16) {
	o.window = window
	o.waiting, o.orphans = 0, 0
	clear(o.known)
	if !sessionPresent {
		return o.forget()
	}
	for i := range o.slots {
		f := &o.slots[i]
		if f.step == free {
			continue
		}
		if f.seq == 0 && f.step < releasing { // of no log: it will not come again
			*f = flight{}
			o.count--
			continue
		}
		o.remember(f)
	}
	return nil
}

// remember makes a flight of an earlier connection known in this one.
func (o *Outbound) remember(f *flight) {
	f.old = f.step < releasing
	if f.old {
		o.waiting++
	}
	if f.seq == 0 {
		return
	}
	if o.known == nil {
		o.known = make(map[place]uint16, o.count)
	}
	o.known[f.place] = f.pid
}

func (o *Outbound) forget() (saved []uint16) {
	for i := range o.slots {
		if f := &o.slots[i]; f.step != free && o.saved(f) {
			saved = append(saved, f.pid)
		}
	}
	clear(o.slots)
	o.count = 0
	return saved
}

// Releases are the packet ids whose PUBREL is to be sent again on a new
// connection, in the order in which their PUBRECs came [MQTT-4.6.0-4]. After a
// restart that order is not known, and the order of the messages stands in for it.
func (o *Outbound) Releases() iter.Seq[uint16] {
	var due []flight
	for _, f := range o.slots {
		if f.step == released {
			due = append(due, f)
		}
	}
	slices.SortFunc(due, func(a, b flight) int {
		return cmp.Or(cmp.Compare(a.rec, b.rec), cmp.Compare(a.seq, b.seq))
	})
	return func(yield func(uint16) bool) {
		for _, f := range due {
			if !yield(f.pid) {
				return
			}
		}
	}
}

// Inflight counts the messages that are not acknowledged to the end.
func (o *Outbound) Inflight() int { return o.count }

// Active counts those of them that take up the window of this connection. A
// PUBREL that is sent again counts too: some peers count it.
func (o *Outbound) Active() int { return o.count - o.waiting - o.orphans }

// Room is how many more messages of QoS 1 and 2 may be started now
// [MQTT-3.3.4-9].
func (o *Outbound) Room() int {
	if o.count >= maxPacketID {
		return 0
	}
	return max(0, o.window-o.Active())
}

// Resize changes the window within a connection.
func (o *Outbound) Resize(window int) { o.window = window }

// Head is the first message that was sent on this connection and has no
// acknowledgement yet. It takes its time: for when a connection has ended.
func (o *Outbound) Head() (head Sent, ok bool) {
	var oldest uint16
	for i := range o.slots {
		f := &o.slots[i]
		if f.step != sent || f.old {
			continue
		}
		if age := o.last - f.pid; !ok || age > oldest { // ids go round, so age does too
			head, oldest, ok = o.sent(f), age, true
		}
	}
	return head, ok
}

// Committed says whether a message of QoS 2 was begun on an earlier connection, so that
// it must be brought to its end [MQTT-4.3.3-7].
func (o *Outbound) Committed(receiver core.ReceiverID, seq core.Seq) bool {
	pid, ok := o.known[place{receiver, seq}]
	f := o.find(pid)
	return ok && (f == nil || f.qos == core.ExactlyOnce)
}

// Knows says whether a message is in flight since an earlier connection, so that
// it must be brought to its end.
func (o *Outbound) Knows(receiver core.ReceiverID, seq core.Seq) bool {
	_, ok := o.known[place{receiver, seq}]
	return ok
}

// Begun are the messages of QoS 2 that are in a log and may have reached the peer.
func (o *Outbound) Begun() iter.Seq[Sent] {
	return func(yield func(Sent) bool) {
		for i := range o.slots {
			f := &o.slots[i]
			if f.step != free && f.qos == core.ExactlyOnce && f.seq != 0 && !yield(o.sent(f)) {
				return
			}
		}
	}
}

// Releasing is the message whose release under pid waits to be synced.
func (o *Outbound) Releasing(pid uint16) (Sent, bool) {
	if f := o.find(pid); f != nil && f.step == releasing {
		return o.sent(f), true
	}
	return Sent{}, false
}

// Unused is a packet id for a SUBSCRIBE or UNSUBSCRIBE [MQTT-2.2.1-3]. As ids go
// round, no message gets it before the answer is long there.
func (o *Outbound) Unused() uint16 {
	f := o.next()
	pid := f.pid
	*f = flight{}
	o.count--
	return pid
}

// Start gives a delivery of QoS 1 or 2 its packet id. The owner has made sure
// that there is Room, and starts the deliveries of one receiver in their order.
func (o *Outbound) Start(receiver core.ReceiverID, d core.Delivery) Started {
	at := place{receiver, d.Seq}
	if len(o.known) > 0 {
		if pid, ok := o.known[at]; ok {
			return o.restart(pid)
		}
		o.pass(at)
	}
	f := o.next()
	f.place, f.qos, f.step = at, d.QoS, sent
	if o.saved(f) {
		f.step = saving
	}
	return Started{PacketID: f.pid, QoS: f.qos, Save: f.step == saving}
}

// restart starts a flight of an earlier connection again, under its packet id and at
// its QoS, whatever the receiver has been granted since [MQTT-4.4.0-1].
func (o *Outbound) restart(pid uint16) Started {
	f := o.find(pid)
	if f == nil || f.step >= releasing {
		return Started{PacketID: pid, Known: true, Released: true}
	}
	delete(o.known, f.place)
	if f.old {
		f.old = false
		o.waiting--
	}
	return Started{PacketID: pid, QoS: f.qos, Dup: f.step == sent, Save: f.step == saving, Known: true}
}

// pass notices flights that will never come again: the message at is next, so
// what was before it is gone from the log (expired, dropped). One of QoS 1 is
// over. One of QoS 2 may have left its packet id with the peer, which would take
// the next message under that id for a repetition; so the id stays in use until
// the next connection, whose Releases end it.
func (o *Outbound) pass(at place) {
	if o.waiting == 0 {
		return
	}
	for was, pid := range o.known {
		f := o.find(pid)
		if was.receiver != at.receiver || was.seq >= at.seq || f == nil || !f.old {
			continue
		}
		if f.qos == core.AtLeastOnce {
			o.end(f)
			continue
		}
		delete(o.known, was)
		f.step, f.old = released, false
		o.recs++
		f.rec = o.recs
		o.waiting--
		o.orphans++
	}
}

// Saved is told when the save that Start asked for is synced, just before the
// PUBLISH leaves.
func (o *Outbound) Saved(pid uint16) {
	if f := o.find(pid); f != nil && f.step == saving {
		f.step = sent
	}
}

// Puback ends a message of QoS 1, whatever its reason code says. A server that
// answers QoS 2 with PUBACK (RabbitMQ 3 does) has taken the message too.
func (o *Outbound) Puback(pid uint16) (Sent, bool) {
	f := o.find(pid)
	if f == nil || f.step != sent {
		return Sent{}, false
	}
	return o.end(f), true
}

// Pubrec is the first acknowledgement of a message of QoS 2; failed when its
// reason code is an error, which ends the message [MQTT-4.3.3-4].
func (o *Outbound) Pubrec(pid uint16, failed bool) (Sent, Step) {
	f := o.find(pid)
	switch {
	case f == nil || f.qos != core.ExactlyOnce || f.step == saving:
		return Sent{}, Unknown
	case f.step == released:
		return o.sent(f), Repeat
	case f.step == releasing:
		return o.sent(f), Wait
	case failed:
		return o.end(f), Finish
	}
	o.recs++
	f.rec = o.recs
	if f.old {
		f.old = false
		o.waiting--
	}
	if o.saved(f) {
		f.step = releasing
		return o.sent(f), Save
	}
	f.step = released
	return o.sent(f), Release
}

// Released is told when the release that Pubrec asked to save is synced. It says
// whether PUBREL is to be sent now, if there is a connection: when there is none,
// Releases will give it.
func (o *Outbound) Released(pid uint16) bool {
	f := o.find(pid)
	if f == nil || f.step != releasing {
		return false
	}
	f.step = released
	return true
}

// Pubcomp ends a message of QoS 2.
func (o *Outbound) Pubcomp(pid uint16) (Sent, Step) {
	f := o.find(pid)
	if f == nil || f.step != released {
		return Sent{}, Unknown
	}
	return o.end(f), Finish
}

// end forgets a flight.
func (o *Outbound) end(f *flight) Sent {
	s := o.sent(f)
	if f.old {
		o.waiting--
	}
	if len(o.known) > 0 {
		o.ended(f)
	}
	*f = flight{}
	o.count--
	return s
}

func (o *Outbound) ended(f *flight) {
	if _, ok := o.known[f.place]; !ok {
		return
	}
	if f.qos == core.AtLeastOnce {
		delete(o.known, f.place)
		return
	}
	o.known[f.place] = 0
}

func (o *Outbound) sent(f *flight) Sent {
	return Sent{Receiver: f.receiver, Seq: f.seq, PacketID: f.pid, Saved: o.saved(f)}
}

// saved says whether the packet id of f is on record, or is to be.
func (o *Outbound) saved(f *flight) bool {
	return o.owner != 0 && f.qos == core.ExactlyOnce && f.seq != 0
}
