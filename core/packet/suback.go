package packet

import "encoding/binary"

// Suback answers a Subscribe, one reason a filter.
type Suback struct {
	PacketID   uint16
	Properties *Properties
	Reasons    []Reason
}

// Type is SUBACK.
func (p *Suback) Type() Type { return SUBACK }

func parseSuback(c *cursor, v Version) *Suback {
	p := &Suback{PacketID: c.packetID()}
	if v >= V5 {
		p.Properties = c.properties(SUBACK)
	}
	p.Reasons = c.reasons(SUBACK)
	if v < V5 {
		c.checkReturnCodes(p.Reasons)
	}
	return p
}

// reasons reads one reason code or more, to the end.
func (c *cursor) reasons(t Type) []Reason {
	if len(c.b) == 0 {
		c.fail(ProtocolError, "", t.String()+" without a reason code")
		return nil
	}
	reasons := make([]Reason, 0, len(c.b))
	for len(c.b) > 0 {
		reasons = append(reasons, c.reason(t))
	}
	return reasons
}

// checkReturnCodes: before MQTT 5 a failure is always 0x80.
func (c *cursor) checkReturnCodes(codes []Reason) {
	for _, r := range codes {
		if r > UnspecifiedError {
			c.fail(ProtocolError, "MQTT-3.9.3-2", "return code that is not one of SUBACK")
		}
	}
}

// Size is the size of the whole packet.
func (p *Suback) Size(v Version) int { return whole(p.body(v)) }

func (p *Suback) body(v Version) int {
	n := 2 + len(p.Reasons)
	if v >= V5 {
		n += p.Properties.size(SUBACK)
	}
	return n
}

// AppendTo appends the whole packet. Before MQTT 5 every error becomes 0x80.
func (p *Suback) AppendTo(b []byte, v Version) []byte {
	b = appendHeader(b, SUBACK, 0, p.body(v))
	b = binary.BigEndian.AppendUint16(b, p.PacketID)
	if v >= V5 {
		b = p.Properties.append(b, SUBACK)
	}
	for _, r := range p.Reasons {
		if v < V5 && r.IsError() {
			r = UnspecifiedError
		}
		b = append(b, byte(r))
	}
	return b
}
