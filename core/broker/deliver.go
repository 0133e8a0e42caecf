package broker

import (
	"slices"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/session"
	"github.com/weir-edge/weir/core/topic"
)

// How much of the log is fetched at a time.
const (
	fetchMessages = 256
	fetchMost     = 1000 // for an uplink with a large window
	fetchBytes    = 256 << 10
)

// debt decides whether the client is served from memory. A live one whose queue
// is full falls behind here: this message and all later ones stay in the log
// until the queue has drained.
func (cl *client) debt() debtor {
	if !cl.connected() {
		return debtor{receiver: cl.receiver}
	}
	if cl.receiver != 0 && !cl.behind && !cl.fits(cl.broker.publication.message.Size()) {
		cl.behind = true
	}
	return debtor{receiver: cl.receiver, live: !cl.behind, hold: cl.patience()}
}

func (cl *client) patience() time.Duration {
	return cl.pace.patience(cl.broker.now, cl.broker.cfg.SpillAfter)
}

// deliver sends a message, or queues it behind others.
func (cl *client) deliver(p *publication, d core.Delivery, live bool) {
	switch {
	case d.Seq != 0 && (!live || !cl.connected()):
		cl.lag()
		return
	case !cl.connected():
		cl.drop(core.DroppedOffline, 1)
		return
	case cl.queue.len() == 0 && cl.ready(d.QoS):
		if large := len(d.Message.Payload) >= largePayload; large && !p.lends() || cl.leaving.Len() > 0 {
			// It is sent from where it is, or may have to wait behind others.
			d.Message, d.Subscriptions = p.keep(), slices.Clone(d.Subscriptions)
		}
		cl.transmit(nil, d)
		return
	case d.Seq == 0 && !cl.fits(d.Message.Size()):
		cl.drop(core.DroppedQueueFull, 1)
		return
	}
	d.Message = p.keep()
	cl.push(d)
}

// lag: a message is in the log, to be fetched.
func (cl *client) lag() {
	if cl.connected() && !cl.behind {
		cl.behind = true
		cl.fetch()
	}
}

// expect: see fetch.
func (cl *client) expect(n int) {
	cl.expected += n
	if cl.expected == 0 && cl.behind {
		cl.fetch()
	}
}

// ready says whether a message can be sent now.
func (cl *client) ready(qos core.QoS) bool {
	if qos == 0 {
		return cl.conn.hasRoom() && cl.leaving.Len() < maxLeaving
	}
	return cl.conn.hasRoom() && cl.outbound().Room() > 0 // [MQTT-4.9.0-2]
}

// pump sends what was waiting for room.
func (cl *client) pump() {
	for cl.connected() && cl.queue.len() > 0 && cl.ready(cl.queue.first().QoS) {
		cl.transmit(nil, cl.pop())
	}
	if cl.behind {
		cl.fetch()
	}
	cl.resumeReplays()
	cl.pumpShares()
}

// fetch asks the log for the next messages. Those of QoS 2 that were appended as
// live and wait to be durable come first: they were published before.
func (cl *client) fetch() {
	if cl.fetching || cl.expected > 0 || !cl.connected() || cl.queue.len() > fetchMessages/4 {
		return
	}
	cl.fetching = true
	cl.broker.store.Fetch(cl.receiver, fetchMessages, fetchBytes)
}

// fetched is the answer. What the client's subscriptions say of a message is
// found out anew: the log keeps the message only.
func (cl *client) fetched(next []core.Delivery, caughtUp bool) {
	if !cl.connected() {
		return
	}
	cl.fetching = false
	if caughtUp {
		cl.behind = false
	}
	for _, d := range next {
		cl.view(&d)
		cl.push(d)
	}
	cl.pump()
}

// view fills in how the client sees a message from the log: by its subscriptions
// as they are now, and as published where none matches any more.
func (cl *client) view(d *core.Delivery) {
	m := d.Message
	d.QoS, d.Retain, d.Subscriptions = 0, false, nil
	cl.eachGrant(m.Topic, func(g grant) {
		d.QoS = max(d.QoS, min(g.options.QoS(), m.QoS))
		d.Retain = d.Retain || m.Retain && g.options.RetainAsPublished()
		if g.id != 0 {
			d.Subscriptions = append(d.Subscriptions, g.id)
		}
	})
	if d.QoS == 0 { // it is owed, so it was granted more once
		d.QoS = m.QoS
	}
}

// eachGrant goes over the client's own subscriptions to a topic. A few are tried
// one by one: the tree would go over those of everybody.
func (cl *client) eachGrant(name string, yield func(grant)) {
	const few = 16
	tree := &cl.broker.subscriptions
	if len(cl.filters) > few {
		tree.Match(name, func(to *endpoint, g grant) {
			if to == &cl.endpoint {
				yield(g)
			}
		})
		return
	}
	for _, filter := range cl.filters {
		if topic.Match(filter, name) {
			g, _ := tree.Get(filter, &cl.endpoint)
			yield(g)
		}
	}
}

