package packet

import "encoding/binary"

// Subscribe asks for subscriptions.
type Subscribe struct {
	PacketID   uint16
	Properties *Properties
	Filters    []Filter
}

// Filter is one topic filter of a SUBSCRIBE with its options byte.
type Filter struct {
	Filter  []byte
	Options Options
}

// Options are the subscription options, as on the wire.
//
//	  7 6        5 4               3                2          1 0
//	+-----+-----------------+--------------------+----------+-------+
//	| 0 0 | retain handling | retain as published | no local |  QoS  |
//	+-----+-----------------+--------------------+----------+-------+
type Options byte

// QoS is the maximum QoS asked for.
func (o Options) QoS() byte { return byte(o) & 3 }

// NoLocal says: don't send back what this client published.
func (o Options) NoLocal() bool { return o&4 != 0 }

// RetainAsPublished says: keep the retain flag as it was published.
func (o Options) RetainAsPublished() bool { return o&8 != 0 }

// RetainHandling is 0 to send retained messages, 1 to send them if the
// subscription is new, 2 not to.
func (o Options) RetainHandling() byte { return byte(o) >> 4 & 3 }

// Type is SUBSCRIBE.
func (p *Subscribe) Type() Type { return SUBSCRIBE }

// parseSubscribe leaves the syntax of the filters to those who answer for each of
// them by itself; here they are only texts.
func parseSubscribe(c *cursor, v Version) *Subscribe {
	p := &Subscribe{PacketID: c.packetID()}
	if v >= V5 {
		p.Properties = c.properties(SUBSCRIBE)
	}
	if len(c.b) == 0 {
		c.fail(ProtocolError, "MQTT-3.8.3-2", "SUBSCRIBE without a filter")
	}
	for len(c.b) > 0 {
		p.Filters = append(p.Filters, Filter{Filter: c.text("topic filter"), Options: c.options(v)})
	}
	return p
}

// options reads the options of one filter. MQTT 3.1 does not use the upper six
// bits, 3.1.1 reserves them, MQTT 5 uses four of them.
func (c *cursor) options(v Version) Options {
	o := Options(c.byte())
	if v == V31 {
		o &= 3
	}
	switch {
	case v < V5 && o > 3, o&0xC0 != 0:
		c.fail(MalformedPacket, "MQTT-3.8.3-5", "reserved subscription options")
	case o.QoS() > 2 && v < V5:
		c.fail(MalformedPacket, "MQTT-3.8.3-4", "subscription with QoS 3")
	case o.QoS() > 2:
		c.fail(ProtocolError, "", "subscription with QoS 3")
	case o.RetainHandling() > 2:
		c.fail(ProtocolError, "", "retain handling 3")
	}
	return o
}

// Size is the size of the whole packet.
func (p *Subscribe) Size(v Version) int { return whole(p.body(v)) }

func (p *Subscribe) body(v Version) int {
	n := 2
	if v >= V5 {
		n += p.Properties.size(SUBSCRIBE)
	}
	for _, f := range p.Filters {
		n += binarySize(f.Filter) + 1
	}
	return n
}

// AppendTo appends the whole packet.
func (p *Subscribe) AppendTo(b []byte, v Version) []byte {
	b = appendHeader(b, SUBSCRIBE, ackFlags, p.body(v))
	b = binary.BigEndian.AppendUint16(b, p.PacketID)
	if v >= V5 {
		b = p.Properties.append(b, SUBSCRIBE)
	}
	for _, f := range p.Filters {
		b = append(appendBinary(b, f.Filter), byte(f.Options.in(v)))
	}
	return b
}

// in is what of the options the version knows.
func (o Options) in(v Version) Options {
	if v < V5 {
		return o & 3
	}
	return o
}
