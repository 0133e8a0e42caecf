package packet

import "encoding/binary"

// Unsubscribe ends subscriptions.
type Unsubscribe struct {
	PacketID   uint16
	Properties *Properties
	Filters    [][]byte
}

// Type is UNSUBSCRIBE.
func (p *Unsubscribe) Type() Type { return UNSUBSCRIBE }

func parseUnsubscribe(c *cursor, v Version) *Unsubscribe {
	p := &Unsubscribe{PacketID: c.packetID()}
	if v >= V5 {
		p.Properties = c.properties(UNSUBSCRIBE)
	}
	if len(c.b) == 0 {
		c.fail(ProtocolError, "MQTT-3.10.3-2", "UNSUBSCRIBE without a filter")
	}
	for len(c.b) > 0 {
		p.Filters = append(p.Filters, c.text("topic filter"))
	}
	return p
}

// Size is the size of the whole packet.
func (p *Unsubscribe) Size(v Version) int { return whole(p.body(v)) }

func (p *Unsubscribe) body(v Version) int {
	n := 2
	if v >= V5 {
		n += p.Properties.size(UNSUBSCRIBE)
	}
	for _, f := range p.Filters {
		n += binarySize(f)
	}
	return n
}

// AppendTo appends the whole packet.
func (p *Unsubscribe) AppendTo(b []byte, v Version) []byte {
	b = appendHeader(b, UNSUBSCRIBE, ackFlags, p.body(v))
	b = binary.BigEndian.AppendUint16(b, p.PacketID)
	if v >= V5 {
		b = p.Properties.append(b, UNSUBSCRIBE)
	}
	for _, f := range p.Filters {
		b = appendBinary(b, f)
	}
	return b
}
