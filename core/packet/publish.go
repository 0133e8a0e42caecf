package packet

import "encoding/binary"

// Publish carries an application message.
type Publish struct {
	Dup        bool
	QoS        byte
	Retain     bool
	Topic      []byte
	PacketID   uint16
	Properties *Properties
	Payload    []byte
}

// The flags of a PUBLISH.
const (
	retainFlag = 1
	qosFlags   = 6
	dupFlag    = 8
)

// Type is PUBLISH.
func (p *Publish) Type() Type { return PUBLISH }

// Parse decodes a body into p, in place of what p held. Without properties it
// does not allocate. Topic, properties and payload alias body.
func (p *Publish) Parse(flags byte, body []byte, v Version) error {
	c := cursor{b: body}
	p.parse(&c, flags, v)
	return c.err
}

func (p *Publish) parse(c *cursor, flags byte, v Version) {
	*p = Publish{
		Dup:    flags&dupFlag != 0,
		QoS:    flags & qosFlags >> 1,
		Retain: flags&retainFlag != 0,
	}
	p.checkFlags(c, v)
	p.Topic = c.topicName("topic name")
	if p.QoS > 0 {
		p.PacketID = c.packetID()
	}
	if v >= V5 {
		p.Properties = c.properties(PUBLISH)
	}
	p.checkTopic(c)
	p.Payload, c.b = c.b, nil
}

func (p *Publish) checkFlags(c *cursor, v Version) {
	switch {
	case p.QoS > 2:
		c.fail(MalformedPacket, "MQTT-3.3.1-4", "PUBLISH with QoS 3")
	case p.Dup && p.QoS == 0 && v == V31:
		p.Dup = false // MQTT 3.1 gives it no meaning and does not forbid it
	case p.Dup && p.QoS == 0:
		c.fail(ProtocolError, "MQTT-3.3.1-2", "DUP with QoS 0")
	}
}

// checkTopic: a name may be empty only where an alias stands for it.
func (p *Publish) checkTopic(c *cursor) {
	if len(p.Topic) == 0 && (p.Properties == nil || p.Properties.TopicAlias == nil) {
		c.fail(ProtocolError, "MQTT-4.7.3-1", "empty topic name")
	}
}

// Size is the size of the whole packet.
func (p *Publish) Size(v Version) int {
	return whole(publishHead(v, len(p.Topic), p.QoS, p.Properties.bare(PUBLISH)) + len(p.Payload))
}

// AppendTo appends the whole packet.
func (p *Publish) AppendTo(b []byte, v Version) []byte {
	b = appendPublish(b, v, p.Dup, p.QoS, p.Retain, p.Topic, p.PacketID, p.Properties, len(p.Payload))
	return append(b, p.Payload...)
}

// AppendPublish appends a whole PUBLISH without a struct for it. The packet id
// counts above QoS 0 only, the properties in MQTT 5 only.
func AppendPublish(b []byte, v Version, dup bool, qos byte, retain bool, topic string, pid uint16, props *Properties, payload []byte) []byte {
	b = appendPublish(b, v, dup, qos, retain, topic, pid, props, len(payload))
	return append(b, payload...)
}

// AppendPublishHeader appends a PUBLISH up to its payload of payloadLen bytes,
// which the caller sends behind it from where it is.
func AppendPublishHeader(b []byte, v Version, dup bool, qos byte, retain bool, topic string, pid uint16, props *Properties, payloadLen int) []byte {
	return appendPublish(b, v, dup, qos, retain, topic, pid, props, payloadLen)
}

// PublishSize is the size of what AppendPublish appends.
func PublishSize(v Version, qos byte, topic string, props *Properties, payloadLen int) int {
	return whole(publishHead(v, len(topic), qos, props.bare(PUBLISH)) + payloadLen)
}

func appendPublish[S ~string | ~[]byte](b []byte, v Version, dup bool, qos byte, retain bool, topic S, pid uint16, props *Properties, payloadLen int) []byte {
	flags := qos << 1
	if dup {
		flags |= dupFlag
	}
	if retain {
		flags |= retainFlag
	}
	bare := 0
	if v >= V5 {
		bare = props.bare(PUBLISH)
	}
	b = appendHeader(b, PUBLISH, flags, publishHead(v, len(topic), qos, bare)+payloadLen)
	b = appendBinary(b, topic)
	if qos > 0 { // [MQTT-2.2.1-2]
		b = binary.BigEndian.AppendUint16(b, pid)
	}
	if v >= V5 {
		b = props.appendBare(b, PUBLISH, bare)
	}
	return b
}

// publishHead is the size of the body without its payload, with properties of that size.
func publishHead(v Version, topicLen int, qos byte, bare int) int {
	n := 2 + min(topicLen, maxField)
	if qos > 0 {
		n += 2
	}
	if v >= V5 {
		n += varintSize(bare) + bare
	}
	return n
}
