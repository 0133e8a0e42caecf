package modbus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weir-edge/weir/adapters/modbus/simulator"
)

func codecOf(t testing.TB, p Point) codec {
	t.Helper()
	if p.Register == "" {
		p.Register = "holding:0"
	}
	r, err := parseRegister(p.Register)
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.codec(&Device{}, r)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wireBytes is hex without blanks as bytes.
func wireBytes(registers ...uint16) (b []byte) {
	for _, r := range registers {
		b = binary.BigEndian.AppendUint16(b, r)
	}
	return b
}

// Every type in every order, both ways, where writing is possible.
func TestValues(t *testing.T) {
	for _, c := range []struct {
		p    Point
		wire []byte
		want any
	}{
		{Point{Type: "int16"}, wireBytes(0xFFFE), int64(-2)},
		{Point{Type: "int16", Order: BADC}, wireBytes(0xFEFF), int64(-2)},
		{Point{Type: "int16", Order: CDAB}, wireBytes(0xFFFE), int64(-2)},
		{Point{Type: "int16", Order: DCBA}, wireBytes(0xFEFF), int64(-2)},
		{Point{}, wireBytes(0xFFFE), uint64(65534)},
		{Point{Type: "uint16"}, wireBytes(0x8001), uint64(32769)},
		{Point{Type: "int32", Order: ABCD}, wireBytes(0xFEDC, 0xBA98), int64(-0x1234568)},
		{Point{Type: "int32", Order: CDAB}, wireBytes(0xBA98, 0xFEDC), int64(-0x1234568)},
		{Point{Type: "int32", Order: BADC}, wireBytes(0xDCFE, 0x98BA), int64(-0x1234568)},
		{Point{Type: "int32", Order: DCBA}, wireBytes(0x98BA, 0xDCFE), int64(-0x1234568)},
		{Point{Type: "uint32"}, wireBytes(0xFEDC, 0xBA98), uint64(0xFEDCBA98)},
		{Point{Type: "uint64", Order: ABCD}, wireBytes(0x0102, 0x0304, 0x0506, 0x0708), uint64(0x0102030405060708)},
		{Point{Type: "uint64", Order: CDAB}, wireBytes(0x0708, 0x0506, 0x0304, 0x0102), uint64(0x0102030405060708)},
		{Point{Type: "uint64", Order: BADC}, wireBytes(0x0201, 0x0403, 0x0605, 0x0807), uint64(0x0102030405060708)},
		{Point{Type: "uint64", Order: DCBA}, wireBytes(0x0807, 0x0605, 0x0403, 0x0201), uint64(0x0102030405060708)},
		{Point{Type: "uint64"}, wireBytes(0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF), uint64(math.MaxUint64)},
		{Point{Type: "int64"}, wireBytes(0xFFFF, 0xFFFF, 0xFFFF, 0xFFFD), int64(-3)},
		{Point{Type: "float32", Order: ABCD}, wireBytes(0x4366, 0x199A), float32(230.1)},
		{Point{Type: "float32", Order: CDAB}, wireBytes(0x199A, 0x4366), float32(230.1)},
		{Point{Type: "float32", Order: BADC}, wireBytes(0x6643, 0x9A19), float32(230.1)},
		{Point{Type: "float32", Order: DCBA}, wireBytes(0x9A19, 0x6643), float32(230.1)},
		{Point{Type: "float64"}, wireBytes(0x400C, 0, 0, 0), 3.5},
		{Point{Type: "float64", Order: CDAB}, wireBytes(0, 0, 0, 0x400C), 3.5},
		{Point{Type: "float16"}, wireBytes(0x3C00), float32(1)},
		{Point{Type: "float16"}, wireBytes(0xC500), float32(-5)},
		{Point{Type: "float16"}, wireBytes(0x7BFF), float32(65504)},
		{Point{Type: "float16"}, wireBytes(0x0001), float32(5.9604645e-08)},
		{Point{Type: "bcd16"}, wireBytes(0x1234), uint64(1234)},
		{Point{Type: "bcd32"}, wireBytes(0x9876, 0x5432), uint64(98765432)},
		{Point{Type: "bcd32", Order: CDAB}, wireBytes(0x5432, 0x9876), uint64(98765432)},
		{Point{Type: "bool"}, wireBytes(1), true},
		{Point{Type: "bool"}, wireBytes(0), false},
		{Point{Type: "string(5)"}, wireBytes(0x4142, 0x4344, 0x4500), "ABCDE"},
		{Point{Type: "string(4)", Order: BADC}, wireBytes(0x4241, 0x4443), "ABCD"},
		{Point{Type: "string(4)", Order: CDAB}, wireBytes(0x4142, 0x4344), "ABCD"},
		{Point{Type: "int16", Scale: 0.1}, wireBytes(2301), 230.1},
		{Point{Type: "int16", Scale: 0.1, Offset: -50}, wireBytes(234), -26.6},
		{Point{Type: "uint16", Scale: 10}, wireBytes(7), 70.0},
		{Point{Type: "uint32", Scale: 0.001}, wireBytes(0, 1), 0.001},
		{Point{Type: "float32", Scale: 0.1}, wireBytes(0x4366, 0x199A), float32(23.01)},
		{Point{Type: "float64", Order: "HGFEDCBA"}, wireBytes(0, 0, 0, 0x0C40), 3.5},
		{Point{Type: "uint64", Order: "EFGHABCD"}, wireBytes(0x0005, 0x0006, 0x0001, 0x0002), uint64(0x0001_0002_0005_0006)},
		{Point{Type: "uint64", Order: "CDABGHEF"}, wireBytes(0x0002, 0x0001, 0x0006, 0x0005), uint64(0x0001_0002_0005_0006)},
		{Point{Type: "uint64", Order: "FEHGBADC"}, wireBytes(0x0500, 0x0600, 0x0100, 0x0200), uint64(0x0001_0002_0005_0006)},
		{Point{Type: "uint64", Order: "DCBAHGFE"}, wireBytes(0x0200, 0x0100, 0x0600, 0x0500), uint64(0x0001_0002_0005_0006)},
		{Point{Type: "stringl(3)"}, wireBytes(0x41, 0x42, 0x43), "ABC"},
		{Point{Type: "stringh(3)"}, wireBytes(0x4100, 0x4200, 0x4300), "ABC"},
		{Point{Type: "string(4)", Pad: PadSpace}, wireBytes(0x4142, 0x2020), "AB"},
		{Point{Type: "uint16", Enum: map[int64]string{0: "off", 7: "auto"}}, wireBytes(7), "auto"},
		{Point{Type: "int16", Enum: map[int64]string{-1: "error"}}, wireBytes(0xFFFF), "error"},
	} {
		codec := codecOf(t, c.p)
		got, err := codec.decode(c.wire)
		if err != nil || got != c.want {
			t.Errorf("%s %s of % x is %v (%T), %v; want %v", c.p.Type, c.p.Order, c.wire, got, got, err, c.want)
		}
		value := c.want
		if f, ok := value.(float32); ok {
			value = float64(f)
		}
		if back, err := codec.encode(value); err != nil || !slices.Equal(back, c.wire) {
			t.Errorf("%s %s of %v is % x, %v; want % x", c.p.Type, c.p.Order, value, back, err, c.wire)
		}
	}
}

// What can be read in more ways than written.
func TestReadOnlyValues(t *testing.T) {
	low, high := -10.0, 100.0
	for _, c := range []struct {
		name string
		p    Point
		wire []byte
		want any
		err  string
	}{
		{"int8", Point{Type: "int8"}, wireBytes(0x12FE), int64(-2), ""},
		{"int8h", Point{Type: "int8h"}, wireBytes(0xFE12), int64(-2), ""},
		{"uint8", Point{Type: "uint8"}, wireBytes(0x12FE), uint64(254), ""},
		{"uint8h", Point{Type: "uint8h"}, wireBytes(0xFE12), uint64(254), ""},
		{"uint8 with swapped bytes", Point{Type: "uint8", Order: BADC}, wireBytes(0x12FE), uint64(0x12), ""},
		{"bit 0", Point{Register: "holding:0.0"}, wireBytes(0x0001), true, ""},
		{"bit 15", Point{Register: "holding:0.15"}, wireBytes(0x7FFF), false, ""},
		{"bit 3 with swapped bytes", Point{Register: "holding:0.3", Order: BADC}, wireBytes(0x0800), true, ""},
		{"bool of any other number", Point{Type: "bool"}, wireBytes(0x0100), true, ""},
		{"text ends at NUL", Point{Type: "string(6)"}, wireBytes(0x4100, 0x4242, 0x4242), "A", ""},
		{"text with blanks", Point{Type: "string(4)"}, wireBytes(0x4120, 0x2020), "A", ""},
		{"text that is no UTF-8", Point{Type: "string(2)"}, wireBytes(0xFF41), "\uFFFDA", ""},
		{"no BCD", Point{Type: "bcd16"}, wireBytes(0x123A), nil, "no BCD"},
		{"below", Point{Type: "int16", Min: &low}, wireBytes(0xFFF5), int64(-11), "-11 is below the minimum of -10"},
		{"at minimum", Point{Type: "int16", Min: &low}, wireBytes(0xFFF6), int64(-10), ""},
		{"above, scaled", Point{Type: "int16", Scale: 0.1, Max: &high}, wireBytes(1001), 100.1, "100.1 is above the maximum of 100"},
		{"at maximum", Point{Type: "int16", Scale: 0.1, Max: &high}, wireBytes(1000), 100.0, ""},
		{"clamped", Point{Type: "int16", Min: &low, Max: &high, Clamp: true}, wireBytes(0xFF00), int64(-10), ""},
		{"clamped, scaled", Point{Type: "int16", Scale: 0.1, Max: &high, Clamp: true}, wireBytes(1001), 100.0, ""},
		{"rounded", Point{Type: "float32", Round: new(1)}, wireBytes(0x4366, 0x1EB8), 230.1, ""},
		{"rounded half", Point{Type: "uint16", Scale: 0.001, Round: new(2)}, wireBytes(2675), 2.68, ""},
		{"rounded to whole", Point{Type: "uint16", Scale: 0.1, Round: new(0)}, wireBytes(25), 3.0, ""},
		{"no name", Point{Type: "uint16", Enum: map[int64]string{0: "off"}}, wireBytes(9), uint64(9), "there is no name for the value 9"},
		{"float16 infinite", Point{Type: "float16"}, wireBytes(0x7C00), float32(math.Inf(1)), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			codec := codecOf(t, c.p)
			got, err := codec.decode(c.wire)
			if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %v, %v; want %v, %q", got, err, c.want, c.err)
			}
		})
	}
}

