package packet

// Header is the fixed header.
//
//	 7 6 5 4   3 2 1 0    1 to 4 bytes, 7 bits each, lowest first
//	+--------+---------+------------------+--------
//	|  Type  |  Flags  |      Length      | body …
//	+--------+---------+------------------+--------
type Header struct {
	Type   Type
	Flags  byte // the low four bits of the first byte
	Length int  // of the body, in bytes

	// Padded: Length was not in its shortest form. Small devices do that; before
	// MQTT 5 they may. Parse and Ack.Parse refuse it in MQTT 5.
	Padded bool
}

// MaxLength is the greatest length of a body that the header can express.
const MaxLength = 268_435_455

// Flags that every packet of these types carries [MQTT-2.1.3-1].
const ackFlags = 2 // PUBREL, SUBSCRIBE, UNSUBSCRIBE: what was QoS 1 in MQTT 3.1

// ReadHeader decodes the fixed header at the start of b; n is its size. When b
// does not hold all of it yet, n is 0 without an error. What can be refused is
// refused at the first byte that shows it.
func ReadHeader(b []byte) (h Header, n int, err error) {
	if len(b) == 0 {
		return h, 0, nil
	}
	h.Type, h.Flags = Type(b[0]>>4), b[0]&0x0F
	if err := h.checkFlags(); err != nil {
		return h, 0, err
	}
	v, size := varint(b[1:])
	switch {
	case size > 0:
		h.Length = int(v)
		h.Padded = size > varintSize(h.Length)
		return h, 1 + size, nil
	case len(b) > maxVarint:
		return h, 0, malformed("", "remaining length of more than four bytes")
	}
	return h, 0, nil
}

// checkFlags refuses what no version allows. MQTT 3.1 lets DUP be set on the
// packets that it sends with QoS 1, so that one is left to cursor.header, which
// knows the version.
func (h Header) checkFlags() error {
	switch h.Type {
	case 0:
		return malformed("MQTT-2.1.2-1", "packet type 0")
	case PUBLISH:
		if h.Flags&qosFlags == qosFlags {
			return malformed("MQTT-3.3.1-4", "PUBLISH with QoS 3")
		}
	case PUBREL, SUBSCRIBE, UNSUBSCRIBE:
		if h.Flags&^dupFlag != ackFlags {
			return malformed("MQTT-2.1.3-1", "reserved flags of "+h.Type.String())
		}
	default:
		if h.Flags != 0 {
			return malformed("MQTT-2.1.3-1", "reserved flags of "+h.Type.String())
		}
	}
	return nil
}

// appendHeader appends a fixed header.
func appendHeader(b []byte, t Type, flags byte, length int) []byte {
	return appendVarint(append(b, byte(t)<<4|flags), length)
}

// whole is the size of a packet whose body has n bytes.
func whole(n int) int { return 1 + varintSize(n) + n }

// maxVarint is the size of the longest variable byte integer.
const maxVarint = 4

// varint decodes a variable byte integer; size is 0 when it does not end within b
// or within four bytes.
func varint(b []byte) (v uint32, size int) {
	for i, c := range b[:min(len(b), maxVarint)] {
		v |= uint32(c&0x7F) << (7 * i)
		if c < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}

// appendVarint appends n in its shortest form [MQTT-1.5.5-1].
func appendVarint(b []byte, n int) []byte {
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}

func varintSize(n int) int {
	switch {
	case n < 1<<7:
		return 1
	case n < 1<<14:
		return 2
	case n < 1<<21:
		return 3
	}
	return 4
}
