package modbus

import (
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goburrow/modbus"
	"pgregory.net/rapid"

	"github.com/weir-edge/weir/adapters/serialport"
)

// unhex reads hex with blanks.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// framed puts a unit before and a CRC behind a PDU.
func framed(unit byte, pdu ...byte) []byte {
	b := append([]byte{unit}, pdu...)
	crc := crc16(b)
	return append(b, byte(crc), byte(crc>>8))
}

func TestCRC(t *testing.T) {
	if got := crc16([]byte("123456789")); got != 0x4B37 {
		t.Errorf("CRC of the check string is %04x", got)
	}
	// the example of the serial line guide: 02 07 has 12 41
	if got := framed(2, 7); !slices.Equal(got, []byte{0x02, 0x07, 0x41, 0x12}) {
		t.Errorf("frame is % x", got)
	}
}

// scriptedLink answers each request by a function.
type scriptedLink struct {
	answer   func(request []byte) []byte
	requests [][]byte
	incoming []byte
	delay    time.Duration
	chunk    int // bytes a Read gives
}

func (l *scriptedLink) Read(b []byte, deadline time.Time) (int, error) {
	if len(l.incoming) == 0 || time.Now().Add(l.delay).After(deadline) {
		time.Sleep(time.Until(deadline))
		return 0, os.ErrDeadlineExceeded
	}
	time.Sleep(l.delay)
	n := len(l.incoming)
	if l.chunk > 0 {
		n = min(n, l.chunk)
	}
	n = copy(b, l.incoming[:n])
	l.incoming = l.incoming[n:]
	return n, nil
}

func (l *scriptedLink) Write(b []byte) error {
	l.requests = append(l.requests, slices.Clone(b))
	l.incoming = append(l.incoming, l.answer(b)...)
	return nil
}

func (l *scriptedLink) Flush() error         { return nil }
func (l *scriptedLink) Rest(d time.Duration) { time.Sleep(d) }
func (l *scriptedLink) Interrupt()           {}
func (l *scriptedLink) Close() error         { return nil }

// scriptedBus is a bus on a scripted link.
func scriptedBus(t testing.TB, url string, answer func(request []byte) []byte) (*bus, *scriptedLink) {
	line, err := ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	l := &scriptedLink{answer: answer}
	b := newBus(t.Context(), line, l, 100*time.Millisecond, make(map[byte]*unitState), new(taps))
	t.Cleanup(b.close)
	return b, l
}

const (
	rtuURL = "rtu+tcp://scripted:1"
	tcpURL = "tcp://scripted:1"
)

