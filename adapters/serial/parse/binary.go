package parse

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Order is the order of the bytes of a binary value, where A is the most
// significant one, as for Modbus: of 8 bytes, ABCD is ABCDEFGH, CDAB is GHEFCDAB,
// BADC is BADCFEHG, DCBA is HGFEDCBA; of two, ABCD and CDAB are the high byte first.
type Order string

// The orders.
const (
	ABCD Order = "ABCD"
	CDAB Order = "CDAB"
	BADC Order = "BADC"
	DCBA Order = "DCBA"
)

func (o Order) validate() error {
	switch o {
	case "", ABCD, CDAB, BADC, DCBA:
		return nil
	}
	return fmt.Errorf("order (%q) must be ABCD, CDAB, BADC or DCBA", string(o))
}

// arrange turns the bytes of a value into ABCD.
func (o Order) arrange(b []byte) {
	swap := func() {
		for i := 0; i+1 < len(b); i += 2 {
			b[i], b[i+1] = b[i+1], b[i]
		}
	}
	if o == BADC || o == DCBA {
		swap()
	}
	if o == CDAB || o == DCBA {
		slices.Reverse(b)
		swap()
	}
}

// binaryType is a type of binary values; size 0: the configuration tells.
type binaryType struct {
	name FieldType
	size int
	read func(b []byte) (any, bool) // b is in the order ABCD
}

func binaryTypes() []binaryType {
	be := binary.BigEndian
	return []binaryType{
		{Bool, 1, func(b []byte) (any, bool) { return b[0] != 0, true }},
		{"int8", 1, func(b []byte) (any, bool) { return int64(int8(b[0])), true }},
		{"uint8", 1, func(b []byte) (any, bool) { return int64(b[0]), true }},
		{"int16", 2, func(b []byte) (any, bool) { return int64(int16(be.Uint16(b))), true }},
		{"uint16", 2, func(b []byte) (any, bool) { return int64(be.Uint16(b)), true }},
		{"int32", 4, func(b []byte) (any, bool) { return int64(int32(be.Uint32(b))), true }},
		{"uint32", 4, func(b []byte) (any, bool) { return int64(be.Uint32(b)), true }},
		{"int64", 8, func(b []byte) (any, bool) { return int64(be.Uint64(b)), true }},
		{"uint64", 8, func(b []byte) (any, bool) { return be.Uint64(b), true }},
		{"float16", 2, func(b []byte) (any, bool) { return fromHalf(be.Uint16(b)), true }},
		{"float32", 4, func(b []byte) (any, bool) { return math.Float32frombits(be.Uint32(b)), true }},
		{"float64", 8, func(b []byte) (any, bool) { return math.Float64frombits(be.Uint64(b)), true }},
		{"bcd8", 1, fromBCD},
		{"bcd16", 2, fromBCD},
		{"bcd32", 4, fromBCD},
		{"string", 0, binaryText},
	}
}

// fromHalf widens a float16: 1 bit of sign, 5 of exponent, 10 of fraction.
func fromHalf(h uint16) float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch exponent {
	case 0: // without a leading one
		small := float32(fraction) / (1 << 24)
		return math.Float32frombits(sign | math.Float32bits(small))
	case 0x1f: // infinite, or no number
		exponent = 0xff
	default:
		exponent += 127 - 15
	}
	return math.Float32frombits(sign | exponent<<23 | fraction<<13)
}

// fromBCD reads two decimal digits a byte.
func fromBCD(b []byte) (any, bool) {
	n := int64(0)
	for _, c := range b {
		if c>>4 > 9 || c&15 > 9 {
			return nil, false
		}
		n = n*100 + int64(c>>4)*10 + int64(c&15)
	}
	return n, true
}

// binaryText ends at the first NUL; blanks at the end are padding.
func binaryText(b []byte) (any, bool) {
	s, _, _ := strings.Cut(string(b), "\x00")
	return strings.ToValidUTF8(strings.TrimRight(s, " "), "\uFFFD"), true
}

// binaryParser reads values that stand at fixed places of a frame.
type binaryParser struct{ columns []binaryColumn }

type binaryColumn struct {
	binaryType
	name  string
	at    int
	order Order
	bit   *int
}

// maxAt is far beyond what a frame can hold.
const maxAt = 1 << 16

func newBinaryParser(p Config) (Parser, error) {
	if len(p.Fields) == 0 {
		return nil, errors.New("a binary frame needs fields: nothing in it tells what it is")
	}
	b := binaryParser{}
	errs := []error{p.Order.validate()}
	for _, f := range p.Fields {
		if f.Skipped() {
			continue
		}
		c, err := newBinaryColumn(f, p.Order)
		if err != nil {
			errs = append(errs, fmt.Errorf("field %s: %w", f.Name, err))
		}
		b.columns = append(b.columns, c)
	}
	return b, errors.Join(errs...)
}

func newBinaryColumn(f Field, order Order) (binaryColumn, error) {
	c := binaryColumn{name: f.Name, at: f.At, order: order, bit: f.Bit}
	if f.Order != "" {
		c.order = f.Order
	}
	if err := c.order.validate(); err != nil {
		return c, err
	}
	if f.At < 0 || f.At >= maxAt {
		return c, fmt.Errorf("at (%d) must be between 0 and %d", f.At, maxAt-1)
	}
	if f.Bit != nil && (f.Type != Bool || *f.Bit < 0 || *f.Bit > 7) {
		return c, errors.New("bit must be between 0 and 7, of a bool")
	}
	name, size := f.Type, 0
	if inner, ok := strings.CutPrefix(string(f.Type), "string("); ok {
		n, err := strconv.ParseUint(strings.TrimSuffix(inner, ")"), 10, 8)
		if err != nil || n == 0 || !strings.HasSuffix(inner, ")") {
			return c, fmt.Errorf("type (%q) must be string(n), with n from 1 to 255 bytes", f.Type)
		}
		name, size = "string", int(n)
	}
	for _, t := range binaryTypes() {
		if t.name == name && t.size+size > 0 {
			c.binaryType = t
			c.size += size
			return c, nil
		}
	}
	return c, fmt.Errorf("type (%q) must be one of %s", f.Type, strings.Join(BinaryTypes(), ", "))
}

// BinaryTypes lists the names of the types that a field of a binary frame may have.
func BinaryTypes() []string {
	var names []string
	for _, t := range binaryTypes() {
		if t.size == 0 {
			t.name += "(n)"
		}
		names = append(names, string(t.name))
	}
	return names
}

// Parse implements [Parser]. A frame that is too short for one field is refused.
func (p binaryParser) Parse(frame []byte, doc *Document) error {
	for _, c := range p.columns {
		if c.at+c.size > len(frame) {
			return fmt.Errorf("%s is at byte %d, but the frame has only %d", c.name, c.at, len(frame))
		}
		v, ok := c.value(frame[c.at : c.at+c.size])
		if !ok {
			return fmt.Errorf("%s is no %s: % x", c.name, c.binaryType.name, frame[c.at:c.at+c.size])
		}
		doc.add(c.name, v, "")
	}
	return nil
}

func (c binaryColumn) value(b []byte) (any, bool) {
	if c.bit != nil {
		return b[0]>>*c.bit&1 == 1, true
	}
	if len(b) > 8 || c.binaryType.name == "string" {
		return c.read(b)
	}
	var raw [8]byte
	n := copy(raw[:], b)
	c.order.arrange(raw[:n])
	return c.read(raw[:n])
}
