package parse

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// smlParser reads the messages of an SML transmission: the entries of each list
// response, by the names of their OBIS codes. Signatures and what opens and closes
// a transmission are passed over.
type smlParser struct{ names obisParser }

// smlNode is one element of the tree that a message is.
type smlNode struct {
	kind byte // octets, boolean, signed, unsigned, list
	data []byte
	list []smlNode
}

// The kinds of elements: bits 4 to 6 of what begins them.
const (
	smlOctets   = 0
	smlBoolean  = 4
	smlSigned   = 5
	smlUnsigned = 6
	smlList     = 7
)

// smlDepth is deeper than any message of a meter.
const smlDepth = 12

var errSML = errors.New("it is no SML")

// Parse implements [Parser].
func (p smlParser) Parse(frame []byte, doc *Document) error {
	found := false
	for len(frame) > 0 {
		if frame[0] == 0 { // padding
			frame = frame[1:]
			continue
		}
		message, rest, err := readSML(frame, smlDepth)
		if err != nil {
			return err
		}
		list, err := message.listResponse()
		if err != nil {
			return err
		}
		for _, entry := range list {
			if err := p.entry(entry, doc); err != nil {
				return err
			}
		}
		found, frame = true, rest
	}
	if !found {
		return errSML
	}
	return nil
}

// readSML reads one element. The first byte has in its bits
//
//	7      another byte of length follows
//	6…4    the kind
//	3…0    the length: of a list its elements, else the bytes, these included
func readSML(b []byte, depth int) (n smlNode, rest []byte, err error) {
	if len(b) == 0 || depth == 0 {
		return n, nil, errSML
	}
	n.kind = b[0] >> 4 & 7
	length, header := int(b[0]&15), 1
	for b[header-1]&0x80 != 0 {
		if header == len(b) || header == 3 {
			return n, nil, errSML
		}
		length = length<<4 | int(b[header]&15)
		header++
	}
	rest = b[header:]
	if n.kind == smlList {
		for range length {
			var element smlNode
			if element, rest, err = readSML(rest, depth-1); err != nil {
				return n, nil, err
			}
			n.list = append(n.list, element)
		}
		return n, rest, nil
	}
	if length == 0 { // the end of a message
		return n, rest, nil
	}
	if length -= header; length < 0 || length > len(rest) {
		return n, nil, errSML
	}
	n.data = rest[:length]
	return n, rest[length:], nil
}

// listResponse is the entries of a message that has some.
func (n smlNode) listResponse() ([]smlNode, error) {
	if n.kind != smlList || len(n.list) < 5 || len(n.list[3].list) != 2 {
		return nil, errSML
	}
	body := n.list[3].list
	const tag = 0x0701
	if kind, ok := body[0].integer(); !ok || kind != tag {
		return nil, nil
	}
	if len(body[1].list) < 5 {
		return nil, errSML
	}
	return body[1].list[4].list, nil
}

// entry adds one entry: name, status, time, unit, scaler, value, signature.
func (p smlParser) entry(n smlNode, doc *Document) error {
	if len(n.list) < 6 || len(n.list[0].data) != 6 {
		return errSML
	}
	name := n.list[0].data
	register := fmt.Sprintf("%d.%d.%d", name[2], name[3], name[4])
	medium := fmt.Sprintf("%d-%d", name[0], name[1])
	code := medium + ":" + register
	if name[5] != 255 {
		code += "*" + strconv.Itoa(int(name[5]))
	}
	v, ok := n.list[5].value(n.list[4])
	if !ok {
		return fmt.Errorf("%s has a value that is none", code)
	}
	if v == nil {
		return nil
	}
	unit, _ := n.list[3].integer()
	doc.add(p.names.name(code, medium, register), v, dlmsUnit(unit))
	return nil
}

// value is the element's value, nil where there is none.
func (n smlNode) value(scaler smlNode) (v any, ok bool) {
	switch n.kind {
	case smlOctets:
		if len(n.data) == 0 {
			return nil, true
		}
		if printable(n.data) {
			return string(n.data), true
		}
		return hex.EncodeToString(n.data), true
	case smlBoolean:
		return len(n.data) > 0 && n.data[0] != 0, len(n.data) == 1
	case smlSigned, smlUnsigned:
		i, ok := n.integer()
		exponent, scaled := scaler.integer()
		if !scaled || exponent == 0 || !ok {
			return i, ok
		}
		return scale10(i, exponent)
	}
	return nil, n.kind == smlList && len(n.list) > 0 // a time, or nested values
}

// scale10 is i times ten to the exponent, rounded once.
func scale10(i, exponent int64) (any, bool) {
	if exponent < -20 || exponent > 20 {
		return nil, false
	}
	if exponent < 0 {
		return float64(i) / math.Pow10(int(-exponent)), true
	}
	return float64(i) * math.Pow10(int(exponent)), true
}

// integer is the element's number; ok is false where it is none that an int64 holds.
func (n smlNode) integer() (v int64, ok bool) {
	if n.kind != smlSigned && n.kind != smlUnsigned || len(n.data) == 0 || len(n.data) > 8 {
		return 0, false
	}
	if n.kind == smlSigned {
		v = int64(int8(n.data[0])) >> 7
	}
	for _, c := range n.data {
		v = v<<8 | int64(c)
	}
	return v, n.kind == smlSigned || len(n.data) < 8 || v >= 0
}

// dlmsUnit is the unit that a number of the DLMS standard stands for.
func dlmsUnit(code int64) string {
	switch code {
	case 7:
		return "s"
	case 8:
		return "deg"
	case 9:
		return "°C"
	case 13:
		return "m3"
	case 27:
		return "W"
	case 28:
		return "VA"
	case 29:
		return "var"
	case 30:
		return "Wh"
	case 31:
		return "VAh"
	case 32:
		return "varh"
	case 33:
		return "A"
	case 35:
		return "V"
	case 44:
		return "Hz"
	}
	return ""
}
