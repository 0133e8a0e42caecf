package frame

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// newTestDeframer makes a Deframer that begins in step, and the map of its counts.
func newTestDeframer(t testing.TB, f Framing, sum Sum, limit int) (*Deframer, map[string]uint64) {
	t.Helper()
	if err := f.Validate(); err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]uint64)
	d, err := New(f, sum, limit, func(kind string) { counts[kind]++ })
	if err != nil {
		t.Fatal(err)
	}
	d.Restart()
	return d, counts
}

// frames feeds all chunks and copies the frames.
func frames(d *Deframer, chunks ...string) []string {
	var got []string
	for _, c := range chunks {
		for f := range d.Feed([]byte(c)) {
			got = append(got, string(f))
		}
	}
	return got
}

func TestFraming(t *testing.T) {
	tests := map[string]struct {
		framing Framing
		limit   int
		in      []string
		want    []string
		counts  map[string]uint64
	}{
		"lines of all kinds": {
			framing: Delimiter{}, in: []string{"one\r\ntwo\n", "th", "ree\r", "\n"},
			want: []string{"one", "two", "three"},
		},
		"empty lines are nothing": {framing: Delimiter{}, in: []string{"\n\r\n\na\n"}, want: []string{"a"}},
		"delimiter of three bytes, split": {
			framing: Delimiter{Bytes: "<->"}, in: []string{"a<", "-", ">b<-x<->"},
			want: []string{"a", "b<-x"},
		},
		"delimiter included": {framing: Delimiter{Bytes: ";", Include: true}, in: []string{"a;b;"}, want: []string{"a;", "b;"}},
		"a line of just the limit": {
			framing: Delimiter{}, limit: 4, in: []string{"1234\n", "5678", "\n"},
			want: []string{"1234", "5678"},
		},
		"the tail of a long line is no frame": {
			framing: Delimiter{}, limit: 4, in: []string{"123456", "78", "9\nok\n"},
			want: []string{"ok"}, counts: map[string]uint64{TooLong: 1},
		},
		"a long line in one piece": {
			framing: Delimiter{}, limit: 4, in: []string{"123456789\nok\n"},
			want: []string{"ok"}, counts: map[string]uint64{TooLong: 1},
		},
		"fixed length": {framing: Length{3}, in: []string{"abcde", "f", "gh"}, want: []string{"abc", "def"}},
		"length prefix": {
			framing: LengthPrefix{Offset: 1, Adjust: 2}, in: []string{"A\x03xyzB", "\x00C\x01", "q"},
			want: []string{"A\x03xyz", "B\x00", "C\x01q"},
		},
		"length prefix of two bytes, little endian": {
			framing: LengthPrefix{Width: 2, LittleEndian: true}, in: []string{"\x05\x00xyz"},
			want: []string{"\x05\x00xyz"},
		},
		"a length beyond the limit is noise": {
			framing: LengthPrefix{Width: 2}, limit: 8, in: []string{"\xff\xff\x00\x04ab"},
			want: []string{"\x00\x04ab"}, counts: map[string]uint64{Noise: 1},
		},
		"start and end": {
			framing: StartEnd{Start: "\x02", End: "\x03"}, in: []string{"noise\x02one\x03more\x02tw", "o\x03"},
			want: []string{"one", "two"}, counts: map[string]uint64{Noise: 2},
		},
		"a trailer behind the end": {
			framing: StartEnd{Start: "\x02", End: "\x03", Trailer: 1}, in: []string{"\x02one\x03", "S\x02two\x03T"},
			want: []string{"oneS", "twoT"},
		},
		"markers included, to the end of the line": {
			framing: StartEnd{Start: "/", End: "!", Line: true, Include: true}, in: []string{"/x\r\n1\r\n!AB", "CD\r\n/y\n!\n"},
			want: []string{"/x\r\n1\r\n!ABCD\r\n", "/y\n!\n"},
		},
		"a lost end costs one frame": {
			framing: StartEnd{Start: "<", End: ">"}, limit: 8, in: []string{"<abcdefghij<ok>"},
			want: []string{"ok"}, counts: map[string]uint64{TooLong: 1},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			limit := tt.limit
			if limit == 0 {
				limit = 64
			}
			d, counts := newTestDeframer(t, tt.framing, Sum{}, limit)
			if diff := cmp.Diff(tt.want, frames(d, tt.in...)); diff != "" {
				t.Errorf("frames (-want +got):\n%s", diff)
			}
			if tt.counts == nil {
				tt.counts = map[string]uint64{}
			}
			if diff := cmp.Diff(tt.counts, counts); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
		})
	}
}