// transmit is the one place where a PUBLISH goes out: of the client's own
// subscriptions, or from a share. The order of effects for
// QoS 1: send → PUBACK → debt paid. For QoS 2 to a durable session:
//
//  1. the message is in the log already; record its packet id
//  2. synced → PUBLISH
//  3. PUBREC → record "released", pay the debt
//  4. synced → PUBREL
//  5. PUBCOMP → forget the packet id, lazily
func (cl *client) transmit(from *share, d core.Delivery) {
	b := cl.broker
	m := d.Message
	owed := cl.receiver
	if from != nil {
		owed = from.receiver
	}
	switch {
	case m.Expired(b.stamp) && !cl.outbound().Committed(owed, d.Seq): // [MQTT-3.3.2-5]
		cl.discard(owed, d, core.DroppedExpired)
		return
	case !cl.mayReceive(m.Topic):
		cl.discard(owed, d, core.DroppedDenied)
		return
	case !cl.conn.sizeFits(d): // [MQTT-3.1.2-25]
		cl.discard(owed, d, core.DroppedTooLarge)
		return
	case d.QoS == 0:
		cl.leave(leaving{Delivery: d})
		b.pay(owed, d.Seq) // a member of a share that was granted less than others
		return
	}
	started := cl.outbound().Start(owed, d)
	d.QoS = started.QoS
	if from != nil && !started.Released {
		cl.lend(from, started.PacketID, d)
	}
	switch {
	case started.Released: // the client has it
		b.pay(owed, d.Seq)
	case started.Save: // 1, 2
		cl.transmitSaved(owed, d, started)
	default:
		cl.pace.sent(uint64(started.PacketID), b.now)
		cl.leave(leaving{Delivery: d, pid: started.PacketID, dup: started.Dup})
	}
}

func (cl *client) transmitSaved(owed core.ReceiverID, d core.Delivery, started session.Started) {
	c := cl.conn
	ticket := cl.broker.record(core.OutgoingSaved{Outgoing: core.Outgoing{
		Owner: cl.receiver, PacketID: started.PacketID, Receiver: owed, Seq: d.Seq,
	}})
	cl.leaving.Push(ticket, leaving{Delivery: d, pid: started.PacketID, dup: started.Dup, saved: true})
	cl.broker.after(ticket, func() {
		if c == cl.conn && c.phase == open { // otherwise Start will ask again
			cl.leaving.Synced(ticket)
			cl.leaveDue()
		}
	})
}

// leaving is a PUBLISH that has its packet id and waits to be sent: for its own
// packet id to be on disk, or behind one of its flow that waits for that. Otherwise
// a message of QoS 1 would overtake one of QoS 2 here.
type leaving struct {
	core.Delivery
	pid   uint16
	dup   bool
	saved bool // its packet id is on disk by the time that it leaves
}

// maxLeaving bounds what of QoS 0 may wait so; the rest is bounded by its window.
const maxLeaving = 256

// leave sends a PUBLISH, unless an earlier one of its flow waits.
func (cl *client) leave(l leaving) {
	if cl.leaving.Len() > 0 {
		m := l.Message
		for earlier := range cl.leaving.All() {
			if e := earlier.Message; e.Topic == m.Topic && e.Publisher == m.Publisher {
				cl.leaving.Push(0, l)
				return
			}
		}
	}
	cl.conn.sendPublish(l.Delivery, l.pid, l.dup)
}

// leaveDue sends what waits for nothing any more.
func (cl *client) leaveDue() {
	for l, ok := cl.leaving.Pop(); ok; l, ok = cl.leaving.Pop() {
		if l.saved {
			cl.out.Saved(l.pid)
		}
		if !cl.mayReceive(l.Message.Topic) { // the rules have changed meanwhile
			cl.withhold(l)
			continue
		}
		cl.conn.sendPublish(l.Delivery, l.pid, l.dup)
	}
	cl.pump()
}

// sendPublish encodes a message.
func (c *conn) sendPublish(d core.Delivery, pid uint16, dup bool) {
	p := c.published(d)
	p.PacketID, p.Dup = pid, dup
	if c.aliasesOut != nil {
		alias, known := c.aliasesOut.Assign(p.Topic)
		if p.Alias = alias; known {
			p.Topic = ""
		}
	}
	if len(d.Message.Payload) >= largePayload {
		c.out = c.broker.encoder.AppendHeader(c.output(), c.version, p)
		c.tail = d.Message.Payload
		if p := &c.broker.publication; d.Message == p.message && p.lends() {
			c.borrow(p.from)
		}
	} else {
		c.out = c.broker.encoder.AppendPublish(c.output(), c.version, p)
	}
	c.countOutput()
	c.broker.counters.messagesSent++
	c.broker.counters.payloadSent += uint64(len(d.Message.Payload))
	c.broker.counters.packetsSent++
	c.broker.touch(c)
}

// published is a delivery as the codec wants it.
func (c *conn) published(d core.Delivery) session.Publication {
	name, _ := c.unmounted(d.Message.Topic)
	p := session.Publication{
		Message: d.Message, Topic: name, QoS: d.QoS, Retain: d.Retain, Subscriptions: d.Subscriptions,
		Mount: c.listener.MountPoint,
	}
	if d.Message.Expiry > 0 { // what is left [MQTT-3.3.2-6]
		p.Expiry = max(d.Message.Expiry-c.broker.stamp.Since(d.Message.Received), 1)
	}
	return p
}

// sizeFits says whether the peer takes a packet of that size [MQTT-3.1.2-24].
func (c *conn) sizeFits(d core.Delivery) bool {
	const header, alias = 1 + 4 + 2 + 2 + 4, 3
	if c.maxPacket >= maxPacketSize || d.Message.Size()+header+alias+6*len(d.Subscriptions) <= c.maxPacket {
		return true
	}
	b := c.broker
	b.measure = b.encoder.AppendPublish(b.measure[:0], c.version, c.published(d))
	return len(b.measure)+alias <= c.maxPacket
}

// discard pays for a message that the client will not get, as if it had been
// delivered.
func (cl *client) discard(owed core.ReceiverID, d core.Delivery, why core.Reason) {
	cl.drop(why, 1)
	cl.broker.pay(owed, d.Seq)
}
