package modbus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// codec turns the registers of a point into its value and back. It is a value
// without state; its fields come from a valid configuration.
type codec struct {
	kind   kind
	order  exchanges
	bit    int8   // of a register, or noBit
	length uint16 // bytes of a string
	pad    Padding
	scale  scale
	round  *int     // digits behind the point; nil: all
	min    *float64 // of the scaled value; nil: no bound
	max    *float64
	clamp  bool // readings beyond a bound become it
	enum   *enum
}

// width is the number of registers.
func (c *codec) width() uint16 {
	switch c.kind {
	case kindString:
		return (c.length + 1) / 2
	case kindStringL, kindStringH:
		return c.length
	}
	return kinds[c.kind].registers
}

// rangeError is a value beyond the bounds of its point.
type rangeError struct{ text string }

func (e *rangeError) Error() string { return e.text }

// errNotBCD is what a register that should hold decimal digits does not.
var errNotBCD = errors.New("the register holds no BCD number")

// decode reads b, the point's registers as they came. The value may be there
// beside a rangeError.
func (c *codec) decode(b []byte) (value any, err error) {
	if c.kind.text() {
		return c.decodeText(b), nil
	}
	var raw [8]byte
	n := copy(raw[:], b)
	c.order.arrange(raw[:n], false)
	value, err = c.decodeNumber(raw[:n])
	if err != nil {
		return nil, err
	}
	if c.enum != nil {
		return c.enum.name(value)
	}
	err = c.inRange(value)
	if err != nil && c.clamp {
		return c.clamped(value), nil
	}
	return c.rounded(value), err
}

// decodeNumber reads b in the order ABCD and scales it.
func (c *codec) decodeNumber(b []byte) (any, error) {
	switch c.kind {
	case kindBool:
		return c.decodeBool(binary.BigEndian.Uint16(b)), nil
	case kindInt8:
		return c.signed(int64(int8(b[1]))), nil
	case kindInt8H:
		return c.signed(int64(int8(b[0]))), nil
	case kindUint8:
		return c.unsigned(uint64(b[1])), nil
	case kindUint8H:
		return c.unsigned(uint64(b[0])), nil
	case kindInt16:
		return c.signed(int64(int16(binary.BigEndian.Uint16(b)))), nil
	case kindUint16:
		return c.unsigned(uint64(binary.BigEndian.Uint16(b))), nil
	case kindInt32:
		return c.signed(int64(int32(binary.BigEndian.Uint32(b)))), nil
	case kindUint32:
		return c.unsigned(uint64(binary.BigEndian.Uint32(b))), nil
	case kindInt64:
		return c.signed(int64(binary.BigEndian.Uint64(b))), nil
	case kindUint64:
		return c.unsigned(binary.BigEndian.Uint64(b)), nil
	case kindFloat16:
		return c.single(halfToFloat(binary.BigEndian.Uint16(b))), nil
	case kindFloat32:
		return c.single(math.Float32frombits(binary.BigEndian.Uint32(b))), nil
	case kindFloat64:
		return c.scale.apply(math.Float64frombits(binary.BigEndian.Uint64(b))), nil
	default: // BCD
		n, ok := fromBCD(b)
		if !ok {
			return nil, errNotBCD
		}
		return c.unsigned(n), nil
	}
}

func (c *codec) decodeBool(register uint16) bool {
	if c.bit != noBit {
		return register>>c.bit&1 == 1
	}
	return register != 0
}

// signed and unsigned keep an integer whole where nothing is scaled.
func (c *codec) signed(raw int64) any {
	if c.scale.identity() {
		return raw
	}
	return c.scale.apply(float64(raw))
}

func (c *codec) unsigned(raw uint64) any {
	if c.scale.identity() {
		return raw
	}
	return c.scale.apply(float64(raw))
}

// single stays a float32, because a scaled one has no more digits than before.
func (c *codec) single(raw float32) any {
	if c.scale.identity() {
		return raw
	}
	return float32(c.scale.apply(float64(raw)))
}

// inRange checks a decoded value against the bounds, in its own precision: a
// float32 of 0.1 is not above 0.1.
func (c *codec) inRange(value any) error {
	if c.min == nil && c.max == nil {
		return nil
	}
	if v, single := value.(float32); single {
		return c.checkBounds(float64(v), func(bound float64) float64 { return float64(float32(bound)) })
	}
	v, ok := asFloat(value)
	if !ok {
		return nil
	}
	return c.checkBounds(v, func(bound float64) float64 { return bound })
}

func (c *codec) checkBounds(v float64, precision func(float64) float64) error {
	switch {
	case c.min != nil && v < precision(*c.min):
		return &rangeError{fmt.Sprintf("%v is below the minimum of %v", v, *c.min)}
	case c.max != nil && v > precision(*c.max):
		return &rangeError{fmt.Sprintf("%v is above the maximum of %v", v, *c.max)}
	}
	return nil
}

// asFloat is v where it is a number.
func asFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	case float64:
		return v, true
	case float32:
		return float64(v), true
	}
	return 0, false
}

// fromBCD reads four decimal digits a register.
func fromBCD(b []byte) (n uint64, ok bool) {
	for _, x := range b {
		if x>>4 > 9 || x&15 > 9 {
			return 0, false
		}
		n = n*100 + uint64(x>>4)*10 + uint64(x&15)
	}
	return n, true
}

// halfToFloat widens an IEEE 754 half to a float32, exactly.
func halfToFloat(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exponent, fraction := uint32(h>>10&0x1F), uint32(h&0x3FF)
	switch exponent {
	case 0: // zero and subnormal
		f := float32(fraction) * (1.0 / (1 << 24))
		return math.Float32frombits(math.Float32bits(f) | sign)
	case 0x1F: // infinite and not a number
		return math.Float32frombits(sign | 0x7F800000 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

// floatToHalf narrows x to the nearest half, ties to even; too large is infinite.
func floatToHalf(x float64) uint16 {
	sign := uint16(math.Float64bits(x) >> 48 & 0x8000)
	abs := math.Abs(x)
	switch {
	case math.IsNaN(x):
		return sign | 0x7E00
	case abs >= 65520: // halfway between the largest half and the next
		return sign | 0x7C00
	case abs < 1.0/(1<<14):
		return sign | uint16(math.RoundToEven(abs*(1<<24)))
	}
	fraction, exponent := math.Frexp(abs) // abs = fraction × 2^exponent, 0.5 <= fraction < 1
	rounded := uint16(math.RoundToEven(fraction * (1 << 11)))
	// A fraction that rounds up to 2^11 carries into the exponent, as it should.
	return sign | (uint16(exponent+14)<<10 + rounded - 1<<10)
}
