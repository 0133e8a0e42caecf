package parse

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/weir-edge/weir/adapters"
)

// Document is what a parser read from one frame. It is reused from frame to frame.
type Document struct {
	Device string // which of several sources in one stream: the NMEA sentence
	Values []Value
}

// Value is one named value. Its Any is a float64, float32, int64, uint64, bool or string, or
// untyped: text of which the configuration says what it is.
type Value struct {
	Name string
	Any  any
	Unit string
	Rule adapters.Rule
}

// untyped is a value that came as text from a device that tells no types.
type untyped string

func (d *Document) add(name string, v any, unit string) {
	d.Values = append(d.Values, Value{Name: name, Any: v, Unit: unit})
}

func (d *Document) Reset() { d.Device, d.Values = "", d.Values[:0] }

// FieldType says what a field's text is.
type FieldType string

// The types of a field.
const (
	Number FieldType = "number" // a float64
	Int    FieldType = "int"    // an int64
	Bool   FieldType = "bool"   // 1, 0, true, false, on, off, yes, no
	Text   FieldType = "text"
)

// Field names and shapes one value of a frame.
type Field struct {
	// Name is the point that is reported. In a csv frame "" or - skips the column.
	Name string
	// From is the value's name in the frame, where that is another one than Name
	// (not for csv, whose columns go by position).
	From string
	// Type defaults to what the protocol says (json, nmea, obis), to number where it
	// says nothing (csv, kv, regex), and to text for text and raw. In a binary frame it
	// is one of [BinaryTypes].
	Type   FieldType
	Scale  float64 // reported is value*Scale + Offset; 0 is 1
	Offset float64
	At     int    // binary only: the place of the value's first byte
	Order  Order  // binary only: of its bytes; default that of the frame
	Bit    *int   // binary only, of a bool: the bit of the byte, 0 the lowest; nil: any
	Unit   string // "" leaves the unit that the device tells
	Rule   adapters.Rule
}

// Skipped says whether the field stands for a column of no interest.
func (f Field) Skipped() bool { return f.Name == "" || f.Name == "-" }

func (f Field) validate(kind string) error {
	switch f.Type {
	case "", Number, Int, Bool, Text:
	default:
		if kind == "binary" {
			break // its parser knows
		}
		return fmt.Errorf("field %s: type (%q) must be number, int, bool or text", f.Name, f.Type)
	}
	if !finite(f.Scale) || !finite(f.Offset) {
		return fmt.Errorf("field %s: scale and offset must be finite numbers", f.Name)
	}
	return nil
}

// shape makes v what the field says. ok is false when it can't be that; a nil
// value means that the device had none.
func (f Field) shape(v Value) (Value, bool) {
	shaped, ok := convert(v.Any, f.kind(v.Any))
	if !ok {
		return Value{}, false
	}
	if f.Scale != 0 || f.Offset != 0 {
		shaped, ok = f.scaled(shaped)
	}
	unit := v.Unit
	if f.Unit != "" {
		unit = f.Unit
	}
	return Value{f.Name, shaped, unit, f.Rule}, ok
}

// kind is the type that the field asks for, "" for that of the value itself.
func (f Field) kind(v any) FieldType {
	if _, open := v.(untyped); open && f.Type == "" {
		return Number
	}
	return f.Type
}

// scaled applies scale and offset to a number; other values have none.
func (f Field) scaled(v any) (any, bool) {
	x, ok := asFloat(v)
	if !ok {
		return v, v == nil
	}
	known := finite(x)
	scale := f.Scale
	if scale == 0 {
		scale = 1
	}
	x = x*scale + f.Offset
	if _, single := v.(float32); single {
		return float32(x), finite(x) || !known // no more digits than before
	}
	return x, finite(x) || !known // the reporter says what a NaN of the device's own is
}

func asFloat(v any) (x float64, ok bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case float32:
		return float64(v), true
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	}
	return 0, false
}

// convert makes v a value of the type, nil where the device has none.
func convert(v any, to FieldType) (any, bool) {
	if s, ok := v.(untyped); ok {
		return parseText(strings.TrimSpace(string(s)), to)
	}
	switch to {
	case "":
		return v, true
	case Text:
		return asText(v), true
	}
	if s, ok := v.(string); ok {
		return parseText(strings.TrimSpace(s), to)
	}
	switch v := v.(type) {
	case float64:
		return convertNumber(v, to)
	case int64:
		if to == Int {
			return v, true
		}
		return convertNumber(float64(v), to)
	case bool:
		return v, to == Bool
	}
	return nil, false
}

func asText(v any) string {
	if x, ok := v.(float64); ok {
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

func convertNumber(v float64, to FieldType) (any, bool) {
	switch {
	case to == Number:
		return v, true
	case to == Int && v == math.Trunc(v) && math.Abs(v) < 1<<53:
		return int64(v), true
	case to == Bool && (v == 0 || v == 1):
		return v == 1, true
	}
	return nil, false
}

// parseText reads a value of the type from text.
func parseText(s string, to FieldType) (any, bool) {
	if to == Text {
		return s, true
	}
	if missing(s) {
		return nil, true
	}
	switch to {
	case Number:
		return parseNumber(s)
	case Int:
		i, err := strconv.ParseInt(sign(s), 10, 64)
		return i, err == nil
	case Bool:
		return parseBool(s)
	}
	return guess(s), true
}

// guess takes what looks like a number for one.
func guess(s string) any {
	if v, ok := parseNumber(s); ok {
		return v
	}
	return s
}

// missing says whether a device means "no value" by s.
func missing(s string) bool {
	switch strings.ToLower(s) {
	case "", "-", "--", "---", "na", "n/a", "nan", "null", "none":
		return true
	}
	return false
}

// parseNumber reads a decimal number, with blanks after its sign as scales send
// them ("+   12.50"). Nothing else that Go takes for a number is one here.
func parseNumber(s string) (any, bool) {
	s = sign(s)
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9', c == '.', c == '-' || c == '+', c == 'e' || c == 'E':
		default:
			return nil, false
		}
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !finite(v) {
		return nil, false
	}
	return v, true
}

// sign removes the blanks after a sign.
func sign(s string) string {
	if len(s) > 1 && (s[0] == '+' || s[0] == '-') && s[1] == ' ' {
		return s[:1] + strings.TrimLeft(s[1:], " ")
	}
	return s
}

func parseBool(s string) (any, bool) {
	switch strings.ToLower(s) {
	case "1", "true", "on", "yes":
		return true, true
	case "0", "false", "off", "no":
		return false, true
	}
	return nil, false
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// printable says whether b is text: valid UTF-8 without control characters but
// the tab. Noise on a line seldom is.
func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return utf8.Valid(b)
}
