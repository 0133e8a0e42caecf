package storage

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/weir-edge/weir/core"
)

// The key space of the state. A key is its kind, the ids of fixed width, and at
// most one text at the end: no two facts share a key.
const (
	keySession      = 'S' // client id
	keyRule         = 'R' // name
	keySubscription = 'c' // receiver, filter
	keyWill         = 'w' // client id
	keyRetained     = 't' // topic
	keyIncoming     = 'i' // owner, packet id
	keyOutgoing     = 'o' // owner, packet id
	keyPosition     = 'p' // receiver
	keyReserved     = 'q' // the seq up to which numbers may be given out
	keyPart         = 'y' // hash of the key whose fact it belongs to, number; in meta only
	keyCheckpoint   = 'z' // in meta only
)

// loadOrder is the order in which Load visits: owners before what they own.
var loadOrder = []byte{keySession, keyRule, keySubscription, keyWill, keyRetained, keyIncoming, keyOutgoing}

func textKey(kind byte, text string) []byte {
	return append([]byte{kind}, text...)
}

func receiverKey(kind byte, r core.ReceiverID, text string) []byte {
	b := make([]byte, 0, 9+len(text))
	b = binary.BigEndian.AppendUint64(append(b, kind), uint64(r))
	return append(b, text...)
}

func packetKey(kind byte, owner core.ReceiverID, id uint16) []byte {
	b := make([]byte, 0, 11)
	b = binary.BigEndian.AppendUint64(append(b, kind), uint64(owner))
	return binary.BigEndian.AppendUint16(b, id)
}

// changeKey is the key that a change sets or deletes; dropping a session or a
// rule touches more and is told by its own ops.
func changeKey(c core.Change) []byte {
	switch c := c.(type) {
	case core.SessionSaved:
		return textKey(keySession, c.Session.ClientID)
	case core.SessionDropped:
		return textKey(keySession, c.ClientID)
	case core.RuleSaved:
		return textKey(keyRule, c.Name)
	case core.RuleDropped:
		return textKey(keyRule, c.Name)
	case core.SubscriptionSaved:
		return receiverKey(keySubscription, c.Subscription.Receiver, c.Subscription.Filter)
	case core.SubscriptionDropped:
		return receiverKey(keySubscription, c.Receiver, c.Filter)
	case core.WillSaved:
		return textKey(keyWill, c.Will.ClientID)
	case core.WillDropped:
		return textKey(keyWill, c.ClientID)
	case core.RetainedSaved:
		return textKey(keyRetained, c.Message.Topic)
	case core.RetainedDropped:
		return textKey(keyRetained, c.Topic)
	case core.IncomingHeld:
		return packetKey(keyIncoming, c.Owner, c.PacketID)
	case core.IncomingReleased:
		return packetKey(keyIncoming, c.Owner, c.PacketID)
	case core.OutgoingSaved:
		return packetKey(keyOutgoing, c.Outgoing.Owner, c.Outgoing.PacketID)
	case core.OutgoingDone:
		return packetKey(keyOutgoing, c.Owner, c.PacketID)
	default:
		panic(fmt.Sprintf("storage: change of unknown type %T", c))
	}
}

// appendOps appends what a change does to the key space.
func appendOps(ops []op, c core.Change) []op {
	key := changeKey(c)
	switch c := c.(type) {
	case core.SessionSaved:
		s := c.Session
		return append(ops, set(key, &sessionRecord{
			Receiver: uint64(s.Receiver), Identity: s.Identity, Expiry: int64(s.Expiry), Ended: toStamp(s.Ended),
		}))
	case core.SessionDropped:
		return appendForget(append(ops, op{Kind: opDelete, Key: key}), c.Receiver)
	case core.RuleSaved:
		return append(ops, set(key, &ruleRecord{Receiver: uint64(c.Receiver)}))
	case core.RuleDropped:
		return appendForget(append(ops, op{Kind: opDelete, Key: key}), c.Receiver)
	case core.SubscriptionSaved:
		return append(ops, set(key, &subscriptionRecord{Options: c.Subscription.Options, ID: c.Subscription.ID}))
	case core.WillSaved:
		w := c.Will
		return append(ops, set(key, &willRecord{
			Identity: w.Identity, Delay: int64(w.Delay), Message: toRecord(0, 0, w.Message, stampRecord{}),
		}))
	case core.RetainedSaved:
		record := toRecord(0, 0, c.Message, stampRecord{})
		return append(ops, set(key, &record))
	case core.IncomingHeld:
		return append(ops, op{Kind: opSet, Key: key})
	case core.OutgoingSaved:
		o := c.Outgoing
		return append(ops, set(key, &outgoingRecord{Receiver: uint64(o.Receiver), Seq: uint64(o.Seq), Released: o.Released}))
	default: // SubscriptionDropped, WillDropped, RetainedDropped, IncomingReleased, OutgoingDone
		return append(ops, op{Kind: opDelete, Key: key})
	}
}

