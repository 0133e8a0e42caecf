package modbus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// encode turns the value of a command into the point's registers as they go onto
// the wire. Nothing is clamped: what does not fit is refused.
func (c *codec) encode(value any) ([]byte, error) {
	switch c.kind {
	case kindBool:
		on, err := asBool(value)
		if err != nil {
			return nil, err
		}
		b := make([]byte, 2)
		if on {
			b[1] = 1
		}
		c.order.arrange(b, false)
		return b, nil
	case kindString, kindStringL, kindStringH:
		return c.encodeText(value)
	}
	if c.enum != nil {
		n, err := c.enum.value(value)
		if err != nil {
			return nil, err
		}
		value = n
	}
	b := make([]byte, 2*c.width())
	if err := c.encodeNumber(b, value); err != nil {
		return nil, err
	}
	c.order.arrange(b, false)
	return b, nil
}

// asBool is what value says to a bit.
func asBool(value any) (bool, error) {
	switch v := value.(type) {
	case bool:
		return v, nil
	case int64:
		if v == 0 || v == 1 {
			return v == 1, nil
		}
	}
	return false, fmt.Errorf("%v is neither true nor false", value)
}

// encodeNumber checks value and puts its raw form into b, in the order ABCD.
func (c *codec) encodeNumber(b []byte, value any) error {
	v, ok := asFloat(value)
	if !ok || math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Errorf("%v is not a number", value)
	}
	if err := c.checkBounds(v, func(bound float64) float64 { return bound }); err != nil {
		return err
	}
	switch c.kind {
	case kindFloat16, kindFloat32, kindFloat64:
		return c.encodeFloat(b, c.scale.invert(v))
	case kindUint64:
		if u, ok := value.(uint64); ok && c.scale.identity() {
			binary.BigEndian.PutUint64(b, u)
			return nil
		}
	}
	raw, ok := value.(int64)
	if !ok || !c.scale.identity() {
		x := math.RoundToEven(c.scale.invert(v))
		if x < -1<<63 || x >= 1<<63 {
			return c.tooLarge(value)
		}
		raw = int64(x)
	}
	return c.encodeInteger(b, raw, value)
}

func (c *codec) encodeFloat(b []byte, raw float64) error {
	switch c.kind {
	case kindFloat16:
		h := floatToHalf(raw)
		if h&0x7C00 == 0x7C00 {
			return c.tooLarge(raw)
		}
		binary.BigEndian.PutUint16(b, h)
	case kindFloat32:
		if math.IsInf(float64(float32(raw)), 0) {
			return c.tooLarge(raw)
		}
		binary.BigEndian.PutUint32(b, math.Float32bits(float32(raw)))
	default:
		binary.BigEndian.PutUint64(b, math.Float64bits(raw))
	}
	return nil
}

// encodeInteger puts raw into b; value is what was asked for.
func (c *codec) encodeInteger(b []byte, raw int64, value any) error {
	low, high := c.bounds()
	if raw < low || raw > high {
		return c.tooLarge(value)
	}
	if c.kind == kindBCD16 || c.kind == kindBCD32 {
		for i := len(b) - 1; i >= 0; i-- {
			b[i] = byte(raw/10%10<<4 | raw%10)
			raw /= 100
		}
		return nil
	}
	switch len(b) {
	case 2:
		binary.BigEndian.PutUint16(b, uint16(raw))
	case 4:
		binary.BigEndian.PutUint32(b, uint32(raw))
	default:
		binary.BigEndian.PutUint64(b, uint64(raw))
	}
	return nil
}

// bounds are the least and the greatest raw value of an integer type.
func (c *codec) bounds() (low, high int64) {
	switch c.kind {
	case kindInt16:
		return math.MinInt16, math.MaxInt16
	case kindUint16:
		return 0, math.MaxUint16
	case kindInt32:
		return math.MinInt32, math.MaxInt32
	case kindUint32:
		return 0, math.MaxUint32
	case kindUint64:
		return 0, math.MaxInt64
	case kindBCD16:
		return 0, 9999
	case kindBCD32:
		return 0, 99999999
	default:
		return math.MinInt64, math.MaxInt64
	}
}

func (c *codec) tooLarge(value any) error {
	return &rangeError{fmt.Sprintf("%v does not fit into the point's type %s", value, kinds[c.kind].name)}
}

// writableKind says why a point of this kind can't be written, if so.
func (c *codec) writableKind() error {
	switch c.kind {
	case kindInt8, kindInt8H, kindUint8, kindUint8H:
		return errors.New("half a register can't be written: use uint16, or single bits")
	}
	if c.kind.text() && c.width() > maxWriteRegisters {
		return fmt.Errorf("the protocol writes at most %d registers at once", maxWriteRegisters)
	}
	return nil
}
