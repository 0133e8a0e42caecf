package packet

import "encoding/binary"

// Ack is a PUBACK, PUBREC, PUBREL or PUBCOMP.
type Ack struct {
	Kind       Type
	PacketID   uint16
	Reason     Reason
	Properties *Properties
}

// Type is the kind.
func (a *Ack) Type() Type { return a.Kind }

// Parse decodes a body into a, in place of what a held. Without properties it
// does not allocate.
func (a *Ack) Parse(h Header, body []byte, v Version) error {
	c := cursor{b: body}
	c.header(h, v)
	*a = Ack{Kind: h.Type}
	a.parse(&c, v)
	c.end()
	return c.err
}

func (a *Ack) parse(c *cursor, v Version) {
	a.PacketID = c.packetID()
	if v < V5 {
		return
	}
	// What is left out at the end is success and no properties.
	if len(c.b) > 0 {
		a.Reason = c.reason(a.Kind)
	}
	if len(c.b) > 0 {
		a.Properties = c.properties(a.Kind)
	}
}

// Size is the size of the whole packet.
func (a *Ack) Size(v Version) int { return whole(a.body(v)) }

func (a *Ack) body(v Version) int {
	switch n := a.Properties.size(a.Kind); {
	case v >= V5 && n > 1:
		return 3 + n
	case v >= V5 && a.Reason != Success:
		return 3
	}
	return 2
}

// AppendTo appends the whole packet, in its shortest form.
func (a *Ack) AppendTo(b []byte, v Version) []byte {
	n := a.body(v)
	b = appendHeader(b, a.Kind, ackHeaderFlags(a.Kind), n)
	b = binary.BigEndian.AppendUint16(b, a.PacketID)
	if n > 2 {
		b = append(b, byte(a.Reason))
	}
	if n > 3 {
		b = a.Properties.append(b, a.Kind)
	}
	return b
}

// AppendAck appends an acknowledgement without properties.
func AppendAck(b []byte, v Version, kind Type, pid uint16, r Reason) []byte {
	head := byte(kind)<<4 | ackHeaderFlags(kind)
	if v < V5 || r == Success {
		return append(b, head, 2, byte(pid>>8), byte(pid))
	}
	return append(b, head, 3, byte(pid>>8), byte(pid), byte(r))
}

func ackHeaderFlags(kind Type) byte {
	if kind == PUBREL { // [MQTT-3.6.1-1]
		return ackFlags
	}
	return 0
}
