package broker

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/session"
	"github.com/weir-edge/weir/core/topic"
)

// handlePublish takes a message from a client.
func (c *conn) handlePublish(h packet.Header, body []byte) error {
	b := c.broker
	p := &b.publish
	if h.Padded && c.version >= packet.V5 {
		return &packet.Error{Reason: packet.MalformedPacket, Clause: "MQTT-1.5.5-1", Text: "remaining length not in its shortest form"}
	}
	if err := p.Parse(h.Flags, body, c.version); err != nil {
		return err
	}
	defer c.counted(len(p.Payload))
	if err := c.message(p); err != nil {
		return err
	}
	if b.flowsFull(b.publication.message) {
		c.hold()
		return nil
	}
	if p.QoS == 0 {
		c.publish0()
		return nil
	}
	switch c.client.inbound().Publish(p.PacketID, p.QoS) {
	case session.TooMany: // [MQTT-3.3.4-7]
		return &packet.Error{Reason: packet.ReceiveMaximumExceeded, Clause: "MQTT-3.3.4-7", Text: "more messages than the receive maximum"}
	case session.Repeated:
		c.repeated(p.PacketID)
		return nil
	}
	switch {
	case c.refusal.covers(b.publication.message, b.now):
		b.drop(core.DroppedStoreFull, 1)
		c.refuseMessage(ackOf(p.QoS), p.PacketID, packet.QuotaExceeded)
	case b.retainedFull(b.publication.message):
		c.unretained(ackOf(p.QoS), p.PacketID)
	case p.QoS == core.AtLeastOnce:
		c.publish1(p.PacketID)
	default:
		c.publish2(p.PacketID)
	}
	return nil
}

// counted counts a PUBLISH, if it is not to come once more.
func (c *conn) counted(payload int) {
	if c.waits != nil {
		return
	}
	c.broker.counters.messagesReceived++
	c.broker.counters.payloadReceived += uint64(payload)
	c.paced()
}

// ackOf is the packet that answers a PUBLISH.
func ackOf(qos core.QoS) packet.Type {
	if qos == core.AtLeastOnce {
		return packet.PUBACK
	}
	return packet.PUBREC
}

// message makes the broker's publication from p, which stays in the input buffer.
func (c *conn) message(p *packet.Publish) error {
	name := alias(p.Topic)
	m := &c.broker.scratch
	*m = core.Message{}
	if props := p.Properties; props != nil {
		if props.SubscriptionIDs != nil { // [MQTT-3.3.4-6]
			return &packet.Error{Reason: packet.ProtocolError, Clause: "MQTT-3.3.4-6", Text: "subscription identifier from a client"}
		}
		resolved, err := c.resolve(name, props)
		if err != nil {
			return err
		}
		name = resolved
		m.Properties, m.Expiry = c.mountedProperties(session.Properties(props)), session.Expiry(props)
	}
	if topic.Levels(name) > topic.MaxLevels {
		return &packet.Error{Reason: packet.TopicNameInvalid, Text: "topic with too many levels"}
	}
	m.Topic, m.Payload, m.QoS, m.Retain = c.mounted(name), p.Payload, p.QoS, p.Retain
	if c.overlong(m) {
		return &packet.Error{Reason: packet.TopicNameInvalid, Text: "topic too long below the mount point"}
	}
	m.Publisher, m.Received, m.Promise = c.client.id, c.broker.stamp, c.listener.Promise
	if c.bridge && c.client.fetches(m.Topic) {
		m.Hops = core.HopsUnknown
	}
	c.broker.begin(m, false)
	if c.whole && c.listener.MountPoint == "" { // otherwise the topic lies elsewhere
		c.broker.publication.from = c
	}
	return nil
}

// resolve applies a topic alias.
func (c *conn) resolve(name string, props *packet.Properties) (string, error) {
	if props.TopicAlias == nil {
		return name, nil
	}
	if c.aliasesIn == nil {
		c.aliasesIn = session.NewAliasesIn(maxAliases)
	}
	known, ok := c.aliasesIn.Resolve(*props.TopicAlias, []byte(name))
	switch {
	case ok:
		return known, nil
	case name == "" && *props.TopicAlias <= maxAliases: // [MQTT-3.3.2-7]
		return "", &packet.Error{Reason: packet.ProtocolError, Text: "topic alias that was never set"}
	default: // [MQTT-3.3.2-9]
		return "", &packet.Error{Reason: packet.TopicAliasInvalid, Clause: "MQTT-3.3.2-9", Text: "topic alias beyond the maximum"}
	}
}

