package serial

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// Checksum says how a frame proves that it came over the line unharmed.
type Checksum struct {
	// Kind is one of:
	//
	//	none          nothing is checked
	//	nmea          $…*hh: exclusive or of what is between $ and *
	//	p1            /…!hhhh: CRC-16/ARC from / to ! (DSMR 4 and later)
	//	xor           the last byte: exclusive or of all before
	//	sum8          the last byte: their sum
	//	lrc           the last byte: their sum, negated
	//	crc16-modbus  the last two bytes, low byte first
	//	crc16-ccitt   the last two bytes, high byte first (CCITT-FALSE)
	//
	// The default is what the parser expects: nmea and p1 for those, else none.
	Kind string
	// Hex: the sum is sent as hexadecimal digits, high digit first. (nmea and p1
	// always are.)
	Hex bool
}

// verifier returns what a frame carries beside its checksum, and whether that
// is right. It may return a part of frame, and keeps nothing.
type verifier func(frame []byte) (payload []byte, ok bool)

// noSum is the kind of checksum that checks nothing.
const noSum = "none"

// verifier makes the function of a kind, or says that there is none such.
func (c Checksum) verifier() (verifier, error) {
	switch c.Kind {
	case "", noSum:
		return func(frame []byte) ([]byte, bool) { return frame, true }, nil
	case "nmea":
		return verifyNMEA, nil
	case "p1":
		return c.verifyP1(), nil
	case "xor":
		return c.trailing(1, xor, binary.BigEndian), nil
	case "sum8":
		return c.trailing(1, sum8, binary.BigEndian), nil
	case "lrc":
		return c.trailing(1, func(b []byte) uint16 { return -sum8(b) & 0xff }, binary.BigEndian), nil
	case "crc16-modbus":
		return c.trailing(2, reflectedCRC16(0xffff), binary.LittleEndian), nil
	case "crc16-ccitt":
		return c.trailing(2, ccittCRC16(), binary.BigEndian), nil
	}
	return nil, fmt.Errorf("checksum (%q) must be none, nmea, p1, xor, sum8, lrc, crc16-modbus or crc16-ccitt", c.Kind)
}

// trailing verifies a sum in the last size bytes of the frame.
func (c Checksum) trailing(size int, sum func([]byte) uint16, order binary.ByteOrder) verifier {
	if c.Hex {
		return func(frame []byte) ([]byte, bool) {
			n := len(frame) - 2*size
			if n < 1 {
				return nil, false
			}
			got, ok := hexSum(frame[n:])
			return frame[:n], ok && got == sum(frame[:n])
		}
	}
	return func(frame []byte) ([]byte, bool) {
		n := len(frame) - size
		if n < 1 {
			return nil, false
		}
		if size == 1 {
			return frame[:n], uint16(frame[n]) == sum(frame[:n])
		}
		return frame[:n], order.Uint16(frame[n:]) == sum(frame[:n])
	}
}

// hexSum is the number that two or four hexadecimal digits stand for.
func hexSum(digits []byte) (uint16, bool) {
	var b [2]byte
	if len(digits) > 4 {
		return 0, false
	}
	n, err := hex.Decode(b[2-len(digits)/2:], digits)
	return binary.BigEndian.Uint16(b[:]), err == nil && n > 0
}

// verifyNMEA finds the sentence in a line, which may have garbage or a tag block
// before it, and returns what is between $ (or !, in AIS) and *.
func verifyNMEA(line []byte) ([]byte, bool) {
	line = bytes.TrimRight(line, "\r\n ")
	start := bytes.LastIndexAny(line, "$!")
	if start < 0 {
		return nil, false
	}
	line = line[start+1:]
	n := len(line) - len("*hh")
	if n < 1 || line[n] != '*' {
		return nil, false
	}
	sum, ok := hexSum(line[n+1:])
	return line[:n], ok && sum == xor(line[:n]) && printable(line[:n])
}

// verifyP1 returns the telegram's lines, from the one with / up to that with !.
func (c Checksum) verifyP1() verifier {
	crc := reflectedCRC16(0)
	return func(telegram []byte) ([]byte, bool) {
		telegram = bytes.TrimRight(telegram, "\r\n")
		n := len(telegram) - len("!hhhh")
		if n < 1 || telegram[0] != '/' || telegram[n] != '!' {
			return nil, false
		}
		sum, ok := hexSum(telegram[n+1:])
		return telegram[:n], ok && sum == crc(telegram[:n+1])
	}
}

func xor(b []byte) (sum uint16) {
	for _, c := range b {
		sum ^= uint16(c)
	}
	return sum
}

func sum8(b []byte) (sum uint16) {
	for _, c := range b {
		sum += uint16(c)
	}
	return sum & 0xff
}

// reflectedCRC16 makes the CRC-16 of polynomial 0x8005, low bit first: Modbus
// when it begins with 0xffff, ARC (P1) with 0.
func reflectedCRC16(init uint16) func([]byte) uint16 {
	var table [256]uint16
	for i := range table {
		v := uint16(i)
		for range 8 {
			v = v>>1 ^ 0xa001*(v&1)
		}
		table[i] = v
	}
	return func(b []byte) uint16 {
		crc := init
		for _, c := range b {
			crc = crc>>8 ^ table[byte(crc)^c]
		}
		return crc
	}
}

// ccittCRC16 makes the CRC-16 of polynomial 0x1021, high bit first, begun with 0xffff.
func ccittCRC16() func([]byte) uint16 {
	var table [256]uint16
	for i := range table {
		v := uint16(i) << 8
		for range 8 {
			v = v<<1 ^ 0x1021*(v>>15)
		}
		table[i] = v
	}
	return func(b []byte) uint16 {
		crc := uint16(0xffff)
		for _, c := range b {
			crc = crc<<8 ^ table[byte(crc>>8)^c]
		}
		return crc
	}
}
