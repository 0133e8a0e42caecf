package bridge

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/session"
	"github.com/weir-edge/weir/core/topic"
)

// subscribeMost filters go into one SUBSCRIBE: some services take no more.
func (b *Bridge) subscribeMost() int { return cmp.Or(b.preset.subscribe, 8) }

// subscribe asks for what the in rules select. Where the upstream has kept the
// session it has kept the subscriptions, but perhaps those of an older
// configuration; so the first connection of this process asks in any case. MQTT 5
// can say that only new subscriptions want the retained messages.
func (l *link) subscribe() {
	b := l.b
	l.unsubscribe()
	if l.g.sessionPresent && b.subscribed {
		return
	}
	b.subscribed = len(b.inlets) == 0
	for group := range slices.Chunk(b.inlets, b.subscribeMost()) {
		p := packet.Subscribe{PacketID: b.out.Unused()}
		for _, in := range group {
			p.Filters = append(p.Filters, packet.Filter{Filter: []byte(in.filter), Options: l.options(in)})
		}
		l.subs[p.PacketID] = group
		l.filling = p.AppendTo(l.filling, l.g.version)
	}
}

// unsubscribe ends what rules that are gone have asked for: the upstream would send it
// all the same, over a link that may be paid by the byte.
func (l *link) unsubscribe() {
	b := l.b
	if !l.g.sessionPresent {
		b.stale = nil
	}
	for group := range slices.Chunk(b.stale, b.subscribeMost()) {
		p := packet.Unsubscribe{PacketID: b.out.Unused()}
		for _, filter := range group {
			p.Filters = append(p.Filters, []byte(filter))
		}
		l.unsubs[p.PacketID] = group
		l.filling = p.AppendTo(l.filling, l.g.version)
	}
}

// handleUnsuback forgets the filters, whatever the upstream says of them.
func (l *link) handleUnsuback(p *packet.Unsuback) {
	group := l.unsubs[p.PacketID]
	delete(l.unsubs, p.PacketID)
	left := make([]string, 0, len(l.b.stale)) // group is a part of what it is taken out of
	for _, filter := range l.b.stale {
		if !slices.Contains(group, filter) {
			left = append(left, filter)
		}
	}
	l.b.stale = left
}

// options of a subscription: in MQTT 5 No Local (not what we sent), Retain As
// Published, and Retain Handling 1 (only if the subscription is new).
func (l *link) options(in *inlet) packet.Options {
	const noLocal, retainAsPublished, onlyNew = 1 << 2, 1 << 3, 1 << 4
	o := packet.Options(in.rule.QoS)
	if l.g.version == packet.V5 {
		o |= noLocal | retainAsPublished | onlyNew
	}
	return o
}

func (l *link) handleSuback(p *packet.Suback) {
	group := l.subs[p.PacketID]
	delete(l.subs, p.PacketID)
	l.progress = l.now
	for i, reason := range p.Reasons[:min(len(p.Reasons), len(group))] {
		if reason.IsError() {
			l.b.log.Warn("the upstream refused a subscription", "filter", group[i].filter, "why", reason.String())
			l.b.status.complain(fmt.Sprintf("the upstream refused the subscription %s: %s", group[i].filter, reason))
		}
	}
	l.b.subscribed = l.b.subscribed || len(l.subs) == 0
}

// handlePublish brings in a message. The order of effects for QoS 1:
//
//  1. handed to the local broker
//  2. its promise holds: every durable receiver has the message, or it is on disk
//  3. PUBACK
//
// and for QoS 2:
//
//  1. handed over together with the packet id that is held from now on
//  2. both are durable → PUBREC
//  3. PUBREL → the packet id is let go, durably → PUBCOMP
//
// Acknowledgements leave in the order in which the messages came.
func (l *link) handlePublish(h packet.Header, body []byte) error {
	p := &l.publish
	if err := p.Parse(h.Flags, body, l.g.version); err != nil {
		return err
	}
	if len(p.Topic) == 0 { // we take no aliases
		return &packet.Error{Reason: packet.TopicAliasInvalid, Clause: "MQTT-3.1.2-27", Text: "a topic alias from the upstream"}
	}
	if p.QoS > core.AtMostOnce {
		switch l.b.in.Publish(p.PacketID, p.QoS) {
		case session.TooMany: // [MQTT-3.3.4-9]
			return &packet.Error{Reason: packet.ReceiveMaximumExceeded, Clause: "MQTT-3.3.4-9", Text: "more messages than we take at a time"}
		case session.Repeated:
			l.repeated(p)
			return nil
		}
	}
	in := l.b.inlet(p.Topic)
	if in == nil { // an old subscription of a session that the upstream has kept
		l.ignore(p)
		return nil
	}
	m, why := l.b.incoming(in, p, l.g.version, l.stamp)
	if why != "" {
		in.tally.drop(why)
		l.ignore(p)
		return nil
	}
	l.admit(in, p, m)
	return nil
}

