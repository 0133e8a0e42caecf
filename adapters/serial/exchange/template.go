package exchange

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/weir-edge/weir/adapters/serial/frame"
)

// Template makes requests. In its text stand
//
//	{address}      the device's address as decimal digits
//	{value}        the value to write, as text
//	{…:byte}       the same as one byte
//	{…:%02X}       the same in a format of fmt: d, x, X, o, b of whole numbers, f, e
//	               and g of others, s of text
//	{sum:sum8}     a checksum of all bytes before it, of any of the frames' kinds
//	{sum:sum8@1}   the same without the first byte; {sum:sum8@1:hex} in digits
//
// Every other byte, braces among them, is sent as it is.
type Template string

var placeholder = regexp.MustCompile(`\{(address|value|sum)(?::([^{}]*))?\}`)

// Values are what a template is filled with.
type Values struct {
	Address int
	Value   any // nil where nothing is written
}

// Validate says what is wrong with the template. writes says that it may have a value.
func (t Template) Validate(writes bool) error {
	v := Values{Address: 1}
	if writes {
		v.Value = int64(1)
	}
	_, err := t.Execute(v)
	if errors.Is(err, errKind) {
		err = nil // another value may do
	}
	return err
}

// errKind: the value is not of the kind that the format takes.
var errKind = errors.New("the value does not fit the format")

// Addressed says whether the template has the address in it.
func (t Template) Addressed() bool { return strings.Contains(string(t), "{address") }

// Execute fills the template.
func (t Template) Execute(v Values) ([]byte, error) {
	var b []byte
	rest := string(t)
	for {
		at := placeholder.FindStringSubmatchIndex(rest)
		if at == nil {
			return append(b, rest...), nil
		}
		b = append(b, rest[:at[0]]...)
		name, format := rest[at[2]:at[3]], ""
		if at[4] >= 0 {
			format = rest[at[4]:at[5]]
		}
		var err error
		if b, err = appendPlaceholder(b, name, format, v); err != nil {
			return nil, fmt.Errorf("%s: %w", rest[at[0]:at[1]], err)
		}
		rest = rest[at[1]:]
	}
}

func appendPlaceholder(b []byte, name, format string, v Values) ([]byte, error) {
	switch {
	case name == "sum":
		return appendSum(b, format)
	case name == "address":
		return appendValue(b, format, int64(v.Address))
	case v.Value == nil:
		return nil, errors.New("there is no value in a request, only in a write")
	}
	return appendValue(b, format, v.Value)
}

// appendSum appends a checksum of b: kind, and perhaps @first and :hex.
func appendSum(b []byte, format string) ([]byte, error) {
	format, encoding, _ := strings.Cut(format, ":")
	kind, from, _ := strings.Cut(format, "@")
	skip := 0
	if from != "" {
		n, err := strconv.ParseUint(from, 10, 8)
		if err != nil || int(n) > len(b) {
			return nil, fmt.Errorf("@%s must be a number of bytes before it", from)
		}
		skip = int(n)
	}
	c := frame.Sum{Kind: kind, Encoding: encoding}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	sum, err := c.Of(b[skip:])
	return append(b, sum...), err
}

func appendValue(b []byte, format string, v any) ([]byte, error) {
	switch {
	case format == "":
		return append(b, text(v)...), nil
	case format == "byte":
		n, whole := integer(v)
		if !whole || n < 0 || n > math.MaxUint8 {
			return nil, fmt.Errorf("%w: %v is no byte", errKind, v)
		}
		return append(b, byte(n)), nil
	case !fmtVerb.MatchString(format):
		return nil, fmt.Errorf("the format %q must be byte, or one such as %%d, %%02X, %%.1f or %%s", format)
	}
	switch format[len(format)-1] {
	case 'd', 'x', 'X', 'o', 'b':
		n, whole := integer(v)
		if !whole {
			return nil, fmt.Errorf("%w: %v is no whole number", errKind, v)
		}
		return fmt.Appendf(b, format, n), nil
	case 's':
		return fmt.Appendf(b, format, text(v)), nil
	}
	x, ok := Number(v)
	if !ok {
		return nil, fmt.Errorf("%w: %v is no number", errKind, v)
	}
	return fmt.Appendf(b, format, x), nil
}

var fmtVerb = regexp.MustCompile(`^%[-+ 0#]*[0-9]{0,2}(\.[0-9]{1,2})?[dxXobfegs]$`)

func text(v any) string {
	switch v := v.(type) {
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		if v {
			return "1"
		}
		return "0"
	}
	return fmt.Sprint(v)
}

func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case uint64:
		return int64(v), v <= math.MaxInt64
	case float64:
		return int64(v), v == math.Trunc(v) && math.Abs(v) < 1<<53
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

// Number is v where it is a number, or true or false as 1 or 0.
func Number(v any) (float64, bool) {
	if x, ok := v.(float64); ok {
		return x, true
	}
	n, ok := integer(v)
	return float64(n), ok
}