// The bytes of all requests, and what is made of their answers.
func TestGolden(t *testing.T) {
	read := func(table table, address, count uint16) func(*bus) ([]byte, error) {
		return func(b *bus) ([]byte, error) { return b.read(0x11, table, address, count, b.timeout) }
	}
	raw := func(pdu string) func(*bus) ([]byte, error) {
		return func(b *bus) ([]byte, error) { return b.raw(0x11, unhex(t, pdu), b.timeout) }
	}
	write := func(do func(*bus) error) func(*bus) ([]byte, error) {
		return func(b *bus) ([]byte, error) { return nil, do(b) }
	}
	for name, c := range map[string]struct {
		do              func(*bus) ([]byte, error)
		request, answer string // PDUs
		want            string // data
	}{
		"coils":     {read(coils, 0x13, 0x25), "01 0013 0025", "01 05 CD6BB20E1B", "CD6BB20E1B"},
		"discretes": {read(discretes, 0xC4, 0x16), "02 00C4 0016", "02 03 ACDB35", "ACDB35"},
		"holdings":  {read(holdings, 0x6B, 3), "03 006B 0003", "03 06 022B 0001 0064", "022B00010064"},
		"inputs":    {read(inputs, 8, 1), "04 0008 0001", "04 02 000A", "000A"},
		"coil on":   {write(func(b *bus) error { return b.writeBit(0x11, 0xAC, true, b.timeout) }), "05 00AC FF00", "05 00AC FF00", ""},
		"coil off":  {write(func(b *bus) error { return b.writeBit(0x11, 0xAC, false, b.timeout) }), "05 00AC 0000", "05 00AC 0000", ""},
		"a coil":    {write(func(b *bus) error { return b.writeBits(0x11, 0xAC, 1, []byte{1}, b.timeout) }), "0F 00AC 0001 01 01", "0F 00AC 0001", ""},
		"register":  {write(func(b *bus) error { return b.writeRegister(0x11, 1, 3, b.timeout) }), "06 0001 0003", "06 0001 0003", ""},
		"registers": {write(func(b *bus) error { return b.writeRegisters(0x11, 1, []byte{0, 10, 1, 2}, b.timeout) }), "10 0001 0002 04 000A0102", "10 0001 0002", ""},
		"bit on":    {write(func(b *bus) error { return b.writeMask(0x11, 4, 2, true, b.timeout) }), "16 0004 FFFB 0004", "16 0004 FFFB 0004", ""},
		"bit off":   {write(func(b *bus) error { return b.writeMask(0x11, 4, 15, false, b.timeout) }), "16 0004 7FFF 0000", "16 0004 7FFF 0000", ""},
		"exchange": {
			func(b *bus) ([]byte, error) { return b.exchangeRegisters(0x11, 3, []byte{0, 1, 0, 2}, b.timeout) },
			"17 0003 0002 0003 0002 04 00010002", "17 04 0001 0003", "00010003",
		},
		"fifo":     {raw("18 04DE"), "18 04DE", "18 0006 0002 01B8 1284", "0006000201B81284"},
		"server":   {raw("11"), "11", "11 08 0A FF 4C4D4233 2E31", "080AFF4C4D42332E31"},
		"identify": {raw("2B 0E 01 00"), "2B 0E 01 00", "2B 0E 01 01 00 00 02 00 02 4142 01 01 43", "0E0101000002000241420101" + "43"},
	} {
		for _, url := range []string{rtuURL, tcpURL} {
			t.Run(name+"/"+url[:3], func(t *testing.T) {
				wrap := func(pdu string) []byte { return framed(0x11, unhex(t, pdu)...) }
				if url == tcpURL {
					wrap = func(pdu string) []byte {
						p := unhex(t, pdu)
						return append([]byte{0, 1, 0, 0, 0, byte(len(p) + 1), 0x11}, p...)
					}
				}
				b, l := scriptedBus(t, url, func([]byte) []byte { return wrap(c.answer) })
				data, err := c.do(b)
				if err != nil || !slices.Equal(data, unhex(t, c.want)) {
					t.Errorf("data is % x, %v", data, err)
				}
				if !slices.Equal(l.requests[0], wrap(c.request)) {
					t.Errorf("request is % x, want % x", l.requests[0], wrap(c.request))
				}
			})
		}
	}
}

// What a scan makes of what comes: the request is always a read of two holding
// registers of unit 1.
func TestScan(t *testing.T) {
	request := framed(1, 3, 0, 10, 0, 2)
	answer := framed(1, 3, 4, 0xAA, 0xBB, 0xCC, 0xDD)
	other := framed(2, 3, 4, 0xAA, 0xBB, 0xCC, 0xDD)
	long := framed(1, 3, 6, 1, 2, 3, 4, 5, 6)
	exception := framed(1, 0x83, 2)
	damaged := slices.Clone(answer)
	damaged[4] ^= 1
	// A frame of another unit in whose data our answer stands.
	trojan := framed(2, append([]byte{3, byte(len(answer))}, answer...)...)
	join := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	for name, c := range map[string]struct {
		in        []byte
		late      bool // answers to earlier requests may come
		echo      bool // the line is known to echo
		wantFrame []byte
		wantUsed  int
		want      found
		wantEcho  bool
	}{
		"nothing":                       {in: nil, want: foundNothing},
		"answer":                        {in: answer, wantFrame: answer, want: foundAnswer},
		"exception":                     {in: exception, wantFrame: exception, want: foundAnswer},
		"half":                          {in: answer[:5], want: foundNothing},
		"one byte missing":              {in: answer[:len(answer)-1], want: foundNothing},
		"behind a frame of another":     {in: join(other, answer), wantFrame: answer, wantUsed: len(other), want: foundAnswer},
		"only a frame of another":       {in: other, wantUsed: len(other), want: foundNothing},
		"within a frame of another":     {in: trojan, wantUsed: len(trojan), want: foundNothing},
		"behind noise":                  {in: join([]byte{0xFF, 0, 1}, answer), wantFrame: answer, want: foundAnswer},
		"behind half an answer":         {in: join(answer[:4], answer), wantFrame: answer, want: foundAnswer},
		"damaged":                       {in: damaged, want: foundNothing},
		"damaged, then right":           {in: join(damaged, answer), wantFrame: answer, want: foundAnswer},
		"of another length":             {in: long, wantFrame: long, want: foundMismatch},
		"late, of another length":       {in: long, late: true, wantUsed: len(long), want: foundNothing},
		"late, then right":              {in: join(long, answer), late: true, wantFrame: answer, wantUsed: len(long), want: foundAnswer},
		"echo":                          {in: request, wantUsed: len(request), want: foundNothing, wantEcho: true},
		"echo and answer":               {in: join(request, answer), wantFrame: answer, wantUsed: len(request), want: foundAnswer, wantEcho: true},
		"half an echo":                  {in: request[:3], echo: true, want: foundNothing, wantEcho: true},
		"answer of another function":    {in: framed(1, 4, 4, 1, 2, 3, 4), wantUsed: 9, want: foundNothing},
		"exception of another function": {in: framed(1, 0x84, 2), wantUsed: 5, want: foundNothing},
	} {
		t.Run(name, func(t *testing.T) {
			want, _ := expect(request[1:6])
			echo := c.echo
			s := scanner{request: request, want: &want, echo: &echo, inStep: !c.late}
			frame, used, what := s.scan(c.in)
			if !slices.Equal(frame, c.wantFrame) || used != c.wantUsed || what != c.want || echo != c.wantEcho {
				t.Errorf("got % x, used %d, found %d, echo %v", frame, used, what, echo)
			}
		})
	}
}

