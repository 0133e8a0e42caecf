package broker

import (
	"net/netip"
	"slices"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/session"
)

// client is a session: what the broker knows of a client, with or without a
// connection. All of it belongs to the loop.
//
// A durable session (receiver is not 0) is a receiver of the log. It is served in
// one of two ways:
//
//   - live: what is published is handed over from memory, at once or through the
//     bounded queue;
//   - behind: new messages stay in the log, and the queue is filled from there, a
//     page at a time, until the log says that nothing else is owed.
//
// A live one falls behind when its queue is full, and begins behind when it comes
// back. One that is not durable is always live, and what does not fit is dropped
// and counted.
type client struct {
	endpoint

	// Static.
	broker   *Broker
	place    int // in the broker's roster
	id       string
	identity string
	receiver core.ReceiverID // 0: the session ends with its connection

	from    netip.Addr // where the last connection came from
	rights  Rights     // nil: to be asked for, as when edition is not the broker's
	edition int

	conn    *conn     // nil while there is none
	returns allowance // see mayComeBack
	expiry  time.Duration
	ended   core.Stamp // when the last connection ended
	since   time.Time  // connected or disconnected since
	will    *will
	// willSaved: the store has it.
	willSaved bool
	timer     timer // the will is due or the session expires, while there is no connection

	filters []string          // of its subscriptions
	in      *session.Inbound  // nil until it is needed
	out     *session.Outbound // the same

	shares   []*share         // that it is a member of
	leases   map[uint16]lease // messages of shares, by packet id
	resuming []lease          // of QoS 2, begun on an earlier connection

	replays   *replays // nil: none
	replaying bool     // on the broker's list of work

	queue    fifo[core.Delivery]
	queued   int // bytes
	behind   bool
	fetching bool // an answer of the log is on its way
	expected int  // messages that were appended as live and are delivered later
	leaving  session.Gate[leaving]

	recorded core.Ticket // of the last subscription, or packet id of QoS 2, see unsynced
	pace     pace        // by packet id
	dropped  map[core.Reason]uint64
}

// newClient makes a session; attach decides whether it is durable.
func (b *Broker) newClient(id, identity string) *client {
	cl := &client{broker: b, id: id, identity: identity}
	cl.endpoint.subscriber, cl.endpoint.name, cl.endpoint.owner = cl, id, cl
	b.clients[id] = cl
	b.sessionsOf[identity]++
	cl.place = len(b.roster)
	b.roster = append(b.roster, cl)
	b.counters.maxClients = max(b.counters.maxClients, len(b.clients))
	return cl
}

// connected says whether packets can be sent.
func (cl *client) connected() bool { return cl.conn != nil && cl.conn.phase == open }

func (cl *client) inbound() *session.Inbound {
	if cl.in == nil {
		cl.in = session.NewInbound()
	}
	return cl.in
}

func (cl *client) outbound() *session.Outbound {
	if cl.out == nil {
		cl.out = session.NewOutbound(cl.receiver)
	}
	return cl.out
}

// attach gives the session a connection.
func (cl *client) attach(c *conn, a attempt, present bool) {
	b := cl.broker
	b.timers.stop(&cl.timer)
	cl.conn, cl.since = c, b.now
	if cl.from != c.addr {
		cl.from, cl.rights = c.addr, nil
	}
	b.connected++
	cl.expiry, cl.ended = a.expiry, core.Stamp{}
	cl.setWill(a.will)
	if cl.receiver == 0 && cl.expiry > 0 {
		cl.receiver = core.NewReceiverID()
		b.receivers[cl.receiver] = cl
	}
	cl.save()
	cl.pace = pace{}
	receiveMaximum := 0
	if a.version >= packet.V5 {
		receiveMaximum = b.cfg.Limits.ReceiveMaximum
	}
	cl.inbound().Connect(receiveMaximum, present)
	cl.outbound().Connect(a.window, present)
	if !present {
		return
	}
	for pid := range cl.out.Releases() { // [MQTT-4.4.0-1] [MQTT-4.6.0-4]
		c.sendAck(packet.PUBREL, pid, packet.Success)
	}
	if cl.receiver != 0 {
		cl.behind = true
		cl.fetch()
	}
	cl.resumeReplays()
	cl.pumpShares()
	for _, s := range cl.shares {
		s.fetch()
	}
}

// save records the session. Nothing waits for it: what must survive (a
// subscription, a message) is recorded behind it.
func (cl *client) save() {
	if cl.receiver == 0 {
		return
	}
	cl.broker.store.Record(core.SessionSaved{Session: core.Session{
		Receiver: cl.receiver, ClientID: cl.id, Identity: cl.identity, Expiry: cl.expiry, Ended: cl.ended,
	}}, true)
}

