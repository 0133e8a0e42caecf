package packet

// Version is the protocol level of a connection, as in the CONNECT packet.
type Version byte

// The protocol levels.
const (
	V31  Version = 3
	V311 Version = 4
	V5   Version = 5
)

// Type is the kind of a control packet.
type Type byte

// The control packets, by their number in the fixed header.
const (
	CONNECT     Type = 1
	CONNACK     Type = 2
	PUBLISH     Type = 3
	PUBACK      Type = 4
	PUBREC      Type = 5
	PUBREL      Type = 6
	PUBCOMP     Type = 7
	SUBSCRIBE   Type = 8
	SUBACK      Type = 9
	UNSUBSCRIBE Type = 10
	UNSUBACK    Type = 11
	PINGREQ     Type = 12
	PINGRESP    Type = 13
	DISCONNECT  Type = 14
	AUTH        Type = 15
)

// Header is the fixed header.
type Header struct {
	Type   Type
	Flags  byte // the low four bits of the first byte
	Length int  // of the body, in bytes
}

// Packet is any control packet.
type Packet interface {
	Type() Type
	// Size is the number of bytes that AppendTo will append.
	Size(v Version) int
	// AppendTo appends the whole packet. It does not check what it is given:
	// the sender is trusted to keep to the limits of the protocol.
	AppendTo(b []byte, v Version) []byte
}

// Connect opens a connection.
type Connect struct {
	Version    Version
	Bridge     bool // the 0x80 bit of the protocol level that 3.1.1 bridges set
	CleanStart bool
	Keepalive  uint16 // seconds
	Properties *Properties
	ClientID   []byte
	Will       *Will
	// HasUsername and HasPassword tell an empty field from a missing one.
	HasUsername, HasPassword bool
	Username, Password       []byte
}

// Will is the message that the server publishes for a client that has gone.
type Will struct {
	QoS        byte
	Retain     bool
	Properties *Properties // with WillDelay
	Topic      []byte
	Payload    []byte
}

// Connack answers a Connect.
type Connack struct {
	SessionPresent bool
	Reason         Reason // for 3.1 and 3.1.1 it holds the return code 0..5 as it is on the wire
	Properties     *Properties
}

// Publish carries an application message.
type Publish struct {
	Dup        bool
	QoS        byte
	Retain     bool
	Topic      []byte
	PacketID   uint16
	Properties *Properties
	Payload    []byte
}

// Ack is a PUBACK, PUBREC, PUBREL or PUBCOMP.
type Ack struct {
	Kind       Type
	PacketID   uint16
	Reason     Reason
	Properties *Properties
}

// Subscribe asks for subscriptions.
type Subscribe struct {
	PacketID   uint16
	Properties *Properties
	Filters    []Filter
}

// Filter is one topic filter of a SUBSCRIBE with its options byte.
type Filter struct {
	Filter  []byte
	Options Options
}

// Options are the subscription options, as on the wire.
type Options byte

// QoS is the maximum QoS asked for.
func (o Options) QoS() byte { return byte(o) & 3 }

// NoLocal: don't send back what this client published.
func (o Options) NoLocal() bool { return o&4 != 0 }

// RetainAsPublished: keep the retain flag as it was published.
func (o Options) RetainAsPublished() bool { return o&8 != 0 }

// RetainHandling: 0 send retained messages, 1 only if the subscription is new, 2 never.
func (o Options) RetainHandling() byte { return byte(o) >> 4 & 3 }

// Suback answers a Subscribe, one reason a filter.
type Suback struct {
	PacketID   uint16
	Properties *Properties
	Reasons    []Reason
}

// Unsubscribe ends subscriptions.
type Unsubscribe struct {
	PacketID   uint16
	Properties *Properties
	Filters    [][]byte
}

// Unsuback answers an Unsubscribe; Reasons are sent in MQTT 5 only.
type Unsuback struct {
	PacketID   uint16
	Properties *Properties
	Reasons    []Reason
}

// Pingreq and Pingresp keep a connection alive.
type (
	Pingreq  struct{}
	Pingresp struct{}
)

// Disconnect ends a connection. Before MQTT 5 only a client sends it, empty.
type Disconnect struct {
	Reason     Reason
	Properties *Properties
}

// Auth carries a step of an enhanced authentication (MQTT 5).
type Auth struct {
	Reason     Reason
	Properties *Properties
}

// Properties are the MQTT 5 properties of a packet. Pointers and nil slices tell
// what is absent from what is zero. Byte slices alias the input after parsing.
type Properties struct {
	PayloadFormat          *byte
	MessageExpiry          *uint32 // seconds
	ContentType            []byte
	ResponseTopic          []byte
	CorrelationData        []byte
	SubscriptionIDs        []uint32
	SessionExpiry          *uint32 // seconds
	AssignedClientID       []byte
	ServerKeepalive        *uint16
	AuthMethod             []byte
	AuthData               []byte
	RequestProblemInfo     *byte
	WillDelay              *uint32 // seconds
	RequestResponseInfo    *byte
	ResponseInfo           []byte
	ServerReference        []byte
	ReasonString           []byte
	ReceiveMaximum         *uint16
	TopicAliasMaximum      *uint16
	TopicAlias             *uint16
	MaximumQoS             *byte
	RetainAvailable        *byte
	User                   []UserProperty // in order
	MaximumPacketSize      *uint32
	WildcardAvailable      *byte
	SubscriptionIDsAvail   *byte
	SharedSubscriptionsAvl *byte
}

// UserProperty is one name and value.
type UserProperty struct{ Name, Value []byte }
