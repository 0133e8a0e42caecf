package bridge

import (
	"fmt"
	"strings"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/session"
	"github.com/weir-edge/weir/core/topic"
)

// parcel is a message on its way out.
type parcel struct {
	outlet *outlet
	d      core.Delivery // with the QoS that it is sent with
	pid    uint16
	dup    bool
}

// How much is taken from the queues at a time.
const (
	takeMost = 32       // messages of one rule, before it is another's turn
	fillMost = 64 << 10 // bytes in a buffer that waits for the writer
	holdMost = 2000     // messages that wait for the sync of another
)

// pump takes new messages from the queues: those of the highest priority first,
// rules of the same priority by turns.
func (l *link) pump() {
	if l.stopping || l.err != nil || l.alone && !l.pinged.IsZero() {
		return
	}
	for _, rank := range l.b.ranks {
		for more := true; more; {
			more = false
			l.turns++
			for i := range rank {
				if l.take(rank[(i+l.turns)%len(rank)]) {
					more = true
				}
			}
		}
	}
}

// take sends some messages of a rule, and says whether there may be more that can
// go now.
func (l *link) take(o *outlet) bool {
	n := l.room(o)
	switch {
	case n <= 0 || o.paused.Load():
		return false
	case o.beside != nil:
		return l.takeBeside(o, n) >= n
	}
	return l.takeFrom(o, n) >= n
}

// takeFrom sends at most n messages of a queue. used is how many of n that took: none
// is sent for those that wait for their time or are dropped.
func (l *link) takeFrom(o *outlet, n int) (used int) {
	if n <= 0 {
		return 0
	}
	o.taken = o.queue.Take(o.taken[:0], n)
	sent := 0
	for _, d := range o.taken {
		if l.thin(o, d) {
			l.send(o, d)
			sent++
		}
	}
	if used = len(o.taken); used > 0 {
		late := l.stamp.Since(o.taken[used-1].Message.Received) > lateAfter
		l.late = late || l.late && l.moved > 0
	}
	clear(o.taken)
	if used < n { // only then the newest of a topic is known
		ripe := l.ripe(o, n-used)
		sent, used = sent+ripe, used+ripe
	}
	l.b.drain.spend(sent)
	l.moved += sent
	return used
}

// thin says whether a message of a rule goes now. What has a packet id was sent
// before, and must be ended.
func (l *link) thin(o *outlet, d core.Delivery) bool {
	if o.thin == nil || d.Message.Publisher == l.b.publisher || d.Message.Expired(l.stamp) {
		return true // or send drops it
	}
	state := d.Retain && o.rule.Retain == Keep && l.g.retain
	verdict, older := o.thin.judge(d, state, l.b.out.Knows(o.receiver, d.Seq), l.now, l.stamp)
	if older.Message != nil {
		o.drop(older.Seq, core.DroppedSuperseded)
	}
	if verdict == dropped {
		o.drop(d.Seq, core.DroppedDeadband)
	}
	return verdict == goes
}

// ripe sends at most n messages that have waited for their time.
func (l *link) ripe(o *outlet, n int) (sent int) {
	if o.thin == nil {
		return 0
	}
	for ; sent < n; sent++ {
		d, ok := o.thin.next(l.now, l.stamp)
		if !ok {
			break
		}
		l.send(o, d)
	}
	return sent
}

// room is how many messages of a rule may be taken now.
func (l *link) room(o *outlet) int {
	if len(l.filling) >= fillMost {
		l.full = true
	}
	if len(l.filling) >= fillMost || l.publishes.Len() >= holdMost || l.b.asides.pending >= maxAsides {
		return 0
	}
	n := min(takeMost, max(1, (fillMost-len(l.filling))/o.usual), l.b.drain.left(l.now))
	if o.rule.QoS > core.AtMostOnce && l.g.maxQoS > core.AtMostOnce {
		n = min(n, l.b.out.Room()) // any of them may take up the window [MQTT-3.3.4-9]
	}
	return n
}

