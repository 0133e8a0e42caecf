package packet

// Auth carries a step of an enhanced authentication (MQTT 5).
type Auth struct {
	Reason     Reason
	Properties *Properties
}

// Type is AUTH.
func (p *Auth) Type() Type { return AUTH }

func parseAuth(c *cursor, v Version) *Auth {
	if v < V5 {
		c.fail(MalformedPacket, "MQTT-2.2.2-2", "AUTH before MQTT 5")
	}
	p := new(Auth)
	p.Reason, p.Properties = c.ending(AUTH)
	return p
}

// Size is the size of the whole packet.
func (p *Auth) Size(Version) int { return whole(p.body()) }

func (p *Auth) body() int { return endingSize(AUTH, p.Reason, p.Properties) }

// AppendTo appends the whole packet, in its shortest form.
func (p *Auth) AppendTo(b []byte, _ Version) []byte {
	b = appendHeader(b, AUTH, 0, p.body())
	return appendEnding(b, AUTH, p.Reason, p.Properties)
}
