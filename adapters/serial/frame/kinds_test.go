package frame

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The check values of the catalogues, of the digits 1 to 9, as they are on the wire.
func TestAlgorithms(t *testing.T) {
	want := map[string]string{
		"xor": "\x31", "sum8": "\xdd", "lrc": "\x23", "crc8": "\xf4", "crc8-maxim": "\xa1", "sum16": "\x01\xdd",
		"crc16-modbus": "\x37\x4b", "crc16-arc": "\x3d\xbb", "crc16-ccitt": "\x29\xb1", "crc16-xmodem": "\x31\xc3",
		"crc16-aug": "\xe5\xcc", "crc16-kermit": "\x89\x21", "crc16-x25": "\x6e\x90", "crc32": "\x26\x39\xf4\xcb",
	}
	for _, a := range algorithms() {
		got, err := Sum{Kind: a.kind}.Of([]byte("123456789"))
		if err != nil || string(got) != want[a.kind] {
			t.Errorf("%s = %x, %v; want %x", a.kind, got, err, want[a.kind])
		}
	}
}

func TestSumPlaces(t *testing.T) {
	tests := map[string]struct {
		sum         Sum
		frame, want string
	}{
		"m-bus long frame":   {Sum{Kind: "sum8", Skip: 4, Trailer: 1}, "\x68\x03\x03\x68\x08\x05\x72\x7f\x16", "\x68\x03\x03\x68\x08\x05\x72"},
		"at the start":       {Sum{Kind: "sum8", Position: "start", Skip: 1}, "<\xc3ab", "ab"},
		"big":                {Sum{Kind: "crc16-modbus", Order: "big"}, "123456789\x4b\x37", "123456789"},
		"little":             {Sum{Kind: "sum16", Order: "little"}, "123456789\xdd\x01", "123456789"},
		"little, in digits":  {Sum{Kind: "sum16", Order: "little", Encoding: "hex"}, "123456789DD01", "123456789"},
		"decimal":            {Sum{Kind: "sum8", Encoding: "decimal"}, "123456789221", "123456789"},
		"decimal of 16 bits": {Sum{Kind: "sum16", Encoding: "decimal"}, "12345678900477", "123456789"},
		"crc32 in hex":       {Sum{Kind: "crc32", Encoding: "hex"}, "123456789cbf43926", "123456789"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			verify, err := tt.sum.verifier()
			if err != nil {
				t.Fatal(err)
			}
			if got, ok := verify([]byte(tt.frame)); !ok || string(got) != tt.want {
				t.Errorf("verify = %q, %v; want %q", got, ok, tt.want)
			}
			b := []byte(tt.frame)
			b[len(b)-1-tt.sum.Trailer] ^= 1
			if got, ok := verify(b); ok {
				t.Errorf("%q passed as %q", b, got)
			}
		})
	}
}

func TestSumValidate(t *testing.T) {
	for want, sum := range map[string]Sum{
		`encoding ("x")`: {Kind: "xor", Encoding: "x"}, `order ("x")`: {Kind: "xor", Order: "x"},
		`position ("x")`: {Kind: "xor", Position: "x"}, "skip (-1)": {Kind: "xor", Skip: -1}, "has its own place": {Kind: "nmea", Skip: 1},
	} {
		if err := sum.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate() = %v; want %q", err, want)
		}
	}
}

