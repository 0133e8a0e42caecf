package broker

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/weir-edge/weir/core"
)

// counters count since the start. They belong to the loop.
type counters struct {
	started          time.Time
	packetsReceived  uint64
	packetsSent      uint64
	messagesReceived uint64
	messagesSent     uint64
	payloadReceived  uint64 // bytes of payloads
	payloadSent      uint64
	maxHeap          uint64 // as far as it was asked for
	bytesReceived    uint64
	bytesSent        uint64
	accepted         uint64
	connects         uint64
	maxClients       int
	expired          uint64
	storeWaits       uint64 // times that a client was held back until the store had room
	held             uint64 // times that a client was kept to its rate
	refused          map[string]uint64
	dropped          map[core.Reason]uint64
}

// count counts a connection that was refused or ended.
func (b *Broker) count(why string) {
	if b.counters.refused == nil {
		b.counters.refused = make(map[string]uint64)
	}
	b.counters.refused[why]++
}

// allDropped is the sum over the reasons.
func (n *counters) allDropped() (sum uint64) {
	for _, k := range n.dropped {
		sum += k
	}
	return sum
}

// drop counts messages that somebody does not get.
func (b *Broker) drop(why core.Reason, n int) {
	if b.counters.dropped == nil {
		b.counters.dropped = make(map[core.Reason]uint64)
	}
	b.counters.dropped[why] += uint64(n)
}

func clone[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return maps.Clone(m)
}

// Status is a snapshot for the console; it is zero when the broker has stopped.
// It asks the loop, which takes no longer than a turn.
func (b *Broker) Status() (s core.BrokerStatus) {
	b.do(func() {
		n := &b.counters
		s = core.BrokerStatus{
			Connections:      len(b.conns),
			Sessions:         len(b.clients),
			Subscriptions:    b.subscriptions.Len(),
			Retained:         b.retained.Len(),
			MessagesReceived: n.messagesReceived,
			MessagesSent:     n.messagesSent,
			BytesReceived:    n.bytesReceived,
			BytesSent:        n.bytesSent,
			Connects:         n.connects,
			RetainedBytes:    b.retainedBytes,
			Held:             n.held,
			StoreWaits:       n.storeWaits,
			Refused:          clone(n.refused),
			Dropped:          clone(n.dropped),
		}
		for _, l := range b.listeners {
			s.Listeners = append(s.Listeners, l.status())
		}
	})
	return s
}

// Clients lists all sessions by client id. The loop makes the list a slice at a
// time; a session that comes or goes meanwhile may be missing.
func (b *Broker) Clients() (list []core.ClientStatus) {
	for more := true; more; {
		err := b.do(func() {
			end := min(len(list)+sliceSize, len(b.roster))
			for _, cl := range b.roster[min(len(list), end):end] {
				list = append(list, cl.status())
			}
			more = len(list) < len(b.roster)
		})
		more = more && err == nil
	}
	slices.SortFunc(list, func(a, b core.ClientStatus) int { return cmp.Compare(a.ClientID, b.ClientID) })
	return slices.CompactFunc(list, func(a, b core.ClientStatus) bool { return a.ClientID == b.ClientID })
}

func (cl *client) status() core.ClientStatus {
	s := core.ClientStatus{
		ClientID: cl.id, User: cl.identity, Durable: cl.receiver != 0, Since: cl.since,
		Subscriptions: len(cl.filters), Queued: cl.owed(), Dropped: maps.Clone(cl.dropped),
	}
	if cl.out != nil {
		s.Inflight = cl.out.Inflight()
	}
	if c := cl.conn; c != nil {
		s.Connected, s.Address, s.Listener = true, c.remote, c.listener.Name
		s.Protocol, s.Keepalive = versionName(c.version), c.keepalive.Seconds()
	}
	return s
}

// Buffer is the store's state, with the names of its receivers.
func (b *Broker) Buffer() (s core.BufferStatus) {
	b.do(func() {
		s = b.store.Status()
		for i, r := range s.Receivers {
			s.Receivers[i].Name = b.nameOf(r.Receiver)
		}
	})
	return s
}

func (b *Broker) nameOf(r core.ReceiverID) string {
	if cl := b.clientOf(r); cl != nil {
		return cl.id
	}
	if rule := b.ruleOf[r]; rule != nil {
		return rule.name
	}
	return ""
}
