package parse

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFromHalf(t *testing.T) {
	for bits, want := range map[uint16]float32{
		0x0000: 0, 0x3c00: 1, 0xc000: -2, 0x3555: 0.33325195, 0x7bff: 65504, 0x0001: 1.0 / (1 << 24), 0x83ff: -1023.0 / (1 << 24),
		0x7c00: float32(math.Inf(1)), 0xfc00: float32(math.Inf(-1)),
	} {
		if got := fromHalf(bits); got != want {
			t.Errorf("fromHalf(%#04x) = %v; want %v", bits, got, want)
		}
	}
	if got := fromHalf(0x7e00); !math.IsNaN(float64(got)) {
		t.Errorf("no number is %v", got)
	}
}

func TestBinary(t *testing.T) {
	frame := "\x01\x02\x03\x04\x05\x06\x07\x08\xff\x12\x34ab \x00\x41\x20\x00\x00"
	field := func(at int, kind FieldType, order Order) Field {
		return Field{Name: "v", At: at, Type: kind, Order: order}
	}
	tests := map[string]struct {
		field Field
		want  any // nil: refused
	}{
		"uint16":          {field(0, "uint16", ""), int64(0x0102)},
		"uint16, DCBA":    {field(0, "uint16", DCBA), int64(0x0201)},
		"uint32, ABCD":    {field(0, "uint32", ABCD), int64(0x01020304)},
		"uint32, CDAB":    {field(0, "uint32", CDAB), int64(0x03040102)},
		"uint32, BADC":    {field(0, "uint32", BADC), int64(0x02010403)},
		"uint32, DCBA":    {field(0, "uint32", DCBA), int64(0x04030201)},
		"uint64, CDAB":    {field(0, "uint64", CDAB), uint64(0x0708050603040102)},
		"int64":           {field(0, "int64", ""), int64(0x0102030405060708)},
		"int8":            {field(8, "int8", ""), int64(-1)},
		"uint8":           {field(8, "uint8", ""), int64(255)},
		"int16":           {field(8, "int16", ""), int64(-238)},
		"int32":           {field(0, "int32", ""), int64(0x01020304)},
		"bool":            {field(8, Bool, ""), true},
		"a bit":           {Field{Name: "v", At: 9, Type: Bool, Bit: new(4)}, true},
		"another bit":     {Field{Name: "v", At: 9, Type: Bool, Bit: new(0)}, false},
		"bcd8":            {field(9, "bcd8", ""), int64(12)},
		"bcd16":           {field(9, "bcd16", ""), int64(1234)},
		"bcd32":           {field(0, "bcd32", ""), int64(1020304)},
		"no bcd":          {field(8, "bcd16", ""), nil},
		"float16":         {field(15, "float16", ""), float32(2.5625)},
		"float32":         {field(15, "float32", ""), float32(10)},
		"float64":         {field(0, "float64", ""), math.Float64frombits(0x0102030405060708)},
		"string":          {field(11, "string(4)", ""), "ab"},
		"beyond the end":  {field(17, "float32", ""), nil},
		"scaled":          {Field{Name: "v", At: 0, Type: "uint16", Scale: 0.5, Offset: 1}, 130.0},
		"scaled float32":  {Field{Name: "v", At: 15, Type: "float32", Scale: 0.1}, float32(1)},
		"a bool is as is": {Field{Name: "v", At: 8, Type: Bool, Scale: 2}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, got, err := parsed(t, Config{Kind: "binary", Fields: []Field{tt.field}}, frame)
			if tt.want == nil {
				if err == nil {
					t.Fatalf("read %v", got)
				}
				return
			}
			if diff := cmp.Diff(values{"v": tt.want}, got); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestBinaryValidate(t *testing.T) {
	for want, c := range map[string]Config{
		"needs fields":                 {Kind: "binary"},
		`order ("XYZ")`:                {Kind: "binary", Order: "XYZ", Fields: []Field{{Name: "a", Type: "int8"}}},
		`field a: type ("number")`:     {Kind: "binary", Fields: []Field{{Name: "a", Type: "number"}}},
		"field a: at (-1)":             {Kind: "binary", Fields: []Field{{Name: "a", At: -1, Type: "int8"}}},
		"must be string(n)":            {Kind: "binary", Fields: []Field{{Name: "a", Type: "string(0)"}}},
		"bit must be between 0 and 7":  {Kind: "binary", Fields: []Field{{Name: "a", Type: Bool, Bit: new(8)}}},
		`type ("int8") must be number`: {Kind: "csv", Fields: []Field{{Name: "a", Type: "int8"}}},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate() = %v; want %q", err, want)
		}
	}
}