// barred says why the client may not publish the present publication; Success
// when it may. Topics with $ are the broker's own.
func (c *conn) barred() packet.Reason {
	m := c.broker.publication.message
	name := m.Topic
	switch {
	case m.Properties != nil && m.Properties.UTF8Payload && !utf8.Valid(m.Payload): // section 3.3.2.3.2
		return packet.PayloadFormatInvalid
	case strings.HasPrefix(name, "$"):
		return packet.NotAuthorized
	case !c.client.may(Publish, name):
		return packet.NotAuthorized
	}
	return packet.Success
}

// barredReason is the word of the counters for what barred says.
func barredReason(r packet.Reason) core.Reason {
	if r == packet.PayloadFormatInvalid {
		return core.DroppedRejected
	}
	return core.DroppedDenied
}

func (c *conn) publish0() {
	if r := c.barred(); r != packet.Success {
		c.bar(r)
		return
	}
	if c.broker.retainedFull(c.broker.publication.message) {
		c.broker.drop(core.DroppedRetainedFull, 1)
		return
	}
	// Nobody is told, so an error is only counted, which take has done.
	_, _ = c.broker.take()
}

// publish1 is QoS 1 in. The order of effects:
//
//  1. authorise
//  2. route, and append to the log for every durable receiver (take)
//  3. deliver onwards at once (take)
//  4. all debts paid, or written and synced
//  5. PUBACK, in the order in which the PUBLISHes came
func (c *conn) publish1(pid uint16) {
	if r := c.barred(); r != packet.Success { // 1
		c.denied(packet.PUBACK, pid, r)
		return
	}
	if err := c.recordable(nil); err != nil {
		c.unkept(packet.PUBACK, pid, err)
		return
	}
	wait, err := c.broker.take() // 2, 3
	if err != nil {
		c.unkept(packet.PUBACK, pid, err)
		return
	}
	if c.listener.Promise == core.PromiseMemory {
		wait = promise{} // nor does it wait for its retained state
	}
	c.acknowledge(packet.PUBACK, pid, c.outcome(), wait) // 4, 5
}

// publish2 is QoS 2 in. The order of effects:
//
//  1. authorise
//  2. route; append to the log for every durable receiver, to be written with the
//     next group commit, and with it that this packet id is held
//  3. written and synced
//  4. PUBREC, then deliver onwards
//  5. PUBREL: that the packet id is released is written and synced, then PUBCOMP
func (c *conn) publish2(pid uint16) {
	if r := c.barred(); r != packet.Success { // 1
		c.denied(packet.PUBREC, pid, r)
		return
	}
	held := c.client.held(pid)
	if err := c.recordable(held); err != nil {
		c.unkept(packet.PUBREC, pid, err)
		return
	}
	wait, err := c.broker.take(held...) // 2, and 4 when 3 has come
	if err != nil {
		c.unkept(packet.PUBREC, pid, err)
		return
	}
	c.client.recorded = max(c.client.recorded, wait.Ticket)
	c.acknowledge(packet.PUBREC, pid, c.outcome(), wait)
}

// repeated answers a PUBLISH whose packet id is still held, and does not deliver
// it [MQTT-4.3.3-10]. The first one may still be on its way to the disk: what the
// session has recorded last is waited for.
func (c *conn) repeated(pid uint16) {
	c.acknowledge(packet.PUBREC, pid, packet.Success, promise{Ticket: c.client.unsynced()})
}

// outcome is the reason code for the present publication after it was taken.
func (c *conn) outcome() packet.Reason {
	if len(c.broker.publication.targets) == 0 && c.version >= packet.V5 {
		return packet.NoMatchingSubscribers
	}
	return packet.Success
}

// acknowledge lets the acknowledgement leave when the promise holds.
func (c *conn) acknowledge(kind packet.Type, pid uint16, r packet.Reason, wait promise) {
	c.acks.Push(kind, pid, r, wait)
	c.broker.await(wait, waiter{conn: c})
	c.broker.touch(c)
	c.overdraw()
}

// denied answers a publication that the client may not make. Before MQTT 5 it
// cannot be told: the message is acknowledged and dropped [MQTT-3.3.5-2].
func (c *conn) denied(kind packet.Type, pid uint16, r packet.Reason) {
	c.bar(r)
	c.refuseMessage(kind, pid, r)
}

