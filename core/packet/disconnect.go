package packet

// Disconnect ends a connection. Before MQTT 5 only a client sends it, empty.
type Disconnect struct {
	Reason     Reason
	Properties *Properties
}

// Type is DISCONNECT.
func (p *Disconnect) Type() Type { return DISCONNECT }

func parseDisconnect(c *cursor, v Version) *Disconnect {
	p := new(Disconnect)
	if v >= V5 {
		p.Reason, p.Properties = c.ending(DISCONNECT)
	}
	return p
}

// ending reads a reason code and properties, each of which may be left out at the end.
func (c *cursor) ending(t Type) (r Reason, props *Properties) {
	if len(c.b) > 0 {
		r = c.reason(t)
	}
	if len(c.b) > 0 {
		props = c.properties(t)
	}
	return r, props
}

// endingSize is the size of what appendEnding appends.
func endingSize(t Type, r Reason, props *Properties) int {
	switch n := props.size(t); {
	case n > 1:
		return 1 + n
	case r != Success:
		return 1
	}
	return 0
}

// appendEnding appends a reason code and properties in their shortest form.
func appendEnding(b []byte, t Type, r Reason, props *Properties) []byte {
	n := endingSize(t, r, props)
	if n > 0 {
		b = append(b, byte(r))
	}
	if n > 1 {
		b = props.append(b, t)
	}
	return b
}

// Size is the size of the whole packet.
func (p *Disconnect) Size(v Version) int { return whole(p.body(v)) }

func (p *Disconnect) body(v Version) int {
	if v < V5 {
		return 0
	}
	return endingSize(DISCONNECT, p.Reason, p.Properties)
}

// AppendTo appends the whole packet, in its shortest form.
func (p *Disconnect) AppendTo(b []byte, v Version) []byte {
	b = appendHeader(b, DISCONNECT, 0, p.body(v))
	if v < V5 {
		return b
	}
	return appendEnding(b, DISCONNECT, p.Reason, p.Properties)
}
