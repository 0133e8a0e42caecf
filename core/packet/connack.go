package packet

// Connack answers a Connect.
type Connack struct {
	SessionPresent bool
	Reason         Reason // for 3.1 and 3.1.1 it holds the return code 0..5 as it is on the wire
	Properties     *Properties
}

// Type is CONNACK.
func (p *Connack) Type() Type { return CONNACK }

func parseConnack(c *cursor, v Version) *Connack {
	p := new(Connack)
	old := len(c.b) == 2 && c.b[1] != byte(V3Accepted)
	p.SessionPresent = c.acknowledgeFlags(v)
	switch {
	case v < V5:
		p.Reason = c.returnCode()
	case old: // a server that does not know MQTT 5 refuses in the form of 3.1.1
		p.Reason = FromV3(c.returnCode())
	default:
		p.Reason = c.reason(CONNACK)
		p.Properties = c.properties(CONNACK)
	}
	if p.SessionPresent && p.Reason != Success {
		c.fail(ProtocolError, "MQTT-3.2.2-6", "CONNACK that refuses, with session present")
	}
	return p
}

// acknowledgeFlags reads the first byte, which means nothing in MQTT 3.1.
func (c *cursor) acknowledgeFlags(v Version) (sessionPresent bool) {
	flags := c.byte()
	if v == V31 {
		return false
	}
	if flags > 1 {
		c.fail(MalformedPacket, "MQTT-3.2.2-1", "reserved acknowledge flags")
	}
	return flags == 1
}

// returnCode reads a return code of MQTT 3.1 or 3.1.1.
func (c *cursor) returnCode() Reason {
	code := Reason(c.byte())
	if code > V3NotAuthorized {
		c.fail(ProtocolError, "", "reserved return code")
	}
	return code
}

// Size is the size of the whole packet.
func (p *Connack) Size(v Version) int { return whole(p.body(v)) }

func (p *Connack) body(v Version) int {
	if v < V5 {
		return 2
	}
	return 2 + p.Properties.size(CONNACK)
}

// AppendTo appends the whole packet.
func (p *Connack) AppendTo(b []byte, v Version) []byte {
	var flags byte
	if p.SessionPresent && v != V31 {
		flags = 1
	}
	b = appendHeader(b, CONNACK, 0, p.body(v))
	b = append(b, flags, byte(p.Reason))
	if v < V5 {
		return b
	}
	return p.Properties.append(b, CONNACK)
}
