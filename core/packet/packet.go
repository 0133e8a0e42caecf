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

// String is the name of the packet as the standard writes it.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "packet of unknown type"
}

var typeNames = [...]string{
	"reserved packet", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP",
	"SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
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

// Parse decodes the body of the packet that h announces. A CONNECT says its
// version itself, whatever v is; when it is refused, the *Connect returned beside
// the error still has the version that the peer asked for, if it came that far,
// so that the answer can be in the peer's language. Any other packet is nil
// beside an error.
func Parse(h Header, body []byte, v Version) (Packet, error) {
	c := cursor{b: body}
	if h.Type == CONNECT {
		p := new(Connect)
		p.parse(&c, h)
		return p, c.err
	}
	c.header(h, v)
	p := decode(&c, h, v)
	c.end()
	if c.err != nil {
		return nil, c.err
	}
	return p, nil
}

// decode reads a packet of any type but CONNECT; faults stay in c.
func decode(c *cursor, h Header, v Version) Packet {
	switch h.Type {
	case PUBLISH:
		p := new(Publish)
		p.parse(c, h.Flags, v)
		return p
	case PUBACK, PUBREC, PUBREL, PUBCOMP:
		p := &Ack{Kind: h.Type}
		p.parse(c, v)
		return p
	case CONNACK:
		return parseConnack(c, v)
	case SUBSCRIBE:
		return parseSubscribe(c, v)
	case SUBACK:
		return parseSuback(c, v)
	case UNSUBSCRIBE:
		return parseUnsubscribe(c, v)
	case UNSUBACK:
		return parseUnsuback(c, v)
	case PINGREQ:
		return new(Pingreq)
	case PINGRESP:
		return new(Pingresp)
	case DISCONNECT:
		return parseDisconnect(c, v)
	case AUTH:
		return parseAuth(c, v)
	}
	c.fail(MalformedPacket, "", h.Type.String())
	return nil
}