// Whoever joins in the middle must not take the rest of a frame for a frame.
func TestJoinedInTheMiddle(t *testing.T) {
	tests := map[string]struct {
		framing Framing
		in      []string // "": a pause
		want    []string
		counts  map[string]uint64
	}{
		"line":                      {Delimiter{}, []string{"0.1\n230.2\n"}, []string{"230.2"}, map[string]uint64{Partial: 1}},
		"line, in pieces":           {Delimiter{Bytes: "\r\n"}, []string{"0", ".1\r", "\n230.2\r\n"}, []string{"230.2"}, map[string]uint64{Partial: 1}},
		"line, after a pause":       {Delimiter{}, []string{"", "230.1\n"}, []string{"230.1"}, nil},
		"line, a pause within":      {Delimiter{}, []string{"23", "", "0.1\n230.2\n"}, []string{"230.2"}, map[string]uint64{Partial: 1}},
		"line, a pause when known":  {Delimiter{}, []string{"", "23", "", "0.1\n"}, []string{"230.1"}, nil},
		"line, a pause within long": {Delimiter{}, []string{"", strings.Repeat("x", 100), "", "0.1\n230.2\n"}, []string{"230.2"}, map[string]uint64{TooLong: 1}},
		"length":                    {Length{2}, []string{"b", "cd", "ef"}, nil, map[string]uint64{Partial: 1}},
		"length, after a pause":     {Length{2}, []string{"b", "", "cd", "e", "", "fg"}, []string{"cd", "fg"}, map[string]uint64{Partial: 2}},
		"length prefix":             {LengthPrefix{}, []string{"\x02a\x02b"}, nil, map[string]uint64{Partial: 1}},
		"a marker tells":            {StartEnd{Start: "<", End: ">"}, []string{"b>", "<c>"}, []string{"c"}, map[string]uint64{Noise: 1}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d, counts := newTestDeframer(t, tt.framing, Sum{}, 64)
			d.Join()
			var got []string
			for _, in := range tt.in {
				if in != "" {
					got = append(got, frames(d, in)...)
				} else if frame := d.Quiet(); frame != nil {
					t.Fatalf("frame %q at the pause", frame)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("frames (-want +got):\n%s", diff)
			}
			if tt.counts == nil {
				tt.counts = map[string]uint64{}
			}
			if diff := cmp.Diff(tt.counts, counts); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
		})
	}
}

// A pause that changed nothing must not be waited for again and again.
func TestQuietIsWantedOnce(t *testing.T) {
	for name, framing := range framings() {
		for _, in := range []string{"", "x", "x\n<", strings.Repeat("x", 100)} {
			d, _ := newTestDeframer(t, framing, Sum{}, 12)
			d.Join()
			frames(d, in)
			if d.WantsQuiet() {
				d.Quiet()
			}
			if d.WantsQuiet() {
				t.Errorf("%s: after %q and a pause another one is wanted", name, in)
			}
		}
	}
}

