package modbus

import (
	"fmt"
	"math"
	"strings"
)

// Padding is what fills a string behind its text.
type Padding string

// The paddings. Reading takes both.
const (
	PadNUL   Padding = "nul"
	PadSpace Padding = "space"
)

// decodeText ends at the first NUL; blanks at the end are padding.
func (c *codec) decodeText(b []byte) string {
	text := c.spread(append([]byte(nil), b...))
	s, _, _ := strings.Cut(string(text[:min(len(text), int(c.length))]), "\x00")
	return strings.ToValidUTF8(strings.TrimRight(s, " "), "\uFFFD")
}

// spread gives the characters in registers as they are on the wire.
func (c *codec) spread(b []byte) []byte {
	c.order.arrange(b, true)
	if c.kind == kindString {
		return b
	}
	for i := range len(b) / 2 {
		b[i] = b[2*i+c.half()]
	}
	return b[:len(b)/2]
}

// half is which byte of a register holds its one character.
func (c *codec) half() int {
	if c.kind == kindStringL {
		return 1
	}
	return 0
}

func (c *codec) encodeText(value any) ([]byte, error) {
	s, ok := value.(string)
	if !ok {
		s = fmt.Sprint(value) // 42 is as good a text as any
	}
	if len(s) > int(c.length) {
		return nil, fmt.Errorf("the text has %d bytes, the point takes %d", len(s), c.length)
	}
	if c.pad == PadSpace {
		s += strings.Repeat(" ", int(c.length)-len(s))
	}
	b := make([]byte, 2*c.width())
	if c.kind == kindString {
		copy(b, s)
	} else {
		for i := range len(s) {
			b[2*i+c.half()] = s[i]
		}
	}
	c.order.arrange(b, true)
	return b, nil
}

// clamped is the bound that value, which is beyond one, goes back to.
func (c *codec) clamped(value any) any {
	v, _ := asFloat(value)
	bound := c.max
	if c.min != nil && v < *c.min {
		bound = c.min
	}
	switch value.(type) {
	case int64:
		return int64(*bound)
	case uint64:
		return uint64(max(*bound, 0))
	}
	return *bound
}

// rounded has as many digits behind the point as are wanted. Digits are those of
// a person: 2.675 is taken as what is written there, and becomes 2.68.
func (c *codec) rounded(value any) any {
	if c.round == nil {
		return value
	}
	x := 0.0
	switch v := value.(type) {
	case float64:
		x = v
	case float32:
		x = shortest(v)
	default:
		return value
	}
	factor := math.Pow10(*c.round)
	if y := math.Round(nearest(x*factor)) / factor; !math.IsInf(y, 0) {
		return y
	}
	return value
}

// nearest takes away the last bits of a product, which are the error of binary
// fractions and not the device's.
func nearest(x float64) float64 {
	if r := math.Round(x*2) / 2; math.Abs(x-r) <= 4*math.Abs(math.Nextafter(x, math.Inf(1))-x) {
		return r
	}
	return x
}

// enum gives names to values.
type enum struct {
	names  map[int64]string
	values map[string]int64
}

// newEnum makes an enum, nil of no names.
func newEnum(names map[int64]string) *enum {
	if len(names) == 0 {
		return nil
	}
	e := &enum{names: names, values: make(map[string]int64)}
	for value, name := range names {
		e.values[name] = value
	}
	return e
}

// name is the name of a value; one without a name is out of range, and stays a
// number.
func (e *enum) name(value any) (any, error) {
	n, ok := value.(int64)
	if u, unsigned := value.(uint64); unsigned && u <= math.MaxInt64 {
		n, ok = int64(u), true
	}
	if name, known := e.names[n]; ok && known {
		return name, nil
	}
	return value, &rangeError{fmt.Sprintf("there is no name for the value %v", value)}
}

// value is the number that a command means: a name, or a number that has one.
func (e *enum) value(command any) (any, error) {
	switch v := command.(type) {
	case string:
		if n, known := e.values[v]; known {
			return n, nil
		}
	case int64:
		if _, known := e.names[v]; known {
			return v, nil
		}
	case bool: // a name like on or off is read as a word of its own
		if n, known := e.values[map[bool]string{true: "on", false: "off"}[v]]; known {
			return n, nil
		}
	}
	return nil, fmt.Errorf("%v is none of the names of this point's values", command)
}