// A bound that a float32 can't represent must not make its nearest value be beyond it.
func TestBoundsInThePrecisionOfTheValue(t *testing.T) {
	limit := 0.1
	codec := codecOf(t, Point{Type: "float32", Min: &limit, Max: &limit})
	if _, err := codec.decode(wireBytes(0x3DCC, 0xCCCD)); err != nil {
		t.Error(err)
	}
}

func TestValuesThatAreRefused(t *testing.T) {
	low, high := 0.0, 100.0
	for _, c := range []struct {
		name  string
		p     Point
		value any
		want  string
	}{
		{"too large", Point{Type: "int16"}, int64(32768), "does not fit"},
		{"too small", Point{Type: "int16"}, int64(-32769), "does not fit"},
		{"negative", Point{Type: "uint32"}, int64(-1), "does not fit"},
		{"negative BCD", Point{Type: "bcd16"}, int64(-1), "does not fit"},
		{"five digits", Point{Type: "bcd16"}, int64(10000), "does not fit"},
		{"scaled beyond", Point{Type: "int16", Scale: 0.1}, 3276.8, "does not fit"},
		{"huge", Point{Type: "int64"}, 1e19, "does not fit"},
		{"float32 overflow", Point{Type: "float32"}, 1e39, "does not fit"},
		{"float16 overflow", Point{Type: "float16"}, 65520.0, "does not fit"},
		{"below min", Point{Type: "float32", Min: &low, Max: &high}, -0.5, "below the minimum of 0"},
		{"above max", Point{Type: "int16", Min: &low, Max: &high}, int64(101), "above the maximum of 100"},
		{"text for number", Point{Type: "int16"}, "abc", "not a number"},
		{"bool for number", Point{Type: "int16"}, true, "not a number"},
		{"number for bool", Point{Type: "bool"}, int64(2), "neither true nor false"},
		{"text for bool", Point{Register: "coil:0"}, "yes", "neither true nor false"},
		{"long text", Point{Type: "string(3)"}, "abcd", "4 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			codec := codecOf(t, c.p)
			if b, err := codec.encode(c.value); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got % x, %v; want %q", b, err, c.want)
			}
		})
	}
}