// send starts a message on its way. The order of effects for QoS 1:
//
//  1. it is in the queue, and so in the log, for as long as it is not paid
//  2. PUBLISH
//  3. PUBACK → paid
//
// and for QoS 2:
//
//  1. the same
//  2. its packet id is recorded; synced → PUBLISH
//  3. PUBREC → "released" is recorded, then it is paid
//  4. synced → PUBREL
//  5. PUBCOMP → forgotten, lazily
//
// When the connection is lost at any point, the queue gives the message again
// (unless it is paid), and Start knows how far it had come.
func (l *link) send(o *outlet, d core.Delivery) {
	b, m := l.b, d.Message
	d.QoS = min(d.QoS, o.rule.QoS, l.g.maxQoS) // [MQTT-3.2.2-11]
	switch {
	case l.circles(m) && !b.out.Knows(o.receiver, d.Seq):
		l.halt(o, d.Seq, m)
	case m.Expired(l.stamp) && !b.out.Knows(o.receiver, d.Seq): // [MQTT-3.3.2-5] [MQTT-4.3.3-7]
		o.drop(d.Seq, core.DroppedExpired)
	case b.condemned[place{o.receiver, d.Seq}] != "":
		at := place{o.receiver, d.Seq}
		b.quarantine(o, d.Seq, m, core.DroppedRejected, b.condemned[at])
		delete(b.condemned, at)
	case !l.fits(o, d): // [MQTT-3.1.2-24]
		b.quarantine(o, d.Seq, m, core.DroppedTooLarge, fmt.Sprintf("the upstream takes %d bytes", l.g.maxPacket))
	case l.unfit(o, m) != "":
		b.quarantine(o, d.Seq, m, core.DroppedUnfit, l.unfit(o, m))
	default:
		b.cfg.Seen.add(property(m, propID)) // a copy that comes in later is one
		l.begin(o, d)
	}
}

func (l *link) begin(o *outlet, d core.Delivery) {
	if d.QoS == core.AtMostOnce {
		l.leave(parcel{outlet: o, d: d}, 0)
		return
	}
	l.start(o, d)
}

func (l *link) start(o *outlet, d core.Delivery) {
	s := l.b.out.Start(o.receiver, d)
	d.QoS = min(s.QoS, l.g.maxQoS) // as it was begun, unless the upstream takes that no more
	if d.Seq != 0 {
		l.b.flying.add(s.PacketID, d.Message)
	}
	p := parcel{outlet: o, d: d, pid: s.PacketID, dup: s.Dup}
	switch {
	case s.Released: // the upstream has it
		o.owe(d.Seq)
	case s.Save:
		l.changes = append(l.changes, core.OutgoingSaved{Outgoing: core.Outgoing{
			Owner: l.b.owner, PacketID: s.PacketID, Receiver: o.receiver, Seq: d.Seq,
		}})
		l.leave(p, l.ticket())
	default:
		l.leave(p, 0)
	}
}

// leave encodes a message, or puts it behind those that wait for a sync, so that
// order is kept.
func (l *link) leave(p parcel, t core.Ticket) {
	if t == 0 && l.publishes.Len() == 0 {
		l.encode(p)
		return
	}
	l.publishes.Push(t, p)
}

// release sends what was waiting for a sync.
func (l *link) release() {
	for pid, ok := l.b.releases.Pop(); ok; pid, ok = l.b.releases.Pop() {
		if l.b.out.Released(pid) {
			l.appendAck(packet.PUBREL, pid, packet.Success)
		}
	}
	for p, ok := l.publishes.Pop(); ok; p, ok = l.publishes.Pop() {
		l.b.out.Saved(p.pid)
		l.encode(p)
	}
	for c, ok := l.comps.Pop(); ok; c, ok = l.comps.Pop() {
		l.appendAck(packet.PUBCOMP, c.pid, c.reason)
	}
}

func (l *link) encode(p parcel) {
	n := len(l.filling)
	out := l.publication(p)
	out.Topic, out.Alias = l.topic(p)
	l.filling = l.b.encoder.AppendPublish(l.filling, l.g.version, out)
	p.outlet.usual += (len(l.filling) - n - p.outlet.usual) / 8
	p.outlet.usual = max(p.outlet.usual, 1)
	switch {
	case p.pid == 0: // it is sent, and that is all it asks for
		p.outlet.tally.messages.Add(1)
		p.outlet.owe(p.d.Seq)
	case l.sampled == 0:
		l.sampled, l.sampledAt = p.pid, l.now
	}
}

