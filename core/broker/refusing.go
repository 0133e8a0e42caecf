package broker

import (
	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
)

// Some answers wait for a change of the state to be durable: of a subscription of a
// durable session, of a packet id of QoS 2 that such a session begins, of a retained
// message of QoS 1 and 2. While the store refuses (Commits.Refuses) they would not come,
// so that such a packet is answered with an error at once, before anything has happened.
// What was recorded before the store said so waits until there is room; so does PUBCOMP,
// which has no word for it: who would reuse a packet id that is still held on disk would
// lose a message. MQTT 3.1.1 can say it in SUBACK only. Its PUBLISH closes the
// connection (see unkept), its UNSUBSCRIBE waits. For CONNACK see ending.go.

// refuses says whether the store makes nothing durable now. That is said once.
func (b *Broker) refuses() bool {
	was := b.refusing
	if b.refusing = b.store.Refuses(); b.refusing && !was {
		b.log.Warn("the store takes nothing: subscriptions of durable sessions, retained messages and QoS 2 that would have to be kept are refused until it does",
			"state", b.store.Status().Error)
	}
	return b.refusing
}

// recordable is nil if what the present publication changes beside the log becomes
// durable, or nothing does.
func (c *conn) recordable(changes []core.Change) error {
	b := c.broker
	m := b.publication.message
	waits := len(changes) > 0 || b.retains(m) && c.listener.Promise != core.PromiseMemory
	if waits && b.refuses() {
		return core.ErrFull
	}
	return nil
}

// retains: a message of QoS 1 or 2 changes what is retained of its topic.
func (b *Broker) retains(m *core.Message) bool {
	return m.Retain && (len(m.Payload) > 0 || b.sizeRetained(m.Topic) > 0)
}

// unrecordable: a change of the client's subscriptions would not become durable.
func (cl *client) unrecordable() bool { return cl.receiver != 0 && cl.broker.refuses() }

// stands: the client has been granted just this, and it is on disk.
func (cl *client) stands(filter string, o packet.Options, id uint32) bool {
	g, ok := cl.grant(filter)
	return ok && g.options == o && g.id == id && cl.unsynced() == 0
}

// unsynced is the ticket of the last change that the session was promised; 0 when that
// is on disk.
func (cl *client) unsynced() core.Ticket {
	if cl.broker.gate.Reached(cl.recorded) {
		return 0
	}
	return cl.recorded
}

// countRefused counts an answer to who subscribes or unsubscribes.
func (c *conn) countRefused(verb string) { c.broker.count("store full: " + verb) }
