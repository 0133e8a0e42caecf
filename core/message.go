package core

import "time"

// QoS is an MQTT quality of service: 0, 1 or 2.
type QoS = byte

// The three qualities of service.
const (
	AtMostOnce  QoS = 0
	AtLeastOnce QoS = 1
	ExactlyOnce QoS = 2
)

// Seq is a message's place in the log. It only grows and survives restarts.
// Zero means that the message is in no log.
type Seq uint64

// ReceiverID names a durable receiver for good: a client session or a bridge
// rule. Ids are never given to another receiver. Zero is nobody.
type ReceiverID uint64

// Message is one application message on its way through the gateway. It is
// immutable once published; see the package comment for who may share it.
type Message struct {
	Topic   string
	Payload []byte
	QoS     QoS
	Retain  bool

	// Hops counts the Weir gateways that the message has passed before this one.
	// HopsUnknown: it came over a link that carries no count and also leads back.
	Hops uint8

	// Promise is what its acknowledgement stands for, where that is not what the
	// store says for all.
	Promise Promise

	// Properties is nil when the message has none, as most have.
	Properties *Properties

	// Publisher is the client id of the connection that sent the message, or
	// "adapter:NAME", "bridge:NAME", "$SYS" for those inside. No Local compares it.
	Publisher string

	// Received is when the gateway took the message (or, for a reading, the
	// middle of the transaction with the device).
	Received Stamp

	// Expiry is how long after Received the message is of use; 0 is for ever.
	Expiry time.Duration
}

// Promise is what an acknowledgement stands for.
type Promise uint8

// The promises.
const (
	PromiseDefault Promise = iota // the store's
	PromiseMemory                 // in memory: acknowledged at once, written without haste
	PromiseWritten                // in the page cache: survives a kill, not a power cut
	PromiseSynced                 // on disk, synced: survives a power cut
)

// HopsUnknown is the Hops of a message that may have gone round in a circle without
// anybody being able to tell.
const HopsUnknown = 255

// Properties are the MQTT 5 properties that travel with a message from end to end.
type Properties struct {
	UTF8Payload     bool
	ContentType     string
	ResponseTopic   string
	CorrelationData []byte
	User            []UserProperty // in the order received [MQTT-3.3.2-18]
}

// UserProperty is one name and value; names may repeat.
type UserProperty struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// With returns a shallow copy with another topic, QoS and retain flag.
// Payload and properties are shared.
func (m *Message) With(topic string, qos QoS, retain bool) *Message {
	c := *m
	c.Topic, c.QoS, c.Retain = topic, qos, retain
	return &c
}

// Size is the memory that the message accounts for in bounded queues, in bytes.
func (m *Message) Size() int {
	n := messageOverhead + len(m.Topic) + len(m.Payload)
	if p := m.Properties; p != nil {
		n += len(p.ContentType) + len(p.ResponseTopic) + len(p.CorrelationData)
		for _, u := range p.User {
			n += len(u.Name) + len(u.Value) + userPropertyOverhead
		}
	}
	return n
}

// What a message and a user property cost beside their bytes.
const (
	messageOverhead      = 160
	userPropertyOverhead = 32
)

// Expired says whether the message is of no use any more at now.
func (m *Message) Expired(now Stamp) bool {
	return m.Expiry > 0 && now.Since(m.Received) >= m.Expiry
}

// Delivery is a message on its way to one receiver.
type Delivery struct {
	Seq     Seq // 0 when nothing has to be paid (QoS 0, or a receiver that is not durable)
	Message *Message
	Again   bool // it may have been sent before: set DUP where a packet id is reused

	// The receiver's own view of the message.
	QoS           QoS      // granted, <= Message.QoS
	Retain        bool     // as this receiver must see it
	Subscriptions []uint32 // MQTT 5 subscription identifiers, usually nil
}