// appendForget appends the end of everything that is keyed by a receiver.
func appendForget(ops []op, r core.ReceiverID) []op {
	for _, kind := range []byte{keySubscription, keyIncoming, keyOutgoing, keyPosition} {
		ops = append(ops, op{Kind: opClear, Key: receiverKey(kind, r, "")})
	}
	return ops
}

func set(key []byte, value interface {
	MarshalMsg([]byte) ([]byte, error)
},
) op {
	b, err := value.MarshalMsg(nil)
	if err != nil {
		panic(fmt.Sprintf("storage: marshal record: %v", err)) // our records always can be
	}
	return op{Kind: opSet, Key: key, Value: b}
}

// parseChange gives the change that has set key to value, or nil for keys that
// are the log's own.
func parseChange(key, value []byte) (core.Change, error) {
	if len(key) == 0 {
		return nil, fmt.Errorf("%w: empty key", errDamaged)
	}
	text := string(key[1:])
	switch key[0] {
	case keySession:
		var r sessionRecord
		_, err := r.UnmarshalMsg(value)
		return core.SessionSaved{Session: core.Session{
			Receiver: core.ReceiverID(r.Receiver), ClientID: text, Identity: r.Identity,
			Expiry: time.Duration(r.Expiry), Ended: r.Ended.stamp(),
		}}, err
	case keyRule:
		var r ruleRecord
		_, err := r.UnmarshalMsg(value)
		return core.RuleSaved{Name: text, Receiver: core.ReceiverID(r.Receiver)}, err
	case keyWill:
		var r willRecord
		_, err := r.UnmarshalMsg(value)
		m := r.Message.message(stampRecord{}, nil)
		return core.WillSaved{Will: core.Will{
			ClientID: text, Identity: r.Identity, Delay: time.Duration(r.Delay), Message: &m,
		}}, err
	case keyRetained:
		var r messageRecord
		_, err := r.UnmarshalMsg(value)
		m := r.message(stampRecord{}, nil)
		return core.RetainedSaved{Message: &m}, err
	case keySubscription, keyIncoming, keyOutgoing:
		if len(key) < 9 {
			return nil, fmt.Errorf("%w: short key", errDamaged)
		}
		return parseOwned(key[0], core.ReceiverID(binary.BigEndian.Uint64(key[1:])), key[9:], value)
	default:
		return nil, nil
	}
}

func parseOwned(kind byte, owner core.ReceiverID, rest, value []byte) (core.Change, error) {
	if kind == keySubscription {
		var r subscriptionRecord
		_, err := r.UnmarshalMsg(value)
		return core.SubscriptionSaved{Subscription: core.Subscription{
			Receiver: owner, Filter: string(rest), Options: r.Options, ID: r.ID,
		}}, err
	}
	if len(rest) != 2 {
		return nil, fmt.Errorf("%w: packet key", errDamaged)
	}
	id := binary.BigEndian.Uint16(rest)
	if kind == keyIncoming {
		return core.IncomingHeld{Owner: owner, PacketID: id}, nil
	}
	var r outgoingRecord
	_, err := r.UnmarshalMsg(value)
	return core.OutgoingSaved{Outgoing: core.Outgoing{
		Owner: owner, PacketID: id, Receiver: core.ReceiverID(r.Receiver), Seq: core.Seq(r.Seq), Released: r.Released,
	}}, err
}
