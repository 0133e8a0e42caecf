package broker

import (
	"fmt"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
)

// load makes the state of the store that of the broker.
func (b *Broker) load() error {
	ignored := 0
	err := b.store.Load(func(c core.Change) {
		if !b.restore(c) {
			ignored++
		}
	})
	if err != nil {
		return err
	}
	if ignored > 0 {
		b.log.Warn("state of unknown receivers ignored", "changes", ignored)
	}
	for _, cl := range b.clients {
		b.reopen(cl)
	}
	b.forgetShares()
	return nil
}

// restore applies one change of the state. False: it belongs to a receiver that is
// not known.
func (b *Broker) restore(change core.Change) bool {
	switch c := change.(type) {
	case core.SessionSaved:
		b.restoreSession(c.Session)
	case core.RuleSaved:
		b.rules[c.Name] = &rule{name: c.Name, receiver: c.Receiver}
		b.ruleOf[c.Receiver] = b.rules[c.Name]
	case core.WillSaved:
		b.restoreWill(c.Will)
	case core.RetainedSaved:
		b.setRetained(c.Message)
	case core.SubscriptionSaved:
		return b.restoreSubscription(c.Subscription)
	case core.IncomingHeld:
		return b.restoreIncoming(c)
	case core.OutgoingSaved:
		return b.restoreOutgoing(c.Outgoing)
	default:
		b.log.Warn("change of state without a meaning", "change", fmt.Sprintf("%T", change))
	}
	return true
}

func (b *Broker) restoreSession(s core.Session) {
	cl := b.newClient(s.ClientID, s.Identity)
	cl.receiver, cl.expiry, cl.ended = s.Receiver, s.Expiry, s.Ended
	cl.behind = true
	b.receivers[cl.receiver] = cl
}

// clientOf is the session of a receiver, nil if it is none.
func (b *Broker) clientOf(r core.ReceiverID) *client {
	cl, _ := b.receivers[r].(*client)
	return cl
}

func (b *Broker) restoreSubscription(s core.Subscription) bool {
	cl := b.clientOf(s.Receiver)
	if cl == nil {
		return false
	}
	at := int32(len(cl.filters))
	cl.filters = append(cl.filters, s.Filter)
	cl.setGrant(s.Filter, grant{options: packet.Options(s.Options), id: s.ID, at: at})
	return true
}

func (b *Broker) restoreIncoming(c core.IncomingHeld) bool {
	if cl := b.clientOf(c.Owner); cl != nil {
		cl.inbound().Restore(c.PacketID)
		return true
	}
	r := b.ruleOf[c.Owner]
	if r != nil {
		r.incoming = append(r.incoming, c.PacketID)
	}
	return r != nil
}

func (b *Broker) restoreOutgoing(o core.Outgoing) bool {
	if cl := b.clientOf(o.Owner); cl != nil {
		cl.outbound().Restore(o)
		if s, ok := b.receivers[o.Receiver].(*share); ok {
			s.held[o.Seq] = cl
		}
		return true
	}
	r := b.ruleOf[o.Owner]
	if r != nil {
		r.outgoing = append(r.outgoing, o)
	}
	return r != nil
}

// reopen lets a session that was loaded wait for its client. One that was
// connected when the broker ended is disconnected from now on; one without expiry
// has ended with the broker.
func (b *Broker) reopen(cl *client) {
	if cl.ended.IsZero() {
		cl.ended = b.stamp
		cl.save()
	}
	cl.since = cl.ended.Time()
	if b.stamp.Since(cl.ended) >= cl.expiry {
		if cl.will != nil {
			b.publishWillLater(cl.principal(), cl.will.message)
			cl.takeWill()
		}
		b.dropSession(cl, "expired")
		return
	}
	cl.sleep()
}
