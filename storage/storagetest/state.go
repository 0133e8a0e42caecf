package storagetest

import (
	"cmp"
	"maps"
	"slices"

	"github.com/weir-edge/weir/core"
)

// key names the fact that a change sets or clears.
type key struct {
	kind  kind
	owner core.ReceiverID
	id    uint16
	text  string
}

// kind orders the state as Load visits it: owners before what they own.
type kind byte

const (
	sessions kind = iota
	rules
	subscriptions
	wills
	retained
	incoming
	outgoing
)

// state is the fold of all changes.
type state struct {
	facts map[key]core.Change
}

func (s *state) apply(c core.Change) {
	if s.facts == nil {
		s.facts = make(map[key]core.Change)
	}
	switch c := c.(type) {
	case core.SessionSaved:
		s.facts[key{kind: sessions, text: c.Session.ClientID}] = c
	case core.SessionDropped:
		delete(s.facts, key{kind: sessions, text: c.ClientID})
		s.forget(c.Receiver)
	case core.RuleSaved:
		s.facts[key{kind: rules, text: c.Name}] = c
	case core.RuleDropped:
		delete(s.facts, key{kind: rules, text: c.Name})
		s.forget(c.Receiver)
	case core.SubscriptionSaved:
		s.facts[key{kind: subscriptions, owner: c.Subscription.Receiver, text: c.Subscription.Filter}] = c
	case core.SubscriptionDropped:
		delete(s.facts, key{kind: subscriptions, owner: c.Receiver, text: c.Filter})
	case core.WillSaved:
		s.facts[key{kind: wills, text: c.Will.ClientID}] = c
	case core.WillDropped:
		delete(s.facts, key{kind: wills, text: c.ClientID})
	case core.RetainedSaved:
		s.facts[key{kind: retained, text: c.Message.Topic}] = c
	case core.RetainedDropped:
		delete(s.facts, key{kind: retained, text: c.Topic})
	case core.IncomingHeld:
		s.facts[key{kind: incoming, owner: c.Owner, id: c.PacketID}] = c
	case core.IncomingReleased:
		delete(s.facts, key{kind: incoming, owner: c.Owner, id: c.PacketID})
	case core.OutgoingSaved:
		s.facts[key{kind: outgoing, owner: c.Outgoing.Owner, id: c.Outgoing.PacketID}] = c
	case core.OutgoingDone:
		delete(s.facts, key{kind: outgoing, owner: c.Owner, id: c.PacketID})
	}
}

// forget clears everything that is keyed by a receiver.
func (s *state) forget(r core.ReceiverID) {
	maps.DeleteFunc(s.facts, func(k key, _ core.Change) bool {
		return k.kind > rules && k.kind != retained && k.kind != wills && k.owner == r
	})
}

func (s *state) visit(visit func(core.Change)) {
	order := slices.SortedFunc(maps.Keys(s.facts), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.owner, b.owner),
			cmp.Compare(a.text, b.text), cmp.Compare(a.id, b.id))
	})
	for _, k := range order {
		visit(s.facts[k])
	}
}

// names are those of the receivers that a session or a rule names.
func (s *state) names() map[core.ReceiverID]string {
	names := make(map[core.ReceiverID]string)
	for _, c := range s.facts {
		switch c := c.(type) {
		case core.SessionSaved:
			names[c.Session.Receiver] = c.Session.ClientID
		case core.RuleSaved:
			names[c.Receiver] = c.Name
		}
	}
	return names
}

func (s *state) receivers() map[core.ReceiverID]bool {
	known := make(map[core.ReceiverID]bool)
	for id := range s.names() {
		known[id] = true
	}
	return known
}
