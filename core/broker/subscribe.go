package broker

import (
	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/topic"
)

// handleSubscribe makes subscriptions. Those of a durable session must be on disk
// before they are acknowledged: from then on the client relies on getting what it
// misses. The order of effects:
//
//  1. subscribe, and record it
//  2. synced → SUBACK, one code for each filter in order [MQTT-3.8.4-6] [MQTT-3.9.3-1]
//  3. retained messages, a slice at a time
//
// Messages published between 1 and 2 are delivered before SUBACK, which section
// 3.8.4 allows.
func (c *conn) handleSubscribe(p *packet.Subscribe) error {
	id := uint32(0)
	if props := p.Properties; props != nil && len(props.SubscriptionIDs) > 0 {
		id = props.SubscriptionIDs[0]
	}
	for _, f := range p.Filters {
		if f.Options.NoLocal() && isShared(string(f.Filter)) {
			return &packet.Error{Reason: packet.ProtocolError, Clause: "MQTT-3.8.3-4", Text: "no local on a shared subscription"}
		}
	}
	suback := &packet.Suback{PacketID: p.PacketID} // [MQTT-3.8.4-2]
	var ticket core.Ticket
	var again []string            // whose retained messages are to be sent
	for i, f := range p.Filters { // [MQTT-3.8.4-5]
		name, reason := c.maySubscribe(string(f.Filter))
		if i >= c.broker.cfg.Limits.MaxSubscriptions { // more than a session can have
			reason = packet.QuotaExceeded
		}
		if !reason.IsError() {
			granted, existed, t := c.subscribe(name, f.Options, id) // 1
			ticket, reason = max(ticket, t), granted
			if !reason.IsError() && wantsRetained(f.Options, existed) && !isShared(name) { // section 4.8.2
				again = append(again, name)
			}
		}
		if reason.IsError() && c.version < packet.V5 {
			reason = packet.UnspecifiedError
		}
		suback.Reasons = append(suback.Reasons, reason)
	}
	c.explainSuback(suback, p.Filters)
	c.answer(ticket, len(p.Filters), func() {
		if c.phase != open {
			return
		}
		c.send(suback) // 2
		c.client.replay(again)
	})
	return nil
}

// subscribe is step 1 for one filter: what is granted.
func (c *conn) subscribe(filter string, o packet.Options, id uint32) (r packet.Reason, existed bool, t core.Ticket) {
	if isSys(filter) { // its values are made when somebody wants them
		c.broker.freshenSys()
	}
	if c.bridge && !isShared(filter) {
		o |= bridgeOptions
	}
	if c.client.unrecordable() {
		if !c.client.stands(filter, o, id) {
			c.countRefused("subscribe")
			return packet.QuotaExceeded, false, 0
		}
		return packet.Reason(o.QoS()), true, 0
	}
	existed, t = c.client.subscribe(filter, o, id)
	c.broker.tell(c.client, "subscribed", subscribedEvent{
		Client: c.client.id, Filter: filter, QoS: o.QoS(), Time: c.broker.now.UTC(),
	})
	return packet.Reason(o.QoS()), existed, t // [MQTT-3.8.4-7]
}

// maySubscribe is the filter in the broker, and what stands against it.
func (c *conn) maySubscribe(wish string) (filter string, reason packet.Reason) {
	if topic.ValidFilter(wish) != nil {
		return wish, packet.TopicFilterInvalid
	}
	filter = c.mountedFilter(wish)
	switch {
	case topic.ValidFilter(filter) != nil: // too long by then
		return filter, packet.TopicFilterInvalid
	case !c.client.may(Subscribe, unshared(filter)):
		c.auditDenied("subscribe", filter)
		return filter, packet.NotAuthorized
	case len(c.client.filters) >= c.broker.cfg.Limits.MaxSubscriptions, c.broker.subscriptions.Len() >= c.broker.cfg.Limits.MaxAllSubscriptions:
		if _, replaces := c.client.grant(filter); !replaces {
			return filter, packet.QuotaExceeded
		}
	}
	return filter, packet.Success
}

// unshared is the filter within that of a shared subscription, and else the filter.
func unshared(filter string) string {
	_, filter, _, _ = topic.ParseShare(filter)
	return filter
}

// wantsRetained is retain handling [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11].
func wantsRetained(o packet.Options, existed bool) bool {
	return o.RetainHandling() == 0 || o.RetainHandling() == 1 && !existed
}