// What is written is read again, in all types and orders.
func TestValueRoundTrip(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		order := rapid.SampledFrom([]Order{ABCD, CDAB, BADC, DCBA}).Draw(r, "order")
		name := rapid.SampledFrom([]string{"int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "bcd16", "bcd32"}).Draw(r, "type")
		codec := codecOf(t, Point{Type: name, Order: order})
		wire := rapid.SliceOfN(rapid.Byte(), 2*int(codec.width()), 2*int(codec.width())).Draw(r, "registers")
		value, err := codec.decode(wire)
		if err != nil {
			return // no BCD
		}
		if f, ok := asFloat(value); !ok || math.IsNaN(f) || math.IsInf(f, 0) {
			return
		}
		back, err := codec.encode(value)
		if err != nil || !slices.Equal(back, wire) {
			r.Fatalf("%s %s: % x is %v, which is % x, %v", name, order, wire, value, back, err)
		}
	})
}

func TestHalfRoundTrip(t *testing.T) {
	for h := range 1 << 16 {
		f := float64(halfToFloat(uint16(h)))
		if math.IsNaN(f) {
			continue
		}
		if got := floatToHalf(f); got != uint16(h) {
			t.Fatalf("%04x is %v, which is %04x", h, f, got)
		}
	}
	if got := floatToHalf(1 + 1.0/2048); got != 0x3C00 {
		t.Errorf("a tie does not go to even: %04x", got)
	}
	if got := floatToHalf(65519.99); got != 0x7BFF {
		t.Errorf("the largest half is %04x", got)
	}
}