func TestIdleGap(t *testing.T) {
	d, counts := newTestDeframer(t, IdleGap{}, Sum{}, 8)
	d.Join()
	steps := []struct {
		in   string
		want string // at the pause after it
	}{
		{"middle", ""}, {"one", "one"}, {"", ""}, {"far too long", ""}, {"two", "two"},
	}
	for _, s := range steps {
		if got := frames(d, s.in); got != nil {
			t.Fatalf("frames %q without a pause", got)
		}
		if got := string(d.Quiet()); got != s.want {
			t.Errorf("after %q: frame %q; want %q", s.in, got, s.want)
		}
	}
	if want := map[string]uint64{Partial: 1, TooLong: 1}; !cmp.Equal(want, counts) {
		t.Errorf("counts %v; want %v", counts, want)
	}
}

// With a checksum a binary framing finds its way back into step by itself.
func TestResynchronise(t *testing.T) {
	crc := crc16{0x8005, 0xffff, 0, true}.function()
	good := func(s string) string {
		return s + string(binary.LittleEndian.AppendUint16(nil, uint16(crc([]byte(s)))))
	}
	tests := map[string]struct {
		framing Framing
		sum     Sum
		in      string
		want    []string
		counts  map[string]uint64
	}{
		"fixed length behind noise": {
			Length{6},
			Sum{Kind: "crc16-modbus"},
			"###" + good("abcd") + good("efgh"),
			[]string{"abcd", "efgh"},
			map[string]uint64{BadSum: 1},
		},
		"a frame lost in the middle": {
			Length{6},
			Sum{Kind: "crc16-modbus"},
			good("abcd") + "wx" + good("efgh") + good("ijkl"),
			[]string{"abcd", "efgh", "ijkl"},
			map[string]uint64{BadSum: 1},
		},
		"length prefix, wrong length": {
			LengthPrefix{Adjust: 3},
			Sum{Kind: "crc16-modbus"},
			"\x05ab" + good("\x02ok") + good("\x03yes"),
			[]string{"\x02ok", "\x03yes"},
			map[string]uint64{BadSum: 1},
		},
		"markers, end lost": {
			StartEnd{Start: "<", End: ">", Trailer: 1},
			Sum{Kind: "xor"},
			"<ab<ok>" + string(rune('o'^'k')) + "<no>#<yes>" + string(rune('y'^'e'^'s')),
			[]string{"ok", "yes"},
			map[string]uint64{BadSum: 2},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d, counts := newTestDeframer(t, tt.framing, tt.sum, 64)
			if diff := cmp.Diff(tt.want, frames(d, tt.in)); diff != "" {
				t.Errorf("frames (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.counts, counts); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFramingValidate(t *testing.T) {
	tests := map[string]struct {
		framing Framing
		want    string
	}{
		"delimiter": {Delimiter{Bytes: strings.Repeat("x", 33)}, "delimiter (33 bytes) must be at most 32"},
		"length":    {Length{}, "length (0) must be at least 1"},
		"offset":    {LengthPrefix{Offset: -1}, "offset (-1) must be"},
		"width":     {LengthPrefix{Width: 5}, "width (5) must be"},
		"start":     {StartEnd{End: ">"}, `start marker ("") must be`},
		"end":       {StartEnd{Start: ">"}, `end marker ("") must be`},
		"trailer":   {StartEnd{Start: "<", End: ">", Trailer: -1}, "trailer (-1) must be"},
		"gap":       {IdleGap{-1}, "idle gap (-1ns) must be"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if err := tt.framing.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Validate() = %v; want %q", err, tt.want)
			}
		})
	}
}

// framings are one of each kind, for properties that hold for all.
func framings() map[string]Framing {
	return map[string]Framing{
		"line":   Delimiter{},
		"crlf":   Delimiter{Bytes: "\r\n", Include: true},
		"length": Length{5},
		"prefix": LengthPrefix{Offset: 1, Width: 2, Adjust: -1, LittleEndian: true},
		"markers": StartEnd{
			Start: "<<", End: ">", Trailer: 2,
		},
		"telegram": StartEnd{Start: "/", End: "!", Line: true, Include: true},
		"slip":     Escaped{"slip"},
		"dle":      Escaped{"dle"},
		"sml":      SML{},
		"gap":      IdleGap{},
	}
}

// How the bytes arrive must not matter: any split into chunks gives the same frames.
func TestChunksDoNotMatter(t *testing.T) {
	for name, framing := range framings() {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				alphabet := rapid.SampledFrom([]byte("ab\r\n<>/!\x00\x01\x05"))
				in := string(rapid.SliceOf(alphabet).Draw(rt, "in"))
				whole, _ := newTestDeframer(t, framing, Sum{}, 12)
				want := frames(whole, in)

				var chunks []string
				for rest := in; rest != ""; {
					n := rapid.IntRange(1, len(rest)).Draw(rt, "chunk")
					chunks, rest = append(chunks, rest[:n]), rest[n:]
				}
				pieces, _ := newTestDeframer(t, framing, Sum{}, 12)
				if got := frames(pieces, chunks...); !slices.Equal(got, want) {
					rt.Fatalf("in pieces %q: %q; whole: %q", chunks, got, want)
				}
			})
		})
	}
}

