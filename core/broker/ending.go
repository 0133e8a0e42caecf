package broker

import (
	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
)

// CONNACK without Session Present says that nothing is left of an earlier session
// [MQTT-3.1.2-4], however that has ended: by Clean Start, by its expiry, by hand. So it
// waits until the end is on disk, as SUBACK does for a subscription. A session that a kill
// brings back would hold packet ids of QoS 2: a new message that has one of them would be
// taken for a repetition, acknowledged and lost.
//
// The CONNECT that waits is looked at once more then, as if it had come a moment later. Until
// then there is neither a session nor a will of it, and it is not read from. Others with its
// client id wait behind it, and take over from it in their turn.
//
// While the store refuses, the end would not come about. Then such a CONNECT is refused
// (Server unavailable) before anything has happened: the older connection and all that is
// owed to the session stay, and without Clean Start the client gets both at once. To let it
// in would promise what a kill takes back, without anybody's notice; to be told costs a
// client that wants to begin anew some attempts. Where the disk says nothing at all the
// refusal comes when the time to connect is over.

// leavesTraces says whether the store may have more of the session than that there is one.
// Else its coming back would do no harm, and its end is not waited for: a sensor that begins
// clean each time and subscribes to nothing needs no disk.
func (cl *client) leavesTraces() bool {
	return cl.receiver != 0 && (cl.recorded != 0 || len(cl.filters) > 0 ||
		cl.in != nil && cl.in.Len() > 0 || cl.out != nil && cl.out.Inflight() > 0 ||
		cl.broker.store.Owed(cl.receiver) > 0)
}

// noteEnd remembers that the end of a session is durable with t, until it is.
func (b *Broker) noteEnd(id string, t core.Ticket) {
	b.ending[id] = t
	b.after(t, func() {
		if b.ending[id] == t {
			delete(b.ending, id)
		}
	})
}

// hopeless says whether a CONNECT would wait for an end that the store does not record.
func (b *Broker) hopeless(a attempt, old *client) bool {
	waits := b.ending[a.clientID] != 0
	if old != nil {
		ends := a.cleanStart || old.connected() && old.expiry == 0
		waits = ends && old.leavesTraces()
	}
	return waits && b.refuses()
}

// awaitEnd lets a CONNECT be looked at once more when t is synced.
func (c *conn) awaitEnd(t core.Ticket, v Verdict) {
	c.link.listen(false)
	c.broker.after(t, func() { c.answered(v) })
}

// awaitsEnd says whether it waits so, and not for the authenticator.
func (c *conn) awaitsEnd() bool { return c.phase == deciding && !c.login.busy }

func (c *conn) refuseUnended() {
	c.refuseBecause(packet.ServerUnavailable, "the store does not record the end of its earlier session")
}
