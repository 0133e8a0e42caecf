package packet

import "encoding/binary"

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

// The protocol names.
const (
	nameV31 = "MQIsdp"
	name    = "MQTT"
)

// bridgeBit of the protocol level says: this client is a bridge.
const bridgeBit = 0x80

// The connect flags.
const (
	reservedConnectFlag = 1 << iota
	cleanFlag
	willFlag
	willQoSLow
	willQoSHigh
	willRetainFlag
	passwordFlag
	usernameFlag

	willQoSFlags = willQoSLow | willQoSHigh
)

// Type is CONNECT.
func (p *Connect) Type() Type { return CONNECT }

func (p *Connect) parse(c *cursor, h Header) {
	p.parseVersion(c)
	c.header(h, p.Version)
	flags := c.connectFlags(p.Version)
	p.CleanStart = flags&cleanFlag != 0
	p.Keepalive = c.uint16()
	if p.Version >= V5 {
		p.Properties = c.properties(CONNECT)
	}
	p.ClientID = c.text("client identifier")
	if flags&willFlag != 0 {
		p.Will = c.will(flags, p.Version)
	}
	p.parseLogin(c, flags)
	c.end()
}

// parseVersion reads the protocol name and level. Version is set even if it is
// one that we don't speak.
func (p *Connect) parseVersion(c *cursor) {
	protocol, level := c.binary(), c.byte()
	if c.err != nil {
		return
	}
	if s := string(protocol); s != name && s != nameV31 {
		c.fail(UnsupportedProtocolVersion, "MQTT-3.1.2-1", "protocol name is not MQTT")
		return
	}
	p.Version, p.Bridge = Version(level&^bridgeBit), level&bridgeBit != 0
	if want := protocolName(p.Version); want != string(protocol) {
		c.fail(UnsupportedProtocolVersion, "MQTT-3.1.2-2", "unsupported protocol level")
	}
}

// protocolName is the name that goes with v, empty for an unknown version.
func protocolName(v Version) string {
	switch v {
	case V31:
		return nameV31
	case V311, V5:
		return name
	}
	return ""
}

// connectFlags reads the flags and checks them against each other. MQTT 3.1 has
// no rule for the reserved flag and for those of a will that is not there.
func (c *cursor) connectFlags(v Version) byte {
	flags := c.byte()
	switch {
	case flags&willFlag != 0 && flags&willQoSFlags == willQoSFlags:
		c.fail(MalformedPacket, "MQTT-3.1.2-12", "will with QoS 3")
	case v < V5 && flags&passwordFlag != 0 && flags&usernameFlag == 0:
		c.fail(MalformedPacket, "MQTT-3.1.2-22", "password without a user name") // number of 3.1.1
	case v == V31:
	case flags&reservedConnectFlag != 0:
		c.fail(MalformedPacket, "MQTT-3.1.2-3", "reserved connect flag")
	case flags&willFlag != 0:
	case flags&willQoSFlags != 0:
		c.fail(MalformedPacket, "MQTT-3.1.2-11", "QoS of a will that is not there")
	case flags&willRetainFlag != 0:
		c.fail(MalformedPacket, "MQTT-3.1.2-13", "retain flag of a will that is not there")
	}
	return flags
}

func (c *cursor) will(flags byte, v Version) *Will {
	w := &Will{QoS: flags & willQoSFlags >> 3, Retain: flags&willRetainFlag != 0}
	if v >= V5 {
		w.Properties = c.properties(inWill)
	}
	w.Topic = c.topicName("will topic")
	if len(w.Topic) == 0 {
		c.fail(TopicNameInvalid, "MQTT-4.7.3-1", "empty will topic")
	}
	w.Payload = c.binary()
	return w
}

// parseLogin reads user name and password. In MQTT 3.1 the length of the packet
// has the last word: a field that was announced may be missing at the end.
func (p *Connect) parseLogin(c *cursor, flags byte) {
	lenient := p.Version == V31
	if flags&usernameFlag != 0 && !(lenient && len(c.b) == 0) {
		p.HasUsername, p.Username = true, c.text("user name")
	}
	if flags&passwordFlag != 0 && !(lenient && len(c.b) == 0) {
		p.HasPassword, p.Password = true, c.binary()
	}
}

// Size is the size of the whole packet in its own version, whatever the argument.
func (p *Connect) Size(Version) int { return whole(p.body()) }

func (p *Connect) body() int {
	n := binarySize(protocolName(p.Version)) + 1 + 1 + 2 + binarySize(p.ClientID)
	if p.Version >= V5 {
		n += p.Properties.size(CONNECT)
	}
	if w := p.Will; w != nil {
		n += binarySize(w.Topic) + binarySize(w.Payload)
		if p.Version >= V5 {
			n += w.Properties.size(inWill)
		}
	}
	if p.HasUsername {
		n += binarySize(p.Username)
	}
	if p.HasPassword {
		n += binarySize(p.Password)
	}
	return n
}

// AppendTo appends the whole packet in its own version, whatever the argument.
func (p *Connect) AppendTo(b []byte, _ Version) []byte {
	level := byte(p.Version)
	if p.Bridge {
		level |= bridgeBit
	}
	b = appendHeader(b, CONNECT, 0, p.body())
	b = appendBinary(b, protocolName(p.Version))
	b = append(b, level, p.flags())
	b = binary.BigEndian.AppendUint16(b, p.Keepalive)
	if p.Version >= V5 {
		b = p.Properties.append(b, CONNECT)
	}
	return p.appendPayload(appendBinary(b, p.ClientID))
}

// appendPayload appends what follows the client id [MQTT-3.1.3-1].
func (p *Connect) appendPayload(b []byte) []byte {
	if w := p.Will; w != nil {
		if p.Version >= V5 {
			b = w.Properties.append(b, inWill)
		}
		b = appendBinary(b, w.Topic)
		b = appendBinary(b, w.Payload)
	}
	if p.HasUsername {
		b = appendBinary(b, p.Username)
	}
	if p.HasPassword {
		b = appendBinary(b, p.Password)
	}
	return b
}

func (p *Connect) flags() (f byte) {
	set := func(on bool, flag byte) {
		if on {
			f |= flag
		}
	}
	set(p.CleanStart, cleanFlag)
	set(p.HasUsername, usernameFlag)
	set(p.HasPassword, passwordFlag)
	if w := p.Will; w != nil {
		f |= willFlag | w.QoS<<3
		set(w.Retain, willRetainFlag)
	}
	return f
}
