package frame

import (
	"bytes"
	"math/rand/v2"
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

// Ten million bytes of garbage give no frame, with any checksum of 16 bits and
// more; those of 8 bits let one of 256 frames pass, so that is no promise.
func TestGarbageWithSums(t *testing.T) {
	for name, k := range map[string]struct {
		framing Framing
		sum     Sum
	}{
		"p1":    {StartEnd{Start: "/", End: "!", Line: true, Include: true}, Sum{Kind: "p1"}},
		"sml":   {SML{}, Sum{Kind: "sml"}},
		"crc32": {LengthPrefix{Adjust: 5}, Sum{Kind: "crc32"}},
	} {
		t.Run(name, func(t *testing.T) {
			d, _ := newTestDeframer(t, k.framing, k.sum, 256)
			d.Join()
			r := rand.New(rand.NewPCG(5, 6))
			chunk := make([]byte, 4096)
			for n := 0; n < 10_000_000; n += len(chunk) {
				for i := range chunk {
					chunk[i] = byte(r.Uint32())
				}
				for f := range d.Feed(chunk) {
					t.Fatalf("garbage became %x", f)
				}
			}
		})
	}
}