func FuzzFraming(f *testing.F) {
	f.Add([]byte("a\r\nb\r\n"), uint8(3))
	f.Add([]byte("<<ab>12/x\n!1\n"), uint8(1))
	f.Add([]byte{0, 7, 0, 1, 2, 3, 4, 5}, uint8(255))
	f.Fuzz(func(t *testing.T, in []byte, chunk uint8) {
		const limit = 32
		for name, framing := range framings() {
			d, _ := newTestDeframer(t, framing, Sum{}, limit)
			d.Join()
			for c := range slices.Chunk(in, int(chunk)+1) {
				for frame := range d.Feed(c) {
					if len(frame) > limit+2 {
						t.Fatalf("%s: a frame of %d bytes", name, len(frame))
					}
				}
				if len(d.buf) > limit+maxMarker+int(chunk)+1 {
					t.Fatalf("%s holds %d bytes", name, len(d.buf))
				}
				if chunk%3 == 0 {
					d.Quiet()
				}
			}
		}
	})
}

// Ten million bytes of garbage must not give a single frame, and every good
// sentence between garbage must come through.
func TestGarbageGivesNoFrame(t *testing.T) {
	const total = 10_000_000
	r := rand.New(rand.NewPCG(1, 2))
	d, counts := newTestDeframer(t, Delimiter{}, Sum{Kind: "nmea"}, 1024)
	d.Join()
	chunk := make([]byte, 4096)
	sent, got := 0, 0
	for n := 0; n < total; n += len(chunk) {
		for i := range chunk {
			chunk[i] = byte(r.Uint32())
		}
		sentence := fmt.Sprintf("\nDPT,%d.%d,0.0", n, n%10)
		line := fmt.Sprintf("\n$IN%s*%02X\r\n", sentence[1:], xor([]byte("IN"+sentence[1:])))
		for _, b := range [][]byte{chunk, []byte(line)} {
			for frame := range d.Feed(b) {
				if !strings.HasPrefix(string(frame), "INDPT,") {
					t.Fatalf("garbage became %q", frame)
				}
				got++
			}
		}
		sent++
	}
	if got != sent {
		t.Errorf("%d of %d good sentences came through", got, sent)
	}
	if counts[BadSum] == 0 {
		t.Error("no garbage was counted")
	}
}

func BenchmarkDeframer(b *testing.B) {
	d, _ := newTestDeframer(b, Delimiter{}, Sum{Kind: "nmea"}, 1024)
	chunk := bytes.Repeat([]byte("$GPGGA,232712.000,4404.1237962,N,12118.8472460,W,1,05,5.1,1132.560,M,-20.300,M,,0000*58\r\n"), 10)
	b.SetBytes(int64(len(chunk)))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for range d.Feed(chunk) {
			n++
		}
		if n != 10 {
			b.Fatal(n)
		}
	}
}