func TestEscapes(t *testing.T) {
	tests := map[string]struct {
		framing Framing
		in      string
		want    []string
		counts  map[string]uint64
	}{
		"slip":             {Escaped{"slip"}, "\xc0a\xdb\xdcb\xdb\xddc\xc0\xc0d\xc0", []string{"a\xc0b\xdbc", "d"}, map[string]uint64{}},
		"slip, no meaning": {Escaped{"slip"}, "\xc0a\xdbb\xc0d\xc0", []string{"d"}, map[string]uint64{Noise: 1}},
		"hdlc":             {Escaped{"hdlc"}, "\x7ea\x7d\x5eb\x7d\x5d\x7e", []string{"a\x7eb\x7d"}, map[string]uint64{}},
		"dle":              {Escaped{"dle"}, "x\x10\x02a\x10\x10\x03b\x10\x03\x10\x02c\x10\x03", []string{"a\x10\x03b", "c"}, map[string]uint64{Noise: 1}},
		"stx and etx":      {StartEnd{Start: "\x02", End: "\x03", Escape: "\x10"}, "\x02a\x10\x03b\x10\x10\x03", []string{"a\x03b\x10"}, map[string]uint64{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d, counts := newTestDeframer(t, tt.framing, Sum{}, 64)
			if diff := cmp.Diff(tt.want, frames(d, tt.in)); diff != "" {
				t.Errorf("frames (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.counts, counts); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
		})
	}
	if err := (Escaped{"x"}).Validate(); err == nil {
		t.Error("an unknown protocol is valid")
	}
}

// slip encodes as a device does.
func slip(b []byte) []byte {
	b = bytes.ReplaceAll(b, []byte{0xdb}, []byte{0xdb, 0xdd})
	return append(append([]byte{0xc0}, bytes.ReplaceAll(b, []byte{0xc0}, []byte{0xdb, 0xdc})...), 0xc0)
}

func dleStuffed(b []byte) []byte {
	b = bytes.ReplaceAll(b, []byte{0x10}, []byte{0x10, 0x10})
	return append(append([]byte{0x10, 0x02}, b...), 0x10, 0x03)
}

// sml makes a transmission of content.
func sml(content []byte) []byte {
	padding := -len(content) & 3
	content = append(bytes.Clone(content), make([]byte, padding)...)
	var b []byte
	for i := 0; i < len(content); i += smlGroup {
		b = append(b, content[i:i+smlGroup]...)
		if string(content[i:i+smlGroup]) == smlEscape {
			b = append(b, smlEscape...)
		}
	}
	b = append(append([]byte(smlStart), b...), smlEscape+"\x1a"...)
	b = append(b, byte(padding))
	sum := x25().function()(b)
	return append(b, byte(sum), byte(sum>>8))
}

// Whatever the content is, it comes through as it was.
func TestEscapedRoundTrip(t *testing.T) {
	kinds := map[string]struct {
		framing Framing
		sum     Sum
		encode  func([]byte) []byte
	}{
		"slip": {Escaped{"slip"}, Sum{}, slip},
		"dle":  {Escaped{"dle"}, Sum{}, dleStuffed},
		"sml":  {SML{}, Sum{Kind: "sml"}, sml},
	}
	for name, k := range kinds {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				bytesOf := rapid.SliceOfN(rapid.SampledFrom([]byte("a\x00\x01\x02\x03\x10\x1a\x1b\xc0\xdb\xdc\xdd")), 4, 40)
				var want []string
				var stream []byte
				for range rapid.IntRange(1, 4).Draw(rt, "frames") {
					content := bytesOf.Draw(rt, "content")
					if name == "sml" { // it can't tell a group of four zeros from padding
						content = append(content, 'x')
					}
					want, stream = append(want, string(content)), append(stream, k.encode(content)...)
				}
				d, err := New(k.framing, k.sum, 512, func(kind string) { rt.Fatalf("%s in %q", kind, stream) })
				if err != nil {
					rt.Fatal(err)
				}
				d.Restart()
				var got []string
				for len(stream) > 0 {
					n := rapid.IntRange(1, len(stream)).Draw(rt, "chunk")
					got, stream = append(got, frames(d, string(stream[:n]))...), stream[n:]
				}
				if diff := cmp.Diff(want, got); diff != "" {
					rt.Fatal(diff)
				}
			})
		})
	}
}

