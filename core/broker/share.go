package broker

import (
	"maps"
	"slices"
	"strings"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/topic"
)

// share is a shared subscription: $share/GROUP/FILTER. It is a subscriber of its
// own, with a queue of its own, from which its members take in turn as they have
// room. So a slow member gets less, and what a member leaves behind goes to another.
//
// Like a client's session it is live or behind. As soon as one of its members has a
// session that outlives its connection the share is a receiver of the log under its
// name: what is published while nobody is there waits for whoever comes first.
//
// What a member was sent at QoS 1 and has not acknowledged goes back when its
// connection ends. At QoS 2 it stays with that member until its session ends
// [MQTT-4.8.2-4], and then goes to nobody [MQTT-4.8.2-5]; so does what a member
// refuses [MQTT-4.8.2-6].
type share struct {
	endpoint

	// Static.
	broker *Broker
	name   string
	filter string

	receiver core.ReceiverID // 0 while all members are clean
	members  []sharer
	next     int // whose turn it is

	again    []core.Delivery // given back, in order; before the queue
	queue    fifo[core.Delivery]
	queued   int
	behind   bool
	fetching bool
	expected int
	held     map[core.Seq]*client // by whom it was begun; QoS 1 until its connection ends
	pace     pace                 // by Seq
}

type sharer struct {
	client *client
	grant  grant
}

const sharePrefix = "$share/"

func isShared(filter string) bool { return strings.HasPrefix(filter, sharePrefix) }

// join makes a client a member, or changes what it was granted.
func (b *Broker) join(name string, cl *client, g grant) (existed bool) {
	s := b.shares[name]
	if s == nil {
		_, filter, _, _ := topic.ParseShare(name) // it was checked
		s = &share{broker: b, name: name, filter: filter, held: map[core.Seq]*client{}}
		s.endpoint.subscriber = s
		b.shares[name] = s
	}
	if i := s.find(cl); i >= 0 {
		s.members[i].grant = g
		existed = true
	} else {
		s.members = append(s.members, sharer{cl, g})
		cl.shares = append(cl.shares, s)
	}
	s.settleGrant()
	s.fetch()
	return existed
}

// leave ends a membership.
func (b *Broker) leave(name string, cl *client) bool {
	s := b.shares[name]
	if s == nil {
		return false
	}
	i := s.find(cl)
	if i < 0 {
		return false
	}
	s.members = slices.Delete(s.members, i, i+1)
	cl.shares = slices.DeleteFunc(cl.shares, func(other *share) bool { return other == s })
	s.settleGrant()
	if len(s.members) > 0 && !s.online() {
		s.rest()
	}
	return true
}

func (s *share) find(cl *client) int {
	return slices.IndexFunc(s.members, func(m sharer) bool { return m.client == cl })
}

func (s *share) grantOf(cl *client) (g grant, ok bool) {
	if s == nil {
		return g, false
	}
	i := s.find(cl)
	if i < 0 {
		return g, false
	}
	return s.members[i].grant, true
}

// settleGrant makes the share subscribe with the highest QoS of its members, and a
// receiver of the log if one of them is durable.
func (s *share) settleGrant() {
	b := s.broker
	options := localOptions // retain as published: each member sees for itself
	durable := false
	for _, m := range s.members {
		options |= m.grant.options & 3
		durable = durable || m.client.receiver != 0
	}
	if options&3 == 3 {
		options = localOptions | 2
	}
	switch {
	case durable && s.receiver == 0:
		s.receiver = b.named(s.name).receiver
		b.receivers[s.receiver] = s
		s.behind = true
	case !durable && s.receiver != 0:
		b.forgetRule(s.name)
		s.receiver, s.behind, s.fetching = 0, false, false
	}
	if len(s.members) > 0 {
		b.insert(s.filter, &s.endpoint, grant{options: options})
		return
	}
	b.remove(s.filter, &s.endpoint)
	delete(b.shares, s.name)
	s.endpoint.subscriber = nobody{}
	if lost := s.clear(); lost > 0 {
		b.drop(core.DroppedSessionGone, lost)
	}
}

// forgetRule ends what the store knows under a name, and what is owed to it.
func (b *Broker) forgetRule(name string) (t core.Ticket) {
	r := b.rules[name]
	if r == nil {
		return 0
	}
	delete(b.rules, name)
	delete(b.ruleOf, r.receiver)
	delete(b.receivers, r.receiver)
	return b.record(core.RuleDropped{Name: name, Receiver: r.receiver})
}

// forgetShares drops what is left of shares without a member, after the start.
func (b *Broker) forgetShares() {
	for name := range maps.Clone(b.rules) {
		if isShared(name) && b.shares[name] == nil {
			b.forgetRule(name)
		}
	}
}

func (s *share) online() bool {
	return slices.ContainsFunc(s.members, func(m sharer) bool { return m.client.connected() })
}

func (s *share) debt() debtor {
	live := s.online()
	if live && s.receiver != 0 && !s.behind && !s.fits(s.broker.publication.message.Size()) {
		s.behind = true
	}
	return debtor{
		receiver: s.receiver, live: live && !s.behind,
		hold: s.pace.patience(s.broker.now, s.broker.cfg.SpillAfter),
	}
}

func (s *share) fits(size int) bool {
	limits := &s.broker.cfg.Limits
	return s.queue.len() < limits.MaxClientMessages && s.queued+size <= limits.MaxClientBytes &&
		s.broker.queued+int64(size) <= limits.MaxQueuedBytes
}

