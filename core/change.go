package core

import "time"

// Change is one step of the broker's durable state. The state is nothing but
// the fold of its changes: the store keeps them in the order in which they were
// recorded, between the messages appended before and after them, and gives the
// sum of them back at start, as changes again.
//
// Each change sets or clears one keyed fact, so applying it twice is harmless.
type Change interface{ change() }

// Session is a client session whose state outlives its connection.
type Session struct {
	Receiver ReceiverID
	ClientID string
	Identity string        // the authenticated user that it belongs to; "" is anonymous
	Expiry   time.Duration // after Ended; NeverExpires is for ever
	Ended    Stamp         // when the connection ended; zero while connected
}

// NeverExpires is the expiry of a session that stays until it is ended by its client.
const NeverExpires time.Duration = 1<<63 - 1

// Subscription is one filter of a durable session.
type Subscription struct {
	Receiver ReceiverID
	Filter   string
	Options  byte   // as in the SUBSCRIBE packet: QoS, No Local, Retain As Published, Retain Handling
	ID       uint32 // subscription identifier, 0 for none
}

// Will is what a connected client leaves behind if its connection, or the gateway,
// ends without a word.
type Will struct {
	ClientID string
	Identity string
	Delay    time.Duration
	Message  *Message
}

// Outgoing is a QoS 2 message between its first sending and its PUBCOMP.
type Outgoing struct {
	Owner    ReceiverID // whose packet ids these are: the session, or the bridge's link
	PacketID uint16
	Receiver ReceiverID // to whom the message is owed: the session, or the bridge's rule
	Seq      Seq
	Released bool // PUBREC has come: only PUBREL and PUBCOMP are left
}

// The changes. Receivers that are named by none of SessionSaved and RuleSaved
// are unknown after a restart, and what is owed to them is forgotten.
type (
	// SessionSaved creates or updates a session, keyed by ClientID.
	SessionSaved struct{ Session Session }
	// SessionDropped ends a session and everything that is keyed by its receiver.
	SessionDropped struct {
		ClientID string
		Receiver ReceiverID
	}
	// RuleSaved ties a receiver to a bridge rule (or a bridge's link), keyed by Name.
	RuleSaved struct {
		Name     string
		Receiver ReceiverID
	}
	// RuleDropped forgets a rule and what is owed to it, keyed by Name.
	RuleDropped struct {
		Name     string
		Receiver ReceiverID
	}
	// SubscriptionSaved is keyed by Receiver and Filter.
	SubscriptionSaved struct{ Subscription Subscription }
	// SubscriptionDropped undoes it.
	SubscriptionDropped struct {
		Receiver ReceiverID
		Filter   string
	}
	// WillSaved keeps the will of a client, keyed by ClientID, with a session or without.
	WillSaved struct{ Will Will }
	// WillDropped forgets it: it was published, or the client took it back.
	WillDropped struct{ ClientID string }
	// RetainedSaved keeps a message as the retained one of its topic.
	RetainedSaved struct{ Message *Message }
	// RetainedDropped clears a topic.
	RetainedDropped struct{ Topic string }
	// IncomingHeld remembers the packet id of a QoS 2 PUBLISH from Owner until its PUBREL.
	IncomingHeld struct {
		Owner    ReceiverID
		PacketID uint16
	}
	// IncomingReleased forgets it.
	IncomingReleased struct {
		Owner    ReceiverID
		PacketID uint16
	}
	// OutgoingSaved is keyed by Owner and PacketID.
	OutgoingSaved struct{ Outgoing Outgoing }
	// OutgoingDone forgets it: PUBCOMP has come.
	OutgoingDone struct {
		Owner    ReceiverID
		PacketID uint16
	}
)

func (SessionSaved) change()        {}
func (SessionDropped) change()      {}
func (RuleSaved) change()           {}
func (RuleDropped) change()         {}
func (SubscriptionSaved) change()   {}
func (SubscriptionDropped) change() {}
func (WillSaved) change()           {}
func (WillDropped) change()         {}
func (RetainedSaved) change()       {}
func (RetainedDropped) change()     {}
func (IncomingHeld) change()        {}
func (IncomingReleased) change()    {}
func (OutgoingSaved) change()       {}
func (OutgoingDone) change()        {}