func TestScale(t *testing.T) {
	for _, c := range []struct{ factor, offset, raw, want float64 }{
		{0, 0, 7, 7},
		{1, 0, 7, 7},
		{0.1, 0, 3, 0.3},
		{0.1, 0, 2301, 230.1},
		{0.01, 0.05, 29, 0.34},
		{1.0 / 3, 0, 3, 1},
		{-0.5, 100, 30, 85},
		{1e-9, 0, 5, 5e-9},
		{1000, 0.5, 2, 2000.5},
	} {
		s := newScale(c.factor, c.offset)
		if got := s.apply(c.raw); got != c.want {
			t.Errorf("%v × %v + %v is %v, want %v", c.raw, c.factor, c.offset, got, c.want)
		}
		if back := s.invert(c.want); math.Abs(back-c.raw) > 1e-6*math.Abs(c.raw) {
			t.Errorf("%v goes back to %v, want %v", c.want, back, c.raw)
		}
	}
	if !newScale(0, 0).identity() || newScale(0.1, 0).identity() || newScale(1, 0.5).identity() {
		t.Error("identity is wrong")
	}
}

func TestRangeErrorIsOutOfRange(t *testing.T) {
	high := 1.0
	codec := codecOf(t, Point{Type: "int16", Max: &high})
	_, err := codec.decode(wireBytes(2))
	if _, ok := errors.AsType[*rangeError](err); !ok {
		t.Errorf("error is %v", err)
	}
}

// A queue is read with function 24, whatever its length is at the moment.
func TestQueue(t *testing.T) {
	s := simulator.New()
	s.Unit(1).Queue(100, 1, 2, 0xFFFF)
	s.Unit(1).Queue(200)
	s.Unit(1).Fill(simulator.Holdings, 0, 10)
	for _, url := range []string{"tcp://simulated:1", "rtu+tcp://simulated:1"} {
		c := Config{URL: url, Devices: []Device{{Name: "d", Unit: 1, Points: []Point{
			{Name: "queue", Register: "fifo:100"},
			{Name: "signed", Register: "fifo:100", Type: "int16", Scale: 0.5},
			{Name: "odd", Register: "fifo:100", Type: "uint32"},
			{Name: "empty", Register: "fifo:200"},
			{Name: "none", Register: "fifo:300"},
			{Name: "register", Register: "holding:3"},
		}}}}
		bubble(t, c, s, func(t *testing.T, a *Adapter, bus *recorder) {
			time.Sleep(1500 * time.Millisecond)
			synctest.Wait()
			got := make(map[string]string)
			for _, m := range bus.take() {
				d := decode(t, m)
				got[m.Topic] = fmt.Sprint(d.Value, " ", d.Quality)
			}
			want := map[string]string{
				"p/d/queue": "[1 2 65535] good", "p/d/signed": "[0.5 1 -0.5] good", "p/d/odd": "<nil> device-error",
				"p/d/empty": "[] good", "p/d/none": "<nil> device-error", "p/d/register": "0 good",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s", url, diff)
			}
		})
	}
}