// deliver gives the message to the next member that has room, or queues it.
func (s *share) deliver(p *publication, d core.Delivery, live bool) {
	switch {
	case d.Seq != 0 && (!live || !s.online()): // in the log, to be fetched
		if s.online() && !s.behind {
			s.behind = true
			s.fetch()
		}
		return
	case !s.online():
		s.drop(core.DroppedOffline, 1)
		return
	case d.Seq == 0 && !s.fits(d.Message.Size()):
		s.drop(core.DroppedQueueFull, 1)
		return
	}
	d.Message, d.Subscriptions = p.keep(), nil
	s.push(d)
	s.pump()
}

func (s *share) push(d core.Delivery) {
	size := d.Message.Size()
	s.queue.push(d)
	s.queued += size
	s.broker.queued += int64(size)
}

// first is the next message, nil if there is none.
func (s *share) first() *core.Delivery {
	switch {
	case len(s.again) > 0:
		return &s.again[0]
	case s.queue.len() > 0:
		return s.queue.first()
	}
	return nil
}

func (s *share) pop() (d core.Delivery) {
	if len(s.again) > 0 {
		d = s.again[0]
		s.again = slices.Delete(s.again, 0, 1)
		return d
	}
	d = s.queue.pop()
	size := d.Message.Size()
	s.queued -= size
	s.broker.queued -= int64(size)
	return d
}

// pump gives the members what they have room for.
func (s *share) pump() {
	for d := s.first(); d != nil; d = s.first() {
		to, wait := s.choose(*d)
		switch {
		case wait:
			return
		case to == nil: // nobody who is there may have it
			s.drop(core.DroppedDenied, 1)
			s.pay(s.pop().Seq)
		default:
			s.pace.sent(uint64(d.Seq), s.broker.now)
			to.client.transmit(s, to.view(s.pop()))
		}
	}
	s.fetch()
}

// choose finds the member whose turn it is. wait: there is one, but it has no room;
// or nobody is there.
func (s *share) choose(d core.Delivery) (to *sharer, wait bool) {
	some := false
	for i := range s.members {
		at := (s.next + i) % len(s.members)
		m := &s.members[at]
		cl := m.client
		if !cl.connected() {
			continue
		}
		some = true
		if v := m.view(d); !cl.mayReceive(d.Message.Topic) || !cl.conn.sizeFits(v) {
			continue
		}
		wait = true
		if cl.queue.len() == 0 && len(cl.resuming) == 0 && cl.ready(m.qos(d)) {
			s.next = at + 1
			return m, false
		}
	}
	return nil, wait || !some
}

func (m *sharer) qos(d core.Delivery) core.QoS { return min(m.grant.options.QoS(), d.Message.QoS) }

// view is a message as the member sees it [MQTT-4.8.2-3].
func (m *sharer) view(d core.Delivery) core.Delivery {
	d.QoS = m.qos(d)
	d.Retain = d.Message.Retain && m.grant.options.RetainAsPublished()
	d.Subscriptions = nil
	if m.grant.id != 0 {
		d.Subscriptions = []uint32{m.grant.id}
	}
	return d
}

func (s *share) expect(n int) {
	s.expected += n
	if s.expected == 0 {
		s.fetch()
	}
}

func (s *share) fetch() {
	if !s.behind || s.fetching || s.expected > 0 || s.queue.len() > fetchMessages/4 || !s.online() {
		return
	}
	s.fetching = true
	s.broker.store.Fetch(s.receiver, fetchMessages, fetchBytes)
}

func (s *share) fetched(next []core.Delivery, caughtUp bool) {
	s.fetching = false
	if !s.online() {
		return
	}
	s.behind = !caughtUp
	for _, d := range next {
		switch holder := s.held[d.Seq]; {
		case holder != nil: // perhaps a client that is no member any more
			s.resume(holder, d)
		case slices.ContainsFunc(s.again, func(a core.Delivery) bool { return a.Seq == d.Seq }):
		default:
			s.push(d)
		}
	}
	s.pump()
}

// resume gives a message of QoS 2 to the member that has begun it, if it has not got
// it at this moment.
func (s *share) resume(holder *client, d core.Delivery) {
	switch {
	case s.broker.clients[holder.id] != holder: // [MQTT-4.8.2-5]
		delete(s.held, d.Seq)
		s.drop(core.DroppedSessionGone, 1)
		s.pay(d.Seq)
	case !holder.leased(s, d.Seq):
		d.QoS = core.ExactlyOnce
		holder.resuming = append(holder.resuming, lease{d, s})
		if holder.connected() {
			holder.resumeLeases()
		}
	}
}

// rest is called when the last member that was there has gone: what is owed comes
// again from the log, the rest is lost.
func (s *share) rest() {
	if lost := s.clear(); lost > 0 {
		s.drop(core.DroppedOffline, lost)
	}
	if s.receiver != 0 {
		s.behind, s.fetching = true, false
		s.epoch++
		s.broker.store.Rewind(s.receiver)
	}
}

// clear empties the queue and counts what no log has.
func (s *share) clear() (lost int) {
	for s.first() != nil {
		if s.pop().Seq == 0 {
			lost++
		}
	}
	return lost
}

func (s *share) pay(seq core.Seq) {
	if seq != 0 && s.receiver != 0 && s.broker.store.Paid(s.receiver, seq) {
		s.broker.settled(seq)
	}
}

func (s *share) drop(why core.Reason, n int) { s.broker.drop(why, n) }