// inlet is the rule that a remote topic came by; nil when there is none.
func (b *Bridge) inlet(name []byte) *inlet {
	for _, in := range b.inlets {
		if topic.Match(in.filter, string(name)) {
			return in
		}
	}
	return nil
}

// incoming makes the message that is published here, or says why there is none.
func (b *Bridge) incoming(in *inlet, p *packet.Publish, v packet.Version, now core.Stamp) (*core.Message, core.Reason) {
	m := &core.Message{
		Topic:      in.local(&b.cfg, string(p.Topic)),
		Payload:    bytes.Clone(p.Payload), // p lies in the reader's buffer
		QoS:        p.QoS,
		Retain:     p.Retain,
		Properties: session.Properties(p.Properties),
		Publisher:  b.publisher,
		Received:   now,
		Expiry:     session.Expiry(p.Properties),
	}
	takeHops(m)
	switch {
	case int(m.Hops) >= b.cfg.MaxHops, b.ours(m):
		return nil, core.DroppedLoop
	case topic.ValidName(m.Topic) != nil, strings.HasPrefix(m.Topic, "$"):
		return nil, core.DroppedRejected
	}
	if b.returns {
		b.trace(m, v)
	}
	return m, ""
}

// local is our name of a remote topic.
func (in *inlet) local(c *Config, name string) string {
	name = strings.TrimPrefix(name, in.rule.RemotePrefix)
	if in.topic != nil {
		return in.topic.fill(c, in.rule.Filter, name)
	}
	return in.rule.LocalPrefix + name
}

// admit takes a message once, over however many links it comes.
func (l *link) admit(in *inlet, p *packet.Publish, m *core.Message) {
	b := l.b
	a := &acceptance{inlet: in, copied: true}
	wait := func(err error) { b.events.post(event{message: a, err: err}) }
	if p.QoS == core.AtMostOnce {
		wait = func(error) {} // nobody asks for an answer
	}
	switch b.cfg.Seen.reserve(property(m, propID), wait) {
	case first:
		l.accept(in, p, m)
	case second:
		in.tally.drop(core.DroppedLoop)
		if p.QoS > core.AtMostOnce {
			l.hold(p, a)
		}
	case known:
		in.tally.drop(core.DroppedLoop)
		l.ignore(p)
	}
}

// accept is step 1.
func (l *link) accept(in *inlet, p *packet.Publish, m *core.Message) {
	b, id, size := l.b, property(m, propID), int64(m.Size())
	b.inward.Add(size)
	answered := func(err error) {
		b.cfg.Seen.settle(id, b.publisher, err)
		if left := b.inward.Add(-size); left <= swampedAt && left+size > swampedAt {
			b.events.ring()
		}
	}
	if p.QoS == core.AtMostOnce {
		in.tally.messages.Add(1)
		b.gateway.Accept(m, nil, answered)
		return
	}
	a := &acceptance{inlet: in}
	l.hold(p, a)
	var with []core.Change
	if p.QoS == core.ExactlyOnce {
		with = []core.Change{core.IncomingHeld{Owner: b.owner, PacketID: a.pid}}
	}
	b.gateway.Accept(m, with, func(err error) {
		answered(err)
		b.events.post(event{message: a, err: err})
	})
}

// swampedAt is how many bytes of messages may wait for the local broker before the upstream
// is not listened to any more: its disk may be slow, and what was sent is in memory.
const swampedAt = 4 << 20

// swamped says whether that is so. Whether the upstream lives cannot be said meanwhile.
func (l *link) swamped() bool { return l.b.inward.Load() > swampedAt }

// overrun ends the connection to an upstream that asks for more answers than there are
// packet ids, or for some megabyte of them and does not read.
func (l *link) overrun() {
	const mostAnswers, mostUnread = 2 << 16, 1 << 20
	if l.acks.Len()+l.comps.Len() > mostAnswers || l.unread > mostUnread {
		l.fail(&packet.Error{Reason: packet.QuotaExceeded, Text: "the upstream wants answers faster than it can have them"})
	}
}

