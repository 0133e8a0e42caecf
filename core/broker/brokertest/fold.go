package brokertest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/weir-edge/weir/core"
)

// fold is the sum of changes: one for each fact, by a key that sorts owners before
// what they own.
type fold map[string]core.Change

func (f fold) apply(c core.Change) {
	switch c := c.(type) {
	case core.SessionSaved:
		f["0session "+c.Session.ClientID] = c
	case core.SessionDropped:
		delete(f, "0session "+c.ClientID)
		f.forget(c.Receiver)
	case core.RuleSaved:
		f["0rule "+c.Name] = c
	case core.RuleDropped:
		delete(f, "0rule "+c.Name)
		f.forget(c.Receiver)
	case core.SubscriptionSaved:
		f[fmt.Sprintf("1subscription %d %s", c.Subscription.Receiver, c.Subscription.Filter)] = c
	case core.SubscriptionDropped:
		delete(f, fmt.Sprintf("1subscription %d %s", c.Receiver, c.Filter))
	case core.WillSaved:
		f["1will "+c.Will.ClientID] = c
	case core.WillDropped:
		delete(f, "1will "+c.ClientID)
	case core.RetainedSaved:
		f["1retained "+c.Message.Topic] = c
	case core.RetainedDropped:
		delete(f, "1retained "+c.Topic)
	case core.IncomingHeld:
		f[fmt.Sprintf("1incoming %d %d", c.Owner, c.PacketID)] = c
	case core.IncomingReleased:
		delete(f, fmt.Sprintf("1incoming %d %d", c.Owner, c.PacketID))
	case core.OutgoingSaved:
		f[fmt.Sprintf("2outgoing %d %d", c.Outgoing.Owner, c.Outgoing.PacketID)] = c
	case core.OutgoingDone:
		delete(f, fmt.Sprintf("2outgoing %d %d", c.Owner, c.PacketID))
	}
}

// forget removes what belongs to a receiver.
func (f fold) forget(r core.ReceiverID) {
	maps.DeleteFunc(f, func(_ string, c core.Change) bool {
		switch c := c.(type) {
		case core.SubscriptionSaved:
			return c.Subscription.Receiver == r
		case core.IncomingHeld:
			return c.Owner == r
		case core.OutgoingSaved:
			return c.Outgoing.Owner == r
		}
		return false
	})
}

func (f fold) visit(visit func(core.Change)) {
	for _, key := range slices.SortedFunc(maps.Keys(f), cmp.Compare[string]) {
		visit(f[key])
	}
}
