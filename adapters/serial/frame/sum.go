package frame

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Sum says how a frame proves that it came over the line unharmed.
type Sum struct {
	// Kind is one of [Kinds]:
	//
	//	none  nothing is checked
	//	nmea  $…*hh: exclusive or of what is between $ and *
	//	p1    /…!hhhh: CRC-16/ARC from / to ! (DSMR 4 and later)
	//	sml   a transmission of the framing [SML]
	//
	// or an algorithm, whose sum is the frame's last bytes:
	//
	//	xor, sum8, lrc (sum8 negated), crc8, crc8-maxim       one byte
	//	sum16, crc16-ccitt (FALSE), crc16-xmodem, crc16-aug   high byte first
	//	crc16-modbus, crc16-arc, crc16-kermit, crc16-x25      low byte first
	//	crc32 (IEEE)                                          low byte first
	//
	// The default is what the parser expects: nmea, p1 and sml for those, else none.
	Kind string
	// Hex is Encoding "hex".
	Hex bool
	// Encoding is how the sum is sent: binary, hex (two digits a byte) or decimal (3,
	// 5 or 10 digits). Default binary.
	Encoding string
	// Order of a binary or hex sum's bytes: big or little. Default: see Kind; of
	// digits, big.
	Order string
	// Position is where the sum is: end (default) or start. At the start, it is taken
	// out of the frame together with what is skipped.
	Position string
	Skip     int // so many bytes at the start of the frame are not summed
	Trailer  int // so many bytes follow a sum at the end; they are not summed, and taken out
}

// verifier returns what a frame carries beside its checksum, and whether that
// is right. It may return a part of frame, and keeps nothing.
type verifier func(frame []byte) (payload []byte, ok bool)

// None is the kind of checksum that checks nothing.
const None = "none"

// Kinds lists the kinds of checksums.
func Kinds() []string {
	kinds := []string{None, "nmea", "p1", "sml"}
	for _, a := range algorithms() {
		kinds = append(kinds, a.kind)
	}
	return kinds
}

// Of is the checksum of b, in bytes as they are on the wire.
func (c Sum) Of(b []byte) ([]byte, error) {
	a, known := c.algorithm()
	if !known {
		return nil, c.unknown()
	}
	return c.append(nil, a, a.sum(b)), nil
}

// Validate returns everything that is wrong with c, joined.
func (c Sum) Validate() error {
	_, err := c.verifier()
	return err
}

// verifier makes the function of a kind, or says what is wrong.
func (c Sum) verifier() (verifier, error) {
	plain := c == Sum{Kind: c.Kind, Hex: c.Hex}
	switch {
	case c.Kind == "" && plain, c.Kind == None:
		return func(frame []byte) ([]byte, bool) { return frame, true }, nil
	case c.Kind == "nmea" && plain:
		return verifyNMEA, nil
	case c.Kind == "p1" && plain:
		return verifyP1(), nil
	case c.Kind == "sml" && plain:
		return verifySML, nil
	case c.Kind == "nmea", c.Kind == "p1", c.Kind == "sml":
		return nil, fmt.Errorf("checksum %s has its own place and encoding", c.Kind)
	}
	a, known := c.algorithm()
	if !known {
		return nil, c.unknown()
	}
	return c.field(a), c.validate()
}

func (c Sum) unknown() error {
	kinds := Kinds()
	last := len(kinds) - 1
	return fmt.Errorf("checksum (%q) must be %s or %s", c.Kind, strings.Join(kinds[:last], ", "), kinds[last])
}

func (c Sum) validate() error {
	var errs []error
	switch c.Encoding {
	case "", "binary", "hex", "decimal":
	default:
		errs = append(errs, fmt.Errorf("checksum encoding (%q) must be binary, hex or decimal", c.Encoding))
	}
	switch c.Order {
	case "", "big", "little":
	default:
		errs = append(errs, fmt.Errorf("checksum order (%q) must be big or little", c.Order))
	}
	switch c.Position {
	case "", "end", "start":
	default:
		errs = append(errs, fmt.Errorf("checksum position (%q) must be end or start", c.Position))
	}
	if c.Skip < 0 || c.Skip > maxMarker || c.Trailer < 0 || c.Trailer > maxMarker {
		errs = append(errs, fmt.Errorf("checksum skip (%d) and trailer (%d) must be between 0 and %d", c.Skip, c.Trailer, maxMarker))
	}
	return errors.Join(errs...)
}

func (c Sum) encoding() string {
	if c.Hex {
		return "hex"
	}
	return cmp.Or(c.Encoding, "binary")
}

// field verifies a sum that is a field of the frame:
//
//	end:   skip │ covered … │ sum │ trailer
//	start: skip │ sum │ covered … │ trailer
func (c Sum) field(a algorithm) verifier {
	width := c.width(a)
	return func(frame []byte) ([]byte, bool) {
		end := len(frame) - c.Trailer
		if end < c.Skip+width+1 {
			return nil, false
		}
		if c.Position == "start" {
			from := c.Skip + width
			return frame[from:end], c.matches(frame[c.Skip:from], a, a.sum(frame[from:end]))
		}
		n := end - width
		return frame[:n], c.matches(frame[n:end], a, a.sum(frame[c.Skip:n]))
	}
}

// width is how many bytes the sum takes on the wire.
func (c Sum) width(a algorithm) int { return len(c.append(nil, a, 0)) }

// matches says whether field is sum. Digits may be of either case.
func (c Sum) matches(field []byte, a algorithm, sum uint32) bool {
	var room [16]byte
	return bytes.EqualFold(field, c.append(room[:0], a, sum)) && (c.encoding() != "binary" || bytes.Equal(field, c.append(room[:0], a, sum)))
}

// append appends sum as it is on the wire.
func (c Sum) append(b []byte, a algorithm, sum uint32) []byte {
	if c.encoding() == "decimal" {
		digits := [...]int{1: 3, 2: 5, 4: 10}[a.size]
		text := strconv.FormatUint(uint64(sum), 10)
		return append(append(b, strings.Repeat("0", digits-len(text))...), text...)
	}
	little := c.Order == "little" || c.Order == "" && a.little && c.encoding() == "binary"
	var raw [4]byte
	for i := range a.size {
		shift := 8 * (a.size - 1 - i)
		if little {
			shift = 8 * i
		}
		raw[i] = byte(sum >> shift)
	}
	if c.encoding() == "hex" {
		const digits = "0123456789ABCDEF"
		for _, v := range raw[:a.size] {
			b = append(b, digits[v>>4], digits[v&15])
		}
		return b
	}
	return append(b, raw[:a.size]...)
}

// verifyNMEA finds the sentence in a line, which may have garbage or a tag block
// before it, and returns what is between $ (or !, in AIS) and *.
func verifyNMEA(line []byte) ([]byte, bool) {
	line = bytes.TrimRight(line, "\r\n ")
	start := max(bytes.LastIndexByte(line, '$'), bytes.LastIndexByte(line, '!'))
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
func verifyP1() verifier {
	crc := arc().function()
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

// hexSum is the number that hexadecimal digits stand for, high digit first.
func hexSum(digits []byte) (sum uint32, ok bool) {
	var b [4]byte
	if len(digits) > 2*len(b) {
		return 0, false
	}
	n, err := hex.Decode(b[:], digits)
	for _, c := range b[:n] {
		sum = sum<<8 | uint32(c)
	}
	return sum, err == nil && n > 0
}

// printable says whether b is text of one line.
func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return utf8.Valid(b)
}
