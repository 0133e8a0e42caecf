package packet

import (
	"encoding/binary"
)

// Properties are the MQTT 5 properties of a packet. Pointers and nil slices tell
// what is absent from what is zero. Byte slices alias the input after parsing.
// Those that do not belong into a packet are not written with it.
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
	Encoded                []byte         // more of them to be written after those, by AppendUserProperty
	MaximumPacketSize      *uint32
	WildcardAvailable      *byte
	SubscriptionIDsAvail   *byte
	SharedSubscriptionsAvl *byte
}

// UserProperty is one name and value.
type UserProperty struct{ Name, Value []byte }

const userProperty = 0x26

// AppendUserProperty appends one as it is on the wire, for Properties.Encoded.
func AppendUserProperty[V ~string | ~[]byte](b []byte, name string, value V) []byte {
	return appendBinary(appendBinary(append(b, userProperty), name), value)
}

// property is a row of the table: what the standard says of one property. How it
// is encoded follows from the type of its field in Properties.
type property struct {
	name  string
	in    uint16 // the packets that may carry it, a bit for each Type
	many  uint16 // the packets that may carry it more than once
	check check
}

// check is what a value must be beyond well-formed.
type check byte

const (
	anyValue check = iota // binary data, or a number of the whole range
	bit                   // 0 or 1
	positive              // not 0
	alias                 // not 0 either, but with a reason code of its own
	text                  // UTF-8
	topic                 // a topic name
)

// inWill stands for the will of a CONNECT, which has properties of its own.
const inWill Type = 0

// Packets that share properties.
const (
	ofMessage = 1<<PUBLISH | 1<<inWill
	ofAuth    = 1<<CONNECT | 1<<CONNACK | 1<<AUTH
	ofLink    = 1<<CONNECT | 1<<CONNACK
	ofAnswer  = 1<<CONNACK | 1<<PUBACK | 1<<PUBREC | 1<<PUBREL | 1<<PUBCOMP | 1<<SUBACK | 1<<UNSUBACK | 1<<DISCONNECT | 1<<AUTH
	ofAll     = ofAnswer | ofMessage | 1<<CONNECT | 1<<SUBSCRIBE | 1<<UNSUBSCRIBE
)

// properties is the table of section 2.2.2.2, by identifier.
var properties = [...]property{
	0x01: {name: "payload format indicator", in: ofMessage, check: bit},
	0x02: {name: "message expiry interval", in: ofMessage},
	0x03: {name: "content type", in: ofMessage, check: text},
	0x08: {name: "response topic", in: ofMessage, check: topic},
	0x09: {name: "correlation data", in: ofMessage},
	0x0B: {name: "subscription identifier", in: 1<<PUBLISH | 1<<SUBSCRIBE, many: 1 << PUBLISH, check: positive},
	0x11: {name: "session expiry interval", in: ofLink | 1<<DISCONNECT},
	0x12: {name: "assigned client identifier", in: 1 << CONNACK, check: text},
	0x13: {name: "server keep alive", in: 1 << CONNACK},
	0x15: {name: "authentication method", in: ofAuth, check: text},
	0x16: {name: "authentication data", in: ofAuth},
	0x17: {name: "request problem information", in: 1 << CONNECT, check: bit},
	0x18: {name: "will delay interval", in: 1 << inWill},
	0x19: {name: "request response information", in: 1 << CONNECT, check: bit},
	0x1A: {name: "response information", in: 1 << CONNACK, check: text},
	0x1C: {name: "server reference", in: 1<<CONNACK | 1<<DISCONNECT, check: text},
	0x1F: {name: "reason string", in: ofAnswer, check: text},
	0x21: {name: "receive maximum", in: ofLink, check: positive},
	0x22: {name: "topic alias maximum", in: ofLink},
	0x23: {name: "topic alias", in: 1 << PUBLISH, check: alias},
	0x24: {name: "maximum QoS", in: 1 << CONNACK, check: bit},
	0x25: {name: "retain available", in: 1 << CONNACK, check: bit},
	0x26: {name: "user property", in: ofAll, many: ofAll, check: text},
	0x27: {name: "maximum packet size", in: ofLink, check: positive},
	0x28: {name: "wildcard subscription available", in: 1 << CONNACK, check: bit},
	0x29: {name: "subscription identifiers available", in: 1 << CONNACK, check: bit},
	0x2A: {name: "shared subscription available", in: 1 << CONNACK, check: bit},
}

