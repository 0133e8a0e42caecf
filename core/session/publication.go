package session

import (
	"math"
	"strings"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
)

// Publication is a message as one peer gets it.
type Publication struct {
	Message  *core.Message // payload and properties; its topic, QoS and retain flag are not used
	Topic    string        // empty when the alias is known to the peer
	QoS      core.QoS
	Retain   bool
	Dup      bool
	PacketID uint16

	// The rest goes to a peer of MQTT 5 only.
	Alias         uint16        // 0 for none
	Expiry        time.Duration // what is left of it; 0 for none
	Subscriptions []uint32
	User          []byte // user properties sent after those of the message; see packet.AppendUserProperty
	Mount         string // taken off the message's response topic
}

// Encoder turns publications into bytes without an allocation for each. It
// belongs to one goroutine.
type Encoder struct {
	props  packet.Properties
	user   []packet.UserProperty
	text   []byte // what the byte slices in props and user point to
	expiry uint32
	alias  uint16
	format byte
}

// AppendPublish appends p as a PUBLISH.
func (e *Encoder) AppendPublish(b []byte, v packet.Version, p Publication) []byte {
	var props *packet.Properties
	if v == packet.V5 {
		props = e.properties(&p)
	}
	return packet.AppendPublish(b, v, p.Dup, p.QoS, p.Retain, p.Topic, p.PacketID, props, p.Message.Payload)
}

// AppendHeader appends p up to its payload, which the caller sends from where it
// is.
func (e *Encoder) AppendHeader(b []byte, v packet.Version, p Publication) []byte {
	var props *packet.Properties
	if v == packet.V5 {
		props = e.properties(&p)
	}
	return packet.AppendPublishHeader(b, v, p.Dup, p.QoS, p.Retain, p.Topic, p.PacketID, props, len(p.Message.Payload))
}

// properties is nil when there is none.
func (e *Encoder) properties(p *Publication) *packet.Properties {
	own := p.Message.Properties
	if own == nil && p.Alias == 0 && p.Expiry <= 0 && len(p.Subscriptions) == 0 && len(p.User) == 0 {
		return nil
	}
	e.props = packet.Properties{SubscriptionIDs: p.Subscriptions}
	e.text, e.user = e.text[:0], e.user[:0]
	if p.Alias != 0 {
		e.alias = p.Alias
		e.props.TopicAlias = &e.alias
	}
	if p.Expiry > 0 {
		e.expiry = Seconds(p.Expiry)
		e.props.MessageExpiry = &e.expiry
	}
	if own != nil {
		e.carried(own, p.Mount)
	}
	e.props.User, e.props.Encoded = e.user, p.User
	return &e.props
}

// carried sets what travels with the message from end to end, unaltered and in
// order [MQTT-3.3.2-17] [MQTT-3.3.2-18]. Of the response topic a mount is taken off.
func (e *Encoder) carried(own *core.Properties, mount string) {
	if own.UTF8Payload {
		e.format = 1
		e.props.PayloadFormat = &e.format
	}
	if own.ContentType != "" {
		e.props.ContentType = e.bytes(own.ContentType)
	}
	if own.ResponseTopic != "" {
		e.props.ResponseTopic = e.bytes(strings.TrimPrefix(own.ResponseTopic, mount))
	}
	e.props.CorrelationData = own.CorrelationData
	e.userProperties(own.User)
}

func (e *Encoder) userProperties(us []core.UserProperty) {
	for _, u := range us {
		e.user = append(e.user, packet.UserProperty{Name: e.bytes(u.Name), Value: e.bytes(u.Value)})
	}
}

// bytes puts s into the scratch buffer. Slices made earlier keep what they show,
// even if the buffer moves.
func (e *Encoder) bytes(s string) []byte {
	n := len(e.text)
	e.text = append(e.text, s...)
	return e.text[n:len(e.text):len(e.text)]
}

// Properties copies what travels with a message out of a decoded packet; nil
// when there is nothing. Here ends the aliasing of the input buffer.
func Properties(p *packet.Properties) *core.Properties {
	if p == nil || p.PayloadFormat == nil && p.ContentType == nil && p.ResponseTopic == nil &&
		p.CorrelationData == nil && len(p.User) == 0 {
		return nil
	}
	c := &core.Properties{
		UTF8Payload:   p.PayloadFormat != nil && *p.PayloadFormat == 1,
		ContentType:   string(p.ContentType),
		ResponseTopic: string(p.ResponseTopic),
	}
	if p.CorrelationData != nil {
		c.CorrelationData = append([]byte{}, p.CorrelationData...)
	}
	if len(p.User) > 0 {
		c.User = make([]core.UserProperty, len(p.User))
		for i, u := range p.User {
			c.User[i] = core.UserProperty{Name: string(u.Name), Value: string(u.Value)}
		}
	}
	return c
}

// Expiry is the message expiry of a decoded packet, 0 for none. A message that
// expires at once still gets the smallest one.
func Expiry(p *packet.Properties) time.Duration {
	if p == nil || p.MessageExpiry == nil {
		return 0
	}
	return max(time.Duration(*p.MessageExpiry)*time.Second, 1)
}

// Seconds is d in whole seconds as the wire carries them, rounded up: what is not
// over yet must not be sent as over.
func Seconds(d time.Duration) uint32 {
	s := d / time.Second
	if d%time.Second > 0 {
		s++
	}
	return uint32(min(max(s, 0), math.MaxUint32))
}
