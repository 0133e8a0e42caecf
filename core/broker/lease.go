package broker

import (
	"cmp"
	"maps"
	"slices"

	"github.com/weir-edge/weir/core"
)

// lease is a message that a member has got from a share.
type lease struct {
	core.Delivery
	from *share
}

// lend notes that a client has a message of a share.
func (cl *client) lend(from *share, pid uint16, d core.Delivery) {
	if cl.leases == nil {
		cl.leases = make(map[uint16]lease)
	}
	cl.leases[pid] = lease{d, from}
	if d.Seq != 0 {
		from.held[d.Seq] = cl
	}
}

// redeem ends that: the client has acknowledged it, or refused it.
func (cl *client) redeem(pid uint16) {
	l, ok := cl.leases[pid]
	if !ok {
		return
	}
	delete(cl.leases, pid)
	delete(l.from.held, l.Seq)
	l.from.pace.acknowledged(uint64(l.Seq), cl.broker.now)
}

func (cl *client) leased(from *share, seq core.Seq) bool {
	same := func(l lease) bool { return l.from == from && l.Seq == seq }
	if slices.ContainsFunc(cl.resuming, same) {
		return true
	}
	for _, l := range cl.leases {
		if same(l) {
			return true
		}
	}
	return false
}

// returnLeases is called when the connection has ended: QoS 1 goes back to the
// shares, QoS 2 waits for the client to come again.
func (cl *client) returnLeases() {
	for _, pid := range slices.Sorted(maps.Keys(cl.leases)) {
		l := cl.leases[pid]
		if l.QoS == core.ExactlyOnce {
			cl.resuming = append(cl.resuming, l)
			continue
		}
		cl.out.Puback(pid)
		delete(l.from.held, l.Seq)
		l.Again = true
		l.from.again = append(l.from.again, l.Delivery)
	}
	touched := slices.Clone(cl.shares)
	for _, l := range cl.leases {
		if !slices.Contains(touched, l.from) { // it was left meanwhile
			touched = append(touched, l.from)
		}
	}
	cl.leases = nil
	slices.SortStableFunc(cl.resuming, func(a, b lease) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, s := range touched {
		slices.SortStableFunc(s.again, func(a, b core.Delivery) int { return cmp.Compare(a.Seq, b.Seq) })
		if s.online() {
			s.pump()
		} else {
			s.rest()
		}
	}
}

// resumeLeases goes on with what the client has begun, before anything new.
func (cl *client) resumeLeases() {
	for cl.connected() && len(cl.resuming) > 0 && cl.ready(core.ExactlyOnce) {
		l := cl.resuming[0]
		cl.resuming = slices.Delete(cl.resuming, 0, 1)
		cl.transmit(l.from, l.Delivery)
	}
}

// pumpShares takes what the shares of the client have for it.
func (cl *client) pumpShares() {
	cl.resumeLeases()
	for _, s := range cl.shares {
		s.pump()
	}
}

// leaveShares is the end of a session: what it has begun goes to nobody else
// [MQTT-4.8.2-5].
func (cl *client) leaveShares() {
	for _, l := range cl.resuming {
		delete(l.from.held, l.Seq)
		l.from.drop(core.DroppedSessionGone, 1)
		l.from.pay(l.Seq)
	}
	cl.resuming = nil
	if cl.out != nil { // also what was not fetched again since the broker's start
		for sent := range cl.out.Begun() {
			if s, ok := cl.broker.receivers[sent.Receiver].(*share); ok && s.held[sent.Seq] == cl {
				delete(s.held, sent.Seq)
				s.drop(core.DroppedSessionGone, 1)
				s.pay(sent.Seq)
			}
		}
	}
	for len(cl.shares) > 0 {
		cl.broker.leave(cl.shares[0].name, cl)
	}
}