// subscribe adds a subscription, or replaces the one with the same filter
// [MQTT-3.8.4-3].
func (cl *client) subscribe(filter string, o packet.Options, id uint32) (existed bool, t core.Ticket) {
	old, existed := cl.grant(filter)
	at := old.at
	if !existed {
		at = int32(len(cl.filters))
		cl.filters = append(cl.filters, filter)
	}
	cl.setGrant(filter, grant{options: o, id: id, at: at})
	if cl.receiver != 0 {
		t = cl.broker.record(core.SubscriptionSaved{Subscription: core.Subscription{
			Receiver: cl.receiver, Filter: filter, Options: byte(o), ID: id,
		}})
		cl.recorded = t
	}
	return existed, t
}

// grant is what the client was granted for exactly this filter.
func (cl *client) grant(filter string) (grant, bool) {
	if isShared(filter) {
		return cl.broker.shares[filter].grantOf(cl)
	}
	return cl.broker.subscriptions.Get(filter, &cl.endpoint)
}

func (cl *client) setGrant(filter string, g grant) {
	if isShared(filter) {
		cl.broker.join(filter, cl, g)
		return
	}
	cl.broker.insert(filter, &cl.endpoint, g)
}

func (cl *client) clearGrant(filter string) {
	if isShared(filter) {
		cl.broker.leave(filter, cl)
		return
	}
	cl.broker.remove(filter, &cl.endpoint)
}

// insert and remove are where the tree of subscriptions changes.
func (b *Broker) insert(filter string, to *endpoint, g grant) {
	if !b.subscriptions.Insert(filter, to, g) && isSys(filter) {
		b.sysFilters++
	}
}

func (b *Broker) remove(filter string, to *endpoint) {
	if b.subscriptions.Remove(filter, to) && isSys(filter) {
		b.sysFilters--
	}
}

// handleUnsubscribe ends subscriptions. What is queued or on its way is still
// delivered [MQTT-3.10.4-3].
func (c *conn) handleUnsubscribe(p *packet.Unsubscribe) error {
	unsuback := &packet.Unsuback{PacketID: p.PacketID}
	var ticket core.Ticket
	for _, f := range p.Filters { // [MQTT-3.10.4-6]
		reason, t := c.unsubscribe(string(f))
		ticket = max(ticket, t)
		unsuback.Reasons = append(unsuback.Reasons, reason) // [MQTT-3.11.3-1]
	}
	c.answer(ticket, len(p.Filters), func() { c.send(unsuback) }) // [MQTT-3.10.4-4] [MQTT-3.10.4-5]
	return nil
}

func (c *conn) unsubscribe(filter string) (packet.Reason, core.Ticket) {
	if topic.ValidFilter(filter) == nil {
		filter = c.mountedFilter(filter)
	}
	cl := c.client
	if _, ok := cl.grant(filter); !ok { // its end may still be on its way to the disk
		return packet.NoSubscriptionExisted, cl.unsynced()
	}
	if c.version >= packet.V5 && cl.unrecordable() { // UNSUBACK has no 0x97
		c.countRefused("unsubscribe")
		return packet.ImplementationSpecificError, 0
	}
	cl.unsubscribe(filter)
	if cl.receiver == 0 {
		return packet.Success, 0
	}
	cl.recorded = c.broker.record(core.SubscriptionDropped{Receiver: cl.receiver, Filter: filter})
	return packet.Success, cl.recorded
}

// unsubscribe removes the subscription with exactly this filter [MQTT-3.10.4-1].
func (cl *client) unsubscribe(filter string) bool {
	g, ok := cl.grant(filter)
	if !ok {
		return false
	}
	cl.clearGrant(filter)
	cl.endReplay(filter)
	// The last filter takes the place of the one that goes.
	last := len(cl.filters) - 1
	moved := cl.filters[last]
	cl.filters[last] = ""
	cl.filters = cl.filters[:last]
	if int(g.at) < last {
		cl.filters[g.at] = moved
		of, _ := cl.grant(moved)
		of.at = g.at
		cl.setGrant(moved, of)
	}
	return true
}

// unsubscribeAll ends the subscriptions of a session that is gone, a slice at a
// time: nobody is behind the endpoint any more.
func (b *Broker) unsubscribeAll(cl *client) {
	cl.endpoint.subscriber = nobody{}
	if len(cl.filters) == 0 {
		return
	}
	b.work(func() (more bool) {
		for range min(len(cl.filters), sliceSize) {
			last := len(cl.filters) - 1
			b.remove(cl.filters[last], &cl.endpoint)
			cl.filters = cl.filters[:last]
		}
		return len(cl.filters) > 0
	})
}