// The echo of a write can't be told from its answer, unless a read has shown that
// the line echoes.
func TestEchoOfWrite(t *testing.T) {
	request := framed(1, 6, 0, 1, 0, 3)
	want, _ := expect(request[1:6])
	echo := true
	s := scanner{request: request, want: &want, echo: &echo}
	if _, used, what := s.scan(request); what != foundNothing || used != len(request) {
		t.Errorf("the echo passes for the answer (%d, %d)", used, what)
	}
	if frame, _, what := s.scan(request); what != foundAnswer || !slices.Equal(frame, request) {
		t.Errorf("the answer behind the echo is not seen (%d)", what)
	}
}

// However an answer is cut into pieces and mixed with noise, it is found or not,
// but nothing else is.
func TestScanProperty(t *testing.T) {
	request := framed(1, 3, 0, 10, 0, 2)
	answer := framed(1, 3, 4, 0xAA, 0xBB, 0xCC, 0xDD)
	want, _ := expect(request[1:6])
	rapid.Check(t, func(r *rapid.T) {
		noise := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(r, "noise")
		behind := rapid.SliceOfN(rapid.Byte(), 0, 10).Draw(r, "behind")
		stream := slices.Concat(noise, answer, behind)
		echo := false
		s := scanner{request: request, want: &want, echo: &echo, inStep: rapid.Bool().Draw(r, "in step")}
		for n := range len(stream) + 1 {
			frame, used, what := s.scan(stream[:n])
			if used > n || what == foundAnswer && !slices.Equal(frame, answer) {
				r.Fatalf("found % x", frame)
			}
			if what == foundAnswer {
				return
			}
			stream = stream[used:]
			if n -= used; n > len(stream) {
				return
			}
		}
	})
}

func FuzzScan(f *testing.F) {
	f.Add(framed(1, 3, 4, 1, 2, 3, 4), true)
	f.Add(framed(1, 0x83, 2), false)
	f.Add(slices.Concat(framed(2, 1, 1, 1), framed(1, 3, 4, 1, 2, 3, 4)), true)
	f.Fuzz(func(t *testing.T, in []byte, inStep bool) {
		request := framed(1, 3, 0, 10, 0, 2)
		want, _ := expect(request[1:6])
		echo := false
		s := scanner{request: request, want: &want, echo: &echo, inStep: inStep}
		frame, used, what := s.scan(in)
		switch {
		case used > len(in):
			t.Errorf("used %d of %d", used, len(in))
		case what == foundAnswer && (!intact(frame) || frame[0] != 1 || frame[1]&0x7F != 3):
			t.Errorf("answer is % x", frame)
		}
	})
}

func FuzzTCPFrame(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 0, 7, 1, 3, 4, 1, 2, 3, 4})
	f.Add([]byte{0, 0, 0, 0, 0, 3, 1, 0x83, 2, 0, 1, 0, 0, 0, 7, 1, 3, 4, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, in []byte) {
		b, l := scriptedBus(t, tcpURL, func([]byte) []byte { return in })
		l.chunk = 3
		data, err := b.read(1, holdings, 10, 2, time.Millisecond)
		if err == nil && len(data) != 4 {
			t.Errorf("data is % x", data)
		}
	})
}

var (
	_ modbus.Transporter = (*rtuTransport)(nil)
	_ modbus.Transporter = (*tcpTransport)(nil)
	_ link               = (*serialport.Port)(nil)
)