// Garbage gives no frame, whatever the framing and the checksum: ten million bytes of
// it with WEIR_FAULTS=long.
func TestGarbageWithSums(t *testing.T) {
	total := 1_000_000
	if os.Getenv("WEIR_FAULTS") == "long" {
		total = 10_000_000
	}
	for name, k := range map[string]struct {
		framing Framing
		sum     Sum
	}{
		"p1":              {StartEnd{Start: "/", End: "!", Line: true, Include: true}, Sum{Kind: "p1"}},
		"sml":             {SML{}, Sum{Kind: "sml"}},
		"prefix, crc32":   {LengthPrefix{Adjust: 5}, Sum{Kind: "crc32"}},
		"prefix, crc16":   {LengthPrefix{Adjust: 3}, Sum{Kind: "crc16-modbus"}},
		"length, crc16":   {Length{8}, Sum{Kind: "crc16-ccitt"}},
		"length, sum8":    {Length{6}, Sum{Kind: "sum8"}},
		"lines, xor":      {Delimiter{}, Sum{Kind: "xor"}},
		"lines, lrc, hex": {Delimiter{}, Sum{Kind: "lrc", Hex: true}},
		"markers, sum8":   {StartEnd{Start: "\x02", End: "\x03", Trailer: 1}, Sum{Kind: "sum8"}},
		"slip, crc16":     {Escaped{"slip"}, Sum{Kind: "crc16-x25"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, counts := newTestDeframer(t, k.framing, k.sum, 256)
			d.Join()
			r := rand.New(rand.NewPCG(5, 6))
			chunk := make([]byte, 4096)
			for n := 0; n < total; n += len(chunk) {
				for i := 0; i < len(chunk); i += 8 {
					binary.LittleEndian.PutUint64(chunk[i:], r.Uint64())
				}
				for f := range d.Feed(chunk) {
					t.Fatalf("garbage became %x", f)
				}
			}
			if len(counts) == 0 {
				t.Error("no garbage was counted")
			}
		})
	}
}

// Garbage does not end what is good: as soon as nothing but chance speaks against it,
// or the line was quiet, frames are taken again.
func TestDoubtEnds(t *testing.T) {
	frame := func(s string) string { return s + string(rune(xor([]byte(s)))) + "\n" }
	garbage := strings.Repeat("garbage\n", 5)
	d, counts := newTestDeframer(t, Delimiter{}, Sum{Kind: "xor"}, 64)
	steps := []struct {
		name, in string
		want     []string // nil: a pause follows
	}{
		{"a glitch is no doubt", "garbage\n" + frame("a"), []string{"a"}},
		{"three are too few", garbage + frame("b") + frame("c") + frame("d"), nil},
		{"behind a pause each is taken", frame("e"), []string{"e"}},
		{"four are proof, blank lines among them", garbage + frame("f") + "\n" + frame("g") + frame("h") + frame("i") + frame("j"), []string{"f", "g", "h", "i", "j"}},
		{"and from then on each", frame("k"), []string{"k"}},
		{"a wrong one among four refutes those before", garbage + frame("l") + frame("m") + "no\n" + frame("n") + frame("o") + frame("p"), nil},
	}
	for _, s := range steps {
		got := frames(d, s.in)
		if diff := cmp.Diff(s.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.name, diff)
		}
		if s.want != nil {
			continue
		}
		if !d.WantsQuiet() {
			t.Errorf("%s: a pause would tell, and is not wanted", s.name)
		}
		if f := d.Quiet(); f != nil || d.WantsQuiet() || d.Unfinished() > 0 {
			t.Errorf("%s: %q at the pause, %d bytes wait", s.name, f, d.Unfinished())
		}
	}
	if counts[BadSum] == 0 {
		t.Errorf("counts %v", counts)
	}

	d, _ = newTestDeframer(t, Length{3}, Sum{Kind: "crc16-modbus"}, 64)
	crc := crc16{0x8005, 0xffff, 0, true}.function()
	good := func(c byte) string { v := crc([]byte{c}); return string([]byte{c, byte(v), byte(v >> 8)}) }
	if got := frames(d, "\x00\xff"+good('a')); !slices.Equal(got, []string{"a"}) {
		t.Errorf("behind a glitch: %q", got)
	}
	d.Join()
	if got := frames(d, good('a')); got != nil {
		t.Errorf("joined in the middle: %q", got)
	}
	if got := frames(d, good('b')); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("with the next one: %q", got)
	}
}