// detach is told that the connection has ended.
func (cl *client) detach(c *conn) {
	if cl.conn != c {
		return
	}
	b := cl.broker
	b.connected--
	cl.conn, cl.since, cl.ended = nil, b.now, b.stamp
	b.tell(cl, "disconnected", disconnectedEvent{
		Client: cl.id, User: cl.identity, Reason: c.goodbye(), Code: byte(c.reason), Time: b.now.UTC(),
	})
	cl.leaving.Clear()
	cl.returnLeases()
	cl.forgetQueue()
	switch {
	case cl.will == nil:
	case cl.will.delay == 0 || cl.expiry == 0: // [MQTT-3.1.2-8]
		cl.publishWill()
	}
	if cl.will == nil && cl.willSaved {
		cl.forgetWill()
	}
	if cl.expiry == 0 { // [MQTT-4.1.0-2]
		b.dropSession(cl, "ended with its connection")
		return
	}
	cl.save()
	cl.sleep()
}

// forgetQueue empties the queue of a connection that has ended: what is owed
// comes again from the log, the rest is gone.
func (cl *client) forgetQueue() {
	for cl.queue.len() > 0 {
		if d := cl.pop(); d.Seq == 0 {
			cl.drop(core.DroppedOffline, 1)
		}
	}
	if cl.receiver != 0 {
		cl.behind, cl.fetching = true, false
		cl.epoch++
		cl.broker.store.Rewind(cl.receiver)
	}
}

// sleep sets the timer of a session without a connection: the will first, then
// the end of the session.
func (cl *client) sleep() {
	b := cl.broker
	passed := b.stamp.Since(cl.ended)
	cl.timer.ring = cl.awake
	switch {
	case cl.will != nil:
		b.timers.set(&cl.timer, b.now.Add(min(cl.will.delay, cl.expiry)-passed))
	case cl.expiry != core.NeverExpires:
		b.timers.set(&cl.timer, b.now.Add(cl.expiry-passed))
	}
}

// awake is called by the timer.
func (cl *client) awake(time.Time) {
	b := cl.broker
	if cl.connected() {
		return
	}
	passed := b.stamp.Since(cl.ended)
	if cl.will != nil && passed >= min(cl.will.delay, cl.expiry) {
		cl.publishWill()
	}
	if passed >= cl.expiry {
		b.counters.expired++
		b.dropSession(cl, "expired")
		return
	}
	cl.sleep()
}

// dropSession ends a session and all that belongs to it. That is durable with t.
func (b *Broker) dropSession(cl *client, why string) (t core.Ticket) {
	b.timers.stop(&cl.timer)
	traces := cl.leavesTraces()
	if cl.will != nil { // the session's end is when a delayed will is due at the latest
		cl.publishWill()
	}
	delete(b.clients, cl.id)
	if b.sessionsOf[cl.identity]--; b.sessionsOf[cl.identity] == 0 {
		delete(b.sessionsOf, cl.identity)
	}
	b.strike(cl)
	b.forgetClientSys(cl)
	cl.leaveShares()
	b.unsubscribeAll(cl)
	if cl.receiver != 0 {
		delete(b.receivers, cl.receiver)
		t = b.store.Record(core.SessionDropped{ClientID: cl.id, Receiver: cl.receiver}, false)
		if traces {
			b.noteEnd(cl.id, t)
		}
		b.log.Debug("session ended", "client", cl.id, "reason", why)
	}
	return t
}

// strike takes a session off the roster. The last one takes its place.
func (b *Broker) strike(cl *client) {
	last := len(b.roster) - 1
	b.roster[cl.place] = b.roster[last]
	b.roster[cl.place].place = cl.place
	b.roster[last] = nil
	b.roster = b.roster[:last]
}

// held is the change to record with a message of QoS 2 from the client.
func (cl *client) held(pid uint16) []core.Change {
	if cl.receiver == 0 {
		return nil
	}
	return []core.Change{core.IncomingHeld{Owner: cl.receiver, PacketID: pid}}
}

// drop counts messages that the client does not get.
func (cl *client) drop(why core.Reason, n int) {
	if cl.dropped == nil {
		cl.dropped = make(map[core.Reason]uint64)
	}
	cl.dropped[why] += uint64(n)
	cl.broker.drop(why, n)
}

// owed is how many messages wait for the client.
func (cl *client) owed() uint64 {
	n := uint64(cl.queue.len())
	if cl.receiver != 0 {
		n = max(n, cl.broker.store.Owed(cl.receiver))
	}
	return n
}

// push queues a message that the connection does not take yet.
func (cl *client) push(d core.Delivery) {
	d.Subscriptions = slices.Clone(d.Subscriptions) // they end with the publication
	size := d.Message.Size()
	cl.queue.push(d)
	cl.queued += size
	cl.broker.queued += int64(size)
}

func (cl *client) pop() core.Delivery {
	d := cl.queue.pop()
	size := d.Message.Size()
	cl.queued -= size
	cl.broker.queued -= int64(size)
	return d
}

// fits says whether the queue takes one more message of this size.
func (cl *client) fits(size int) bool {
	limits := &cl.broker.cfg.Limits
	return cl.queue.len() < limits.MaxClientMessages &&
		cl.queued+size <= limits.MaxClientBytes &&
		cl.broker.queued+int64(size) <= limits.MaxQueuedBytes
}