// bar counts a publication that the client may not make, and has it known.
func (c *conn) bar(r packet.Reason) {
	why := barredReason(r)
	c.broker.drop(why, 1)
	if why == core.DroppedDenied {
		c.auditDenied("publish", c.broker.publication.message.Topic)
	}
}

func (c *conn) refuseMessage(kind packet.Type, pid uint16, r packet.Reason) {
	switch {
	case c.version < packet.V5:
		r = packet.Success
	case kind == packet.PUBREC: // at once: when this connection ends first, it comes again
		c.client.inbound().Acked(kind, pid)
	}
	c.acknowledge(kind, pid, r, promise{})
}

// unkept answers a publication for which there is no room, or lets it wait for some.
// Before MQTT 5 there is no word for it and an acknowledgement would be a lie, so the
// connection is closed: the client sends the message again when it has come back.
func (c *conn) unkept(kind packet.Type, pid uint16, err error) {
	if errors.Is(err, core.ErrBusy) {
		c.client.inbound().Acked(kind, pid) // it has not come
		c.hold()
		return
	}
	reason := packet.ImplementationSpecificError
	if errors.Is(err, core.ErrFull) {
		reason = packet.QuotaExceeded
	}
	c.broker.drop(core.DroppedStoreFull, 1)
	if c.version < packet.V5 {
		c.client.inbound().Acked(packet.PUBREC, pid)
		c.end(reason)
		return
	}
	c.refusal.begin(c.broker.publication.message, c.broker.cfg.Limits.ReceiveMaximum, c.broker.now)
	c.refuseMessage(kind, pid, reason)
}

// unretained answers a publication that would be retained beyond the limit, as
// unkept does.
func (c *conn) unretained(kind packet.Type, pid uint16) {
	c.broker.drop(core.DroppedRetainedFull, 1)
	if c.version < packet.V5 {
		c.client.inbound().Acked(packet.PUBREC, pid)
		c.end(packet.QuotaExceeded)
		return
	}
	c.refuseMessage(kind, pid, packet.QuotaExceeded)
}

// releaseAcks queues the acknowledgements whose promises hold.
func (c *conn) releaseAcks() {
	if c.client == nil || c.phase != open || c.acks.Len() == 0 {
		return
	}
	for {
		a, ok := c.acks.Next()
		if !ok {
			return
		}
		if a.Kind == packet.PUBACK {
			c.client.inbound().Acked(a.Kind, a.PacketID)
		}
		if a.Reason == packet.QuotaExceeded || a.Reason == packet.ImplementationSpecificError {
			c.refusal.told(c.broker.now)
		}
		if a.Reason.IsError() && c.explains {
			c.sendRefusal(a.Kind, a.PacketID, a.Reason)
			continue
		}
		c.out = packet.AppendAck(c.output(), c.version, a.Kind, a.PacketID, a.Reason)
		c.broker.counters.packetsSent++
	}
}

// sendRefusal queues an acknowledgement that says no, and why.
func (c *conn) sendRefusal(kind packet.Type, pid uint16, r packet.Reason) {
	p := &packet.Ack{Kind: kind, PacketID: pid, Reason: r}
	p.Properties = c.explained(explanation(r), p.Size(c.version))
	c.send(p)
}

// handleAck takes an acknowledgement from a client.
func (c *conn) handleAck(h packet.Header, body []byte) error {
	a := &c.broker.ack
	if err := a.Parse(h, body, c.version); err != nil {
		return err
	}
	switch a.Kind {
	case packet.PUBACK:
		c.client.puback(a)
	case packet.PUBREC:
		c.client.pubrec(a)
	case packet.PUBREL:
		c.handlePubrel(a.PacketID)
	case packet.PUBCOMP:
		c.client.pubcomp(a)
	}
	return nil
}

// handlePubrel is step 5 of publish2. A packet id that is not known may have been released
// a moment ago, and still be held on the disk: what the session has recorded last is waited
// for.
func (c *conn) handlePubrel(pid uint16) {
	cl, reason := c.client, packet.Success
	known := cl.inbound().Pubrel(pid)
	switch {
	case known && cl.receiver != 0:
		cl.recorded = c.broker.record(core.IncomingReleased{Owner: cl.receiver, PacketID: pid})
	case !known && c.version >= packet.V5: // before there is no word for it [MQTT-4.3.3-11]
		reason = packet.PacketIdentifierNotFound
	}
	c.answer(cl.unsynced(), 1, func() { c.sendAck(packet.PUBCOMP, pid, reason) })
}