// carried lists for each Type the identifiers that it may carry, in their order,
// so that a PUBLISH is not searched for what belongs into a CONNACK.
var carried = carriedByType()

func carriedByType() (ids [AUTH + 1][]byte) {
	for t := range ids {
		for id := range properties {
			if properties[id].in>>t&1 != 0 {
				ids[t] = append(ids[t], byte(id))
			}
		}
	}
	return ids
}

// field is a pointer to the field of a property. The type of the field says how
// it is on the wire: *byte, *uint16 and *uint32 as big endian numbers, []byte with
// two bytes of length, []uint32 as variable byte integers, and []UserProperty as
// pairs of strings.
func (p *Properties) field(id byte) any {
	switch id {
	case 0x01:
		return &p.PayloadFormat
	case 0x02:
		return &p.MessageExpiry
	case 0x03:
		return &p.ContentType
	case 0x08:
		return &p.ResponseTopic
	case 0x09:
		return &p.CorrelationData
	case 0x0B:
		return &p.SubscriptionIDs
	case 0x11:
		return &p.SessionExpiry
	case 0x12:
		return &p.AssignedClientID
	case 0x13:
		return &p.ServerKeepalive
	case 0x15:
		return &p.AuthMethod
	case 0x16:
		return &p.AuthData
	case 0x17:
		return &p.RequestProblemInfo
	case 0x18:
		return &p.WillDelay
	case 0x19:
		return &p.RequestResponseInfo
	case 0x1A:
		return &p.ResponseInfo
	case 0x1C:
		return &p.ServerReference
	case 0x1F:
		return &p.ReasonString
	case 0x21:
		return &p.ReceiveMaximum
	case 0x22:
		return &p.TopicAliasMaximum
	case 0x23:
		return &p.TopicAlias
	case 0x24:
		return &p.MaximumQoS
	case 0x25:
		return &p.RetainAvailable
	case userProperty:
		return &p.User
	case 0x27:
		return &p.MaximumPacketSize
	case 0x28:
		return &p.WildcardAvailable
	case 0x29:
		return &p.SubscriptionIDsAvail
	case 0x2A:
		return &p.SharedSubscriptionsAvl
	}
	return nil
}

// properties reads the properties of a packet of type t; nil if there are none.
func (c *cursor) properties(t Type) *Properties {
	n := c.varint()
	if n == 0 || c.err != nil {
		return nil
	}
	in := cursor{b: c.take(int(n)), err: c.err}
	p := new(Properties)
	var seen uint64 // a bit for each identifier
	for len(in.b) > 0 {
		id := in.propertyID(t, &seen)
		in.property(p, id)
	}
	if p.AuthData != nil && p.AuthMethod == nil {
		in.fail(ProtocolError, "", "authentication data without a method")
	}
	if in.err != nil {
		c.err, c.b = in.err, nil
	}
	return p
}

// propertyID reads an identifier and checks that it may stand here.
func (c *cursor) propertyID(t Type, seen *uint64) byte {
	id := c.varint()
	if c.err != nil {
		return 0
	}
	if id >= uint32(len(properties)) || properties[id].in>>t&1 == 0 {
		c.fail(MalformedPacket, "", "property that is not allowed in this packet")
		return 0
	}
	if *seen>>id&1 != 0 && properties[id].many>>t&1 == 0 {
		c.fail(ProtocolError, "", properties[id].name+" given twice")
		return 0
	}
	*seen |= 1 << id
	return byte(id)
}