// topic is that under which a message goes, and its alias.
func (l *link) topic(p parcel) (string, uint16) {
	local := named{p.outlet, p.d.Message.Topic}
	if alias := l.aliases.known(local); alias > 0 {
		return "", alias
	}
	remote := p.outlet.remote(&l.b.cfg, p.d.Message)
	return remote, l.aliases.give(local, remote)
}

// publication is a message as the upstream gets it, but for its topic.
func (l *link) publication(p parcel) session.Publication {
	o, m := p.outlet, p.d.Message
	out := session.Publication{
		Message:  m,
		QoS:      p.d.QoS,
		Retain:   p.d.Retain && o.rule.Retain == Keep && l.g.retain, // [MQTT-3.2.2-14]
		Dup:      p.dup,
		PacketID: p.pid,
	}
	if l.g.version == packet.V5 {
		l.user = l.b.stamps(l.user[:0], &o.rule, p.d, p.dup, l.stamp)
		out.User = l.user
		if m.Expiry > 0 { // what is left [MQTT-3.3.2-6]
			out.Expiry = max(m.Expiry-l.stamp.Since(m.Received), 1)
		}
	}
	return out
}

// fits says whether a message is small enough for the upstream. Only where the
// estimate does not settle it the bytes are counted.
func (l *link) fits(o *outlet, d core.Delivery) bool {
	const stamps = 256
	limit := l.g.maxPacket
	if limit == 0 || o.topic == nil && d.Message.Size()+len(o.rule.RemotePrefix)+len(l.b.cfg.Gateway)+stamps <= limit {
		return true
	}
	p := l.publication(parcel{outlet: o, d: d, pid: 1, dup: d.Again})
	p.Topic = o.remote(&l.b.cfg, d.Message)
	l.measure = l.b.encoder.AppendPublish(l.measure[:0], l.g.version, p)
	return len(l.measure) <= limit
}

// remote is the upstream's name of a local topic.
func (o *outlet) remote(c *Config, m *core.Message) string {
	if presets[c.Preset].azure {
		return azureTopic(c.ClientID, o.name(c, m.Topic), m)
	}
	return o.name(c, m.Topic)
}

func (o *outlet) name(c *Config, topic string) string {
	r := &o.rule
	if o.topic != nil {
		return o.topic.fill(c, r.Filter, strings.TrimPrefix(topic, r.LocalPrefix))
	}
	if r.LocalPrefix == r.RemotePrefix {
		return topic
	}
	return r.RemotePrefix + strings.TrimPrefix(topic, r.LocalPrefix)
}

// unfit says why the upstream cannot have a topic; "" when it can.
func (l *link) unfit(o *outlet, m *core.Message) string {
	p := &l.b.preset
	if o.topic == nil && p.forbidden == "" && p.maxLevels == 0 && p.maxTopic == 0 {
		return ""
	}
	name := o.remote(&l.b.cfg, m)
	if o.topic != nil && topic.ValidName(name) != nil {
		return fmt.Sprintf("the template makes the topic %q of it, which is none", name)
	}
	return p.unfit(name)
}

// owe notes a payment, which is made at the end of the turn.
func (o *outlet) owe(seq core.Seq) {
	if seq != 0 {
		o.paid = append(o.paid, seq)
	}
}

func (o *outlet) pay() {
	if len(o.paid) > 0 {
		o.queue.Paid(o.paid...)
		o.paid = o.paid[:0]
	}
}

// forgetWaiting: the connection is lost, and with it what waits and is in no log.
func (o *outlet) forgetWaiting() {
	if o.thin != nil {
		o.tally.dropMany(core.DroppedOffline, o.thin.forget())
	}
}

// drop gives up a message, as if it had been delivered.
func (o *outlet) drop(seq core.Seq, why core.Reason) {
	o.tally.drop(why)
	o.owe(seq)
}
