package packet

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// cursor walks over the body of a packet. The first fault sticks and empties the
// rest, so that a parser reads on without asking, loops end, and the fault is
// looked at once.
type cursor struct {
	b   []byte // what is left
	err error
}

func (c *cursor) fail(r Reason, clause, text string) {
	if c.err == nil {
		c.err = &Error{Reason: r, Clause: clause, Text: text}
	}
	c.b = nil
}

// header checks what ReadHeader leaves to those who know the version.
func (c *cursor) header(h Header, v Version) {
	if h.Padded && v >= V5 {
		c.fail(MalformedPacket, "MQTT-1.5.5-1", "remaining length not in its shortest form")
	}
	if h.Flags&dupFlag != 0 && h.Type != PUBLISH && v != V31 {
		c.fail(MalformedPacket, "MQTT-2.1.3-1", "reserved flags of "+h.Type.String())
	}
}

// end checks that nothing is left.
func (c *cursor) end() {
	if len(c.b) != 0 {
		c.fail(MalformedPacket, "", "bytes after the end")
	}
}

// take is the next n bytes. Their capacity is cut, so that nobody who appends to
// them writes over what follows.
func (c *cursor) take(n int) []byte {
	if n > len(c.b) {
		c.fail(MalformedPacket, "", "packet ends within a field")
		return nil
	}
	s := c.b[:n:n]
	c.b = c.b[n:]
	return s
}

func (c *cursor) byte() byte {
	if s := c.take(1); s != nil {
		return s[0]
	}
	return 0
}

func (c *cursor) uint16() uint16 {
	if s := c.take(2); s != nil {
		return binary.BigEndian.Uint16(s)
	}
	return 0
}

func (c *cursor) uint32() uint32 {
	if s := c.take(4); s != nil {
		return binary.BigEndian.Uint32(s)
	}
	return 0
}

func (c *cursor) varint() uint32 {
	v, n := varint(c.b)
	switch {
	case n == 0:
		c.fail(MalformedPacket, "", "variable byte integer without an end")
	case n > varintSize(int(v)):
		c.fail(MalformedPacket, "MQTT-1.5.5-1", "variable byte integer not in its shortest form")
	default:
		c.b = c.b[n:]
	}
	return v
}

// binary is a field of two bytes of length and that many bytes.
func (c *cursor) binary() []byte { return c.take(int(c.uint16())) }

// text is a UTF-8 encoded string; what names it in an error.
func (c *cursor) text(what string) []byte {
	s := c.binary()
	if !utf8.Valid(s) { // also refuses surrogates
		c.fail(MalformedPacket, "MQTT-1.5.4-1", what+" is not UTF-8")
	}
	if bytes.IndexByte(s, 0) >= 0 {
		c.fail(MalformedPacket, "MQTT-1.5.4-2", what+" contains a null character")
	}
	return s
}

// topicName is a text that names one topic; the caller says whether it may be empty.
func (c *cursor) topicName(what string) []byte {
	s := c.text(what)
	if bytes.IndexByte(s, '#') >= 0 || bytes.IndexByte(s, '+') >= 0 {
		c.fail(TopicNameInvalid, "MQTT-3.3.2-2", what+" contains a wildcard")
	}
	return s
}

// packetID is a packet identifier, which is never 0 [MQTT-2.2.1-3].
func (c *cursor) packetID() uint16 {
	id := c.uint16()
	if id == 0 {
		c.fail(ProtocolError, "MQTT-2.2.1-3", "packet identifier 0")
	}
	return id
}

// reason is a reason code for a packet of type t.
func (c *cursor) reason(t Type) Reason {
	r := Reason(c.byte())
	if !r.fits(t) {
		c.fail(ProtocolError, reasonClauses[t], "reason code that is not one of "+t.String())
	}
	return r
}

// reasonClauses are the statements about which reason codes a packet may carry.
var reasonClauses = [...]string{
	CONNACK: "MQTT-3.2.2-8", PUBACK: "MQTT-3.4.2-1", PUBREC: "MQTT-3.5.2-1", PUBREL: "MQTT-3.6.2-1",
	PUBCOMP: "MQTT-3.7.2-1", SUBACK: "MQTT-3.9.3-2", UNSUBACK: "MQTT-3.11.3-2",
	DISCONNECT: "MQTT-3.14.2-1", AUTH: "MQTT-3.15.2-1",
}

// appendBinary appends a string or binary field. Longer ones than 65,535 bytes
// are the caller's mistake: they would tear the packet apart, so they are cut.
func appendBinary[S ~string | ~[]byte](b []byte, s S) []byte {
	s = s[:min(len(s), maxField)]
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

// binarySize is the size of what appendBinary appends.
func binarySize[S ~string | ~[]byte](s S) int { return 2 + min(len(s), maxField) }

// maxField is the longest string or binary field.
const maxField = 65_535