// property reads the value of a property into its field.
func (c *cursor) property(p *Properties, id byte) {
	switch f := p.field(id).(type) {
	case **byte:
		*f = new(c.byte())
		c.checkNumber(id, uint32(**f))
	case **uint16:
		*f = new(c.uint16())
		c.checkNumber(id, uint32(**f))
	case **uint32:
		*f = new(c.uint32())
		c.checkNumber(id, **f)
	case *[]uint32:
		n := c.varint()
		c.checkNumber(id, n)
		*f = append(*f, n)
	case *[]byte:
		*f = c.propertyBytes(id)
	case *[]UserProperty:
		*f = append(*f, UserProperty{Name: c.text("user property"), Value: c.text("user property")}) // [MQTT-1.5.7-1]
	}
}

func (c *cursor) propertyBytes(id byte) []byte {
	name := properties[id].name
	switch properties[id].check {
	case text:
		return c.text(name)
	case topic:
		s := c.topicName(name) // [MQTT-3.3.2-14]
		if len(s) == 0 {
			c.fail(ProtocolError, "MQTT-4.7.3-1", "empty "+name)
		}
		return s
	}
	return c.binary()
}

func (c *cursor) checkNumber(id byte, n uint32) {
	switch rule := properties[id].check; {
	case c.err != nil:
	case rule == bit && n > 1:
		c.fail(ProtocolError, "", properties[id].name+" is neither 0 nor 1")
	case rule == positive && n == 0:
		c.fail(ProtocolError, "", properties[id].name+" is 0")
	case rule == alias && n == 0:
		c.fail(TopicAliasInvalid, "MQTT-3.3.2-8", "topic alias 0")
	}
}

// size is the size of the properties of a packet of type t with their length in
// front, which is 1 when there are none [MQTT-2.2.2-1].
func (p *Properties) size(t Type) int {
	n := p.bare(t)
	return varintSize(n) + n
}

// bare is the size of the properties without their length.
func (p *Properties) bare(t Type) (n int) {
	if p == nil {
		return 0
	}
	for _, id := range carried[t] {
		n += p.sizeOf(id)
	}
	return n
}

func (p *Properties) sizeOf(id byte) (n int) {
	switch f := p.field(id).(type) {
	case **byte:
		if *f != nil {
			n = 1 + 1
		}
	case **uint16:
		if *f != nil {
			n = 1 + 2
		}
	case **uint32:
		if *f != nil {
			n = 1 + 4
		}
	case *[]uint32:
		for _, v := range *f {
			n += 1 + varintSize(int(v))
		}
	case *[]byte:
		if *f != nil {
			n = 1 + binarySize(*f)
		}
	case *[]UserProperty:
		for _, u := range *f {
			n += 1 + binarySize(u.Name) + binarySize(u.Value)
		}
		n += len(p.Encoded)
	}
	return n
}

// append appends the properties of a packet of type t with their length in front.
func (p *Properties) append(b []byte, t Type) []byte { return p.appendBare(b, t, p.bare(t)) }

// appendBare does so when the size without the length is known.
func (p *Properties) appendBare(b []byte, t Type, bare int) []byte {
	b = appendVarint(b, bare)
	if p == nil {
		return b
	}
	for _, id := range carried[t] {
		b = p.appendOne(b, id)
	}
	return b
}

func (p *Properties) appendOne(b []byte, id byte) []byte {
	switch f := p.field(id).(type) {
	case **byte:
		if *f != nil {
			b = append(b, id, **f)
		}
	case **uint16:
		if *f != nil {
			b = binary.BigEndian.AppendUint16(append(b, id), **f)
		}
	case **uint32:
		if *f != nil {
			b = binary.BigEndian.AppendUint32(append(b, id), **f)
		}
	case *[]uint32:
		for _, v := range *f {
			b = appendVarint(append(b, id), int(v))
		}
	case *[]byte:
		if *f != nil {
			b = appendBinary(append(b, id), *f)
		}
	case *[]UserProperty:
		for _, u := range *f {
			b = appendBinary(append(b, id), u.Name)
			b = appendBinary(b, u.Value)
		}
		b = append(b, p.Encoded...)
	}
	return b
}
