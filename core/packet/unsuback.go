package packet

import "encoding/binary"

// Unsuback answers an Unsubscribe; Reasons are sent in MQTT 5 only.
type Unsuback struct {
	PacketID   uint16
	Properties *Properties
	Reasons    []Reason
}

// Type is UNSUBACK.
func (p *Unsuback) Type() Type { return UNSUBACK }

func parseUnsuback(c *cursor, v Version) *Unsuback {
	p := &Unsuback{PacketID: c.packetID()}
	if v >= V5 {
		p.Properties = c.properties(UNSUBACK)
		p.Reasons = c.reasons(UNSUBACK)
	}
	return p
}

// Size is the size of the whole packet.
func (p *Unsuback) Size(v Version) int { return whole(p.body(v)) }

func (p *Unsuback) body(v Version) int {
	if v < V5 {
		return 2
	}
	return 2 + p.Properties.size(UNSUBACK) + len(p.Reasons)
}

// AppendTo appends the whole packet.
func (p *Unsuback) AppendTo(b []byte, v Version) []byte {
	b = appendHeader(b, UNSUBACK, 0, p.body(v))
	b = binary.BigEndian.AppendUint16(b, p.PacketID)
	if v < V5 {
		return b
	}
	b = p.Properties.append(b, UNSUBACK)
	for _, r := range p.Reasons {
		b = append(b, byte(r))
	}
	return b
}