// hold keeps what is owed an answer: on this connection, and with QoS 2 on a later
// one, too.
func (l *link) hold(p *packet.Publish, a *acceptance) {
	if p.QoS == core.ExactlyOnce {
		a.pid = p.PacketID
		l.b.holding[a.pid] = a
	}
	l.await(p, a)
}

// await owes the acknowledgement of a message to the upstream, on this connection.
func (l *link) await(p *packet.Publish, a *acceptance) {
	l.accepts++
	a.link, a.number = l.id, l.accepts
	l.acks.Push(firstAck(p.QoS), p.PacketID, packet.Success, session.Promise{Seq: a.number})
}

func firstAck(qos core.QoS) packet.Type {
	if qos == core.ExactlyOnce {
		return packet.PUBREC
	}
	return packet.PUBACK
}

// repeated: a packet id of QoS 2 that is held, from an earlier connection. What
// came then may still be on its way to the disk, or may yet be refused; else it
// is durable, or was nothing that we take.
func (l *link) repeated(p *packet.Publish) {
	if a := l.b.holding[p.PacketID]; a != nil {
		l.await(p, a)
		return
	}
	l.ignore(p)
}

// ignore acknowledges a message that is not taken (again).
func (l *link) ignore(p *packet.Publish) {
	if p.QoS > core.AtMostOnce {
		l.acks.Push(firstAck(p.QoS), p.PacketID, packet.Success, session.Promise{})
	}
}

// accepted is step 2, or its failure: then nothing has happened, and the packet
// id is not held.
func (l *link) accepted(a *acceptance, err error) {
	b := l.b
	if a.pid != 0 && b.holding[a.pid] == a { // otherwise another message has that packet id in a new session
		delete(b.holding, a.pid)
		if err != nil {
			b.in.Acked(packet.PUBREC, a.pid)
		}
	}
	switch {
	case a.copied: // counted when it came
	case err == nil:
		a.inlet.tally.messages.Add(1)
	case errors.Is(err, core.ErrFull):
		a.inlet.tally.drop(core.DroppedStoreFull)
	case errors.Is(err, core.ErrInvalid):
		a.inlet.tally.drop(core.DroppedRejected)
	}
	if a.link != l.id {
		return // it comes again, and is answered then
	}
	switch {
	case err == nil:
		l.acks.Settled(a.number)
	case errors.Is(err, core.ErrFull):
		l.refuse(a.number, packet.QuotaExceeded)
	case errors.Is(err, core.ErrInvalid): // it will be so the next time, too
		l.acks.Refused(a.number, packet.TopicNameInvalid)
	case errors.Is(err, core.ErrClosed): // we are stopping; it comes again
	default:
		l.fail(errors.Join(errStore, err))
	}
}

// refuse gives an honest answer. Before MQTT 5 there is none but silence; then
// the upstream sends the message again when we connect again, which we do before
// long, because what it has under way counts for its window.
func (l *link) refuse(n core.Seq, why packet.Reason) {
	l.acks.Refused(n, why)
	if l.g.version < packet.V5 && l.redial.IsZero() {
		l.redial = l.now.Add(redialAfter)
	}
}

// acknowledge is the last step.
func (l *link) acknowledge() {
	for a, ok := l.acks.Next(); ok; a, ok = l.acks.Next() {
		if a.Kind == packet.PUBACK {
			l.b.in.Acked(a.Kind, a.PacketID)
		}
		if a.Reason == packet.QuotaExceeded && l.g.version < packet.V5 {
			continue
		}
		l.appendAck(a.Kind, a.PacketID, a.Reason)
	}
}

// handlePubrel is step 3 of QoS 2. A packet id that is not known has been let go,
// but perhaps not durably; to do it once more is harmless.
func (l *link) handlePubrel(pid uint16) {
	reason := packet.Success
	if !l.b.in.Pubrel(pid) {
		reason = packet.PacketIdentifierNotFound
	}
	l.changes = append(l.changes, core.IncomingReleased{Owner: l.b.owner, PacketID: pid})
	l.comps.Push(l.ticket(), completion{pid, reason})
}

// recordAgain repeats what could not be recorded on an earlier connection.
func (l *link) recordAgain() {
	b := l.b
	for _, pid := range b.unreleased {
		if sent, ok := b.out.Releasing(pid); ok {
			l.changes = append(l.changes, core.OutgoingSaved{Outgoing: core.Outgoing{
				Owner: b.owner, PacketID: pid, Receiver: sent.Receiver, Seq: sent.Seq, Released: true,
			}})
			b.releases.Push(l.ticket(), pid)
		}
	}
	b.unreleased = nil
}
