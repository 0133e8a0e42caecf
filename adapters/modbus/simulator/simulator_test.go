package simulator

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-edge/weir/adapters/serialport/pty"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sample is a unit with something in each table.
func sample() *Slave {
	s := New()
	u := s.Unit(0x11)
	u.Set(Coils, 0x13, 1, 0, 1, 1, 0, 0, 1, 1, 1)
	u.Set(Discretes, 0, 1)
	u.Set(Holdings, 0x6B, 0x022B, 0, 0x64)
	u.Float32(Inputs, 8, func(time.Time) float32 { return 230.1 })
	return s
}

// The answers to all functions, as PDUs.
func TestExecute(t *testing.T) {
	for name, c := range map[string]struct{ request, want string }{
		"coils":                {"01 0013 0009", "01 02 CD01"},
		"discretes":            {"02 0000 0001", "02 01 01"},
		"holdings":             {"03 006B 0003", "03 06 022B 0000 0064"},
		"inputs":               {"04 0008 0002", "04 04 4366 199A"},
		"coil on":              {"05 0014 FF00", "05 0014 FF00"},
		"coil neither":         {"05 0014 0100", "85 03"},
		"register":             {"06 006B 1234", "06 006B 1234"},
		"coils written":        {"0F 0013 000A 02 CD01", "8F 02"}, // one more than there is
		"all coils written":    {"0F 0013 0009 02 CD01", "0F 0013 0009"},
		"registers written":    {"10 006B 0002 04 000A 0102", "10 006B 0002"},
		"bytes don't match":    {"10 006B 0002 03 000A01", "90 03"},
		"mask":                 {"16 006B 00F2 0025", "16 006B 00F2 0025"},
		"mask of nothing":      {"16 0000 00F2 0025", "96 02"},
		"unknown function":     {"2B 0E 01 00 00", "AB 01"},
		"too short":            {"03 006B", "83 03"},
		"none":                 {"03 006B 0000", "83 03"},
		"too many":             {"03 006B 007E", "83 03"},
		"too many coils":       {"01 0013 07D1", "81 03"},
		"no such register":     {"03 006B 0004", "83 02"},
		"beyond the end":       {"04 FFFF 0002", "84 02"},
		"written to nowhere":   {"06 0000 1234", "86 02"},
		"written past the end": {"10 FFFF 0002 04 00000000", "90 02"},
	} {
		t.Run(name, func(t *testing.T) {
			got := sample().Unit(0x11).execute(unhex(t, c.request), time.Now(), new(counts))
			if want := unhex(t, c.want); string(got) != string(want) {
				t.Errorf("got % x, want % x", got, want)
			}
		})
	}
}

func TestWritesAreSeen(t *testing.T) {
	u := sample().Unit(0x11)
	var seen []uint16
	u.OnWrite(func(table Table, address, value uint16) { seen = append(seen, uint16(table), address, value) })
	for _, request := range []string{"06 006B 1234", "05 0014 FF00", "16 006B 00FF 4200", "10 006C 0002 04 0001 0002"} {
		u.execute(unhex(t, request), time.Now(), new(counts))
	}
	want := []uint16{2, 0x6B, 0x1234, 0, 0x14, 1, 2, 0x6B, 0x4234, 2, 0x6C, 1, 2, 0x6D, 2}
	if len(seen) != len(want) {
		t.Fatalf("seen %v", seen)
	}
	for i := range want {
		if seen[i] != want[i] {
			t.Fatalf("seen %v, want %v", seen, want)
		}
	}
	if u.Get(Holdings, 0x6B) != 0x4234 || u.Get(Coils, 0x14) != 1 {
		t.Error("what was written is not there")
	}
}

func TestBehaviours(t *testing.T) {
	u := sample().Unit(0x11)
	read := unhex(t, "03 006B 0003")
	for name, c := range map[string]struct {
		b    Behaviour
		want string
	}{
		"exception":   {Behaviour{Exception: 6}, "83 06"},
		"no function": {Behaviour{NoFunction: 3}, "83 01"},
		"short":       {Behaviour{MaxRegisters: 2}, "83 03"},
		"as it is":    {Behaviour{MaxRegisters: 3}, "03 06 022B 0000 0064"},
	} {
		u.Behave(c.b)
		if got := u.execute(read, time.Now(), new(counts)); string(got) != string(unhex(t, c.want)) {
			t.Errorf("%s: % x", name, got)
		}
	}
}

// rtu is a frame with its CRC.
func rtu(t testing.TB, body string) []byte {
	b := unhex(t, body)
	crc := crc16(b)
	return append(b, byte(crc), byte(crc>>8))
}

// converse runs s on one end of a pipe, and talk on the other, in fake time.
func converse(t *testing.T, serve func(context.Context, net.Conn) error, talk func(t *testing.T, conn net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		ours, theirs := net.Pipe()
		var served sync.WaitGroup
		served.Go(func() { _ = serve(ctx, theirs) })
		talk(t, ours)
		cancel()
		ours.Close()
		served.Wait()
	})
}

// ask sends a request and expects an answer, or silence when want is empty.
func ask(t *testing.T, conn net.Conn, request, want []byte) (took time.Duration) {
	t.Helper()
	start := time.Now()
	if _, err := conn.Write(request); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	got := make([]byte, 300)
	n, err := io.ReadAtLeast(conn, got, max(1, len(want)))
	if len(want) == 0 {
		if n > 0 {
			t.Errorf("% x is answered by % x", request, got[:n])
		}
		return time.Since(start)
	}
	if err != nil || string(got[:n]) != string(want) {
		t.Errorf("% x is answered by % x, %v; want % x", request, got[:n], err, want)
	}
	return time.Since(start)
}

func TestServeTCP(t *testing.T) {
	s := sample()
	converse(t, s.ServeConn, func(t *testing.T, conn net.Conn) {
		ask(t, conn, unhex(t, "1234 0000 0006 11 03 006B 0001"), unhex(t, "1234 0000 0005 11 03 02 022B"))
		ask(t, conn, unhex(t, "1235 0000 0006 12 03 006B 0001"), nil) // nobody
		s.Unit(0x11).Behave(Behaviour{Latency: time.Second})
		if took := ask(t, conn, unhex(t, "1236 0000 0006 11 03 0000 0001"), unhex(t, "1236 0000 0003 11 83 02")); took != time.Second {
			t.Errorf("took %v", took)
		}
		// two requests at once are answered in order
		double := unhex(t, "0001 0000 0006 11 03 006B 0001 0002 0000 0006 11 03 006D 0001")
		ask(t, conn, double, unhex(t, "0001 0000 0005 11 03 02 022B 0002 0000 0005 11 03 02 0064"))
		conn.Write(unhex(t, "0001 0001 0006 11 03 006B 0001")) // another protocol
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the connection is still open: %v", err)
		}
	})
	if st := s.Stats(); st.Requests != 4 || st.Registers != 3 || st.Exceptions != 1 || st.BadFrames != 1 {
		t.Errorf("stats are %+v", st)
	}
}

func TestServeRTU(t *testing.T) {
	s := sample()
	serve := func(ctx context.Context, conn net.Conn) error { return s.ServeRTU(ctx, conn, Wire{}) }
	read, answer := rtu(t, "11 03 006B 0001"), rtu(t, "11 03 02 022B")
	converse(t, serve, func(t *testing.T, conn net.Conn) {
		ask(t, conn, read, answer)
		for _, part := range [][]byte{read[:3], read[3:7]} { // in pieces
			conn.Write(part)
			time.Sleep(5 * time.Millisecond)
		}
		ask(t, conn, read[7:], answer)
		damaged := append([]byte(nil), read...)
		damaged[3] ^= 1
		ask(t, conn, damaged, nil)
		ask(t, conn, read, answer)
		ask(t, conn, read[:5], nil) // half a request, then nothing
		ask(t, conn, read, answer)
		ask(t, conn, rtu(t, "12 03 006B 0001"), nil)
		s.Unit(0x11).Behave(Behaviour{Dead: true})
		ask(t, conn, read, nil)
		s.Unit(0x11).Behave(Behaviour{})
		s.Faults(func(Request) Fault { return Fault{Delay: 3 * time.Second} })
		if took := ask(t, conn, read, answer); took != 3*time.Second {
			t.Errorf("took %v", took)
		}
		s.Faults(func(Request) Fault { return Fault{Drop: true} })
		ask(t, conn, read, nil)
		s.Faults(func(r Request) Fault {
			if r != (Request{Unit: 0x11, Function: 3, Address: 0x6B}) {
				t.Errorf("request is %+v", r)
			}
			return Fault{Cut: 2, Noise: []byte{1, 2, 3}}
		})
		ask(t, conn, read, append([]byte{1, 2, 3}, answer[:5]...))
	})
	if st := s.Stats(); st.BadFrames != 2 || st.Violations != 0 {
		t.Errorf("stats are %+v", st)
	}
}

// A late answer of one unit comes in the middle of another's.
func TestUnitsAnswerByThemselves(t *testing.T) {
	s := sample()
	s.Unit(1).Set(Holdings, 0, 7)
	s.Unit(0x11).Behave(Behaviour{Latency: time.Second})
	serve := func(ctx context.Context, conn net.Conn) error { return s.ServeRTU(ctx, conn, Wire{}) }
	converse(t, serve, func(t *testing.T, conn net.Conn) {
		conn.Write(rtu(t, "11 03 006B 0001"))
		ask(t, conn, rtu(t, "01 03 0000 0001"), rtu(t, "01 03 02 0007"))
		ask(t, conn, nil, rtu(t, "11 03 02 022B"))
	})
}

// A wire takes the time that bytes take, and hears what comes too early.
func TestWire(t *testing.T) {
	s := sample()
	wire := Wire{Char: time.Millisecond, Quiet: 4 * time.Millisecond, Chunk: 100, Strict: true}
	serve := func(ctx context.Context, conn net.Conn) error { return s.ServeRTU(ctx, conn, wire) }
	read, answer := rtu(t, "11 03 006B 0001"), rtu(t, "11 03 02 022B")
	s.Unit(0x11).Behave(Behaviour{Latency: 10 * time.Millisecond})
	const want = (8 + 4 + 10 + 7) * time.Millisecond // request, silence, thinking, answer
	converse(t, serve, func(t *testing.T, conn net.Conn) {
		if took := ask(t, conn, read, answer); took < want || took > want+time.Millisecond {
			t.Errorf("took %v, want %v", took, want)
		}
		ask(t, conn, read, nil) // at once
		time.Sleep(4 * time.Millisecond)
		ask(t, conn, read, answer)
	})
	if st := s.Stats(); st.Violations != 1 || st.Busy != (8+7+8+8+7)*time.Millisecond {
		t.Errorf("stats are %+v", st)
	}
}

func TestServeASCII(t *testing.T) {
	s := sample()
	serve := func(ctx context.Context, conn net.Conn) error { return s.ServeASCII(ctx, conn, Wire{}) }
	read, answer := []byte(":1103006B000180\r\n"), []byte(":110302022BBD\r\n")
	converse(t, serve, func(t *testing.T, conn net.Conn) {
		ask(t, conn, read, answer)
		conn.Write(read[:5])
		time.Sleep(900 * time.Millisecond) // within a frame that is allowed
		ask(t, conn, read[5:], answer)
		conn.Write(read[:5])
		time.Sleep(1100 * time.Millisecond)
		ask(t, conn, read[5:], nil)
		ask(t, conn, append([]byte("noise:11"), read...), answer) // a colon begins anew
		ask(t, conn, []byte(":1103006B000181\r\n"), nil)
		ask(t, conn, []byte(":1103006b0001zz\r\n"), nil)
		ask(t, conn, []byte(":1203006B00017F\r\n"), nil) // nobody
		ask(t, conn, bytes.Repeat([]byte{'x'}, 600), nil)
		ask(t, conn, read, answer)
		s.Faults(func(Request) Fault { return Fault{Cut: 2, Noise: []byte("?")} })
		ask(t, conn, read, []byte("?:110302022BBD"))
	})
	if st := s.Stats(); st.Requests != 5 || st.BadFrames != 5 {
		t.Errorf("stats are %+v", st)
	}
}

// Ten bits a character, and neither silence before a request nor before an answer.
func TestASCIIWire(t *testing.T) {
	s := sample()
	wire := Wire{Char: time.Millisecond, Chunk: 100, Strict: true}
	serve := func(ctx context.Context, conn net.Conn) error { return s.ServeASCII(ctx, conn, wire) }
	read, answer := []byte(":1103006B000180\r\n"), []byte(":110302022BBD\r\n")
	s.Unit(0x11).Behave(Behaviour{Latency: 10 * time.Millisecond})
	converse(t, serve, func(t *testing.T, conn net.Conn) {
		for range 2 { // the second at once
			if took := ask(t, conn, read, answer); took != (17+10+15)*time.Millisecond {
				t.Errorf("took %v", took)
			}
		}
	})
	if st := s.Stats(); st.Violations != 0 || st.Busy != 2*(17+15)*time.Millisecond {
		t.Errorf("stats are %+v", st)
	}
	if char := NewASCIIWire(9600).Char; char != 10*time.Second/9600 {
		t.Errorf("a character takes %v", char)
	}
}

// heard is a line that keeps what was last written to it.
type heard struct{ last []byte }

func (h *heard) Write(b []byte) (int, error)     { h.last = bytes.Clone(b); return len(b), nil }
func (h *heard) Read([]byte) (int, error)        { return 0, io.EOF }
func (h *heard) SetReadDeadline(time.Time) error { return nil }

// An answer whose bits were turned over and whose checksum fits all the same is
// told, and no other. With four wrong bits the CRC of a frame of this length misses
// about one in 2000, with fewer or an odd number none.
func TestUndetected(t *testing.T) {
	rtuBody := func(b []byte) ([]byte, bool) { return b[:len(b)-2], intact(b) }
	for name, c := range map[string]struct {
		flips   int
		framed  func(medium) framing
		parse   func([]byte) ([]byte, bool)
		answers int
		passing bool
	}{
		"rtu, 2 bits":   {2, func(m medium) framing { return &rtuFraming{medium: m} }, rtuBody, 50_000, false},
		"rtu, 5 bits":   {5, func(m medium) framing { return &rtuFraming{medium: m} }, rtuBody, 50_000, false},
		"rtu, 4 bits":   {4, func(m medium) framing { return &rtuFraming{medium: m} }, rtuBody, 100_000, true},
		"ascii, 2 bits": {2, func(m medium) framing { return &asciiFraming{medium: m} }, parseASCII, 5_000, true},
	} {
		t.Run(name, func(t *testing.T) {
			s, line := New(), new(heard)
			var told []byte
			s.Undetected(func(unit byte, pdu []byte) { told = append([]byte{unit}, pdu...) })
			f := c.framed(medium{slave: s, line: line, count: &s.count, turn: newTurn()})
			right := unhex(t, "11 03 04 022B 0064")
			passed := 0
			for range c.answers {
				told = nil
				f.send(frame{unit: right[0], pdu: right[1:]}, Fault{Flip: c.flips})
				body, fits := c.parse(line.last)
				switch wrong := fits && !bytes.Equal(body, right); {
				case wrong != (told != nil), wrong && !bytes.Equal(body, told):
					t.Fatalf("% x was sent, and % x told", line.last, told)
				case wrong:
					passed++
				}
			}
			if t.Logf("%d of %d", passed, c.answers); (passed > 0) != c.passing {
				t.Errorf("%d of %d fit", passed, c.answers)
			}
		})
	}
}

func TestEcho(t *testing.T) {
	s := sample()
	serve := func(ctx context.Context, conn net.Conn) error { return s.ServeRTU(ctx, conn, Wire{Echo: true}) }
	read, answer := rtu(t, "11 03 006B 0001"), rtu(t, "11 03 02 022B")
	converse(t, serve, func(t *testing.T, conn net.Conn) {
		ask(t, conn, read, append(append([]byte(nil), read...), answer...))
	})
}

func TestListeners(t *testing.T) {
	s := sample()
	for name, c := range map[string]struct {
		serve           func(context.Context, net.Listener) error
		request, answer []byte
	}{
		"tcp": {s.ServeTCP, unhex(t, "1234 0000 0006 11 03 006B 0001"), unhex(t, "1234 0000 0005 11 03 02 022B")},
		"rtu+tcp": {
			func(ctx context.Context, ln net.Listener) error { return s.ServeRTUOverTCP(ctx, ln, Wire{}) },
			rtu(t, "11 03 006B 0001"), rtu(t, "11 03 02 022B"),
		},
		"ascii+tcp": {
			func(ctx context.Context, ln net.Listener) error { return s.ServeASCIIOverTCP(ctx, ln, Wire{}) },
			[]byte(":1103006B000180\r\n"), []byte(":110302022BBD\r\n"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			served := make(chan error)
			go func() { served <- c.serve(ctx, ln) }()
			for range 2 {
				conn, err := net.Dial("tcp", ln.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				ask(t, conn, c.request, c.answer)
				defer conn.Close()
			}
			cancel()
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestServePTY(t *testing.T) {
	master, path, err := pty.New()
	if err != nil {
		t.Skip(err)
	}
	_ = path
	s := sample()
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- s.ServeRTU(ctx, master, Wire{}) }()
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	master.Close()
}

func TestFloatIsWhole(t *testing.T) {
	u := New().Unit(1)
	u.Float32(Holdings, 0, func(now time.Time) float32 { return float32(now.Unix()) })
	now := time.Unix(1234567, 0)
	answer := u.execute([]byte{3, 0, 0, 0, 2}, now, new(counts))
	bits := uint32(answer[2])<<24 | uint32(answer[3])<<16 | uint32(answer[4])<<8 | uint32(answer[5])
	if got := math.Float32frombits(bits); got != 1234567 {
		t.Errorf("value is %v", got)
	}
}

func FuzzExecute(f *testing.F) {
	f.Add([]byte{3, 0, 0, 0, 1})
	f.Add([]byte{16, 0, 0, 0, 1, 2, 0, 1})
	f.Add([]byte{15, 0, 0, 0, 9, 2, 0, 1})
	f.Add([]byte{22, 0, 0, 0, 1, 2, 0})
	f.Add([]byte{23, 0, 0, 0, 1, 0, 0, 0, 1, 2, 0, 1})
	f.Add([]byte{24, 0, 0})
	f.Add([]byte{43, 14, 1, 0})
	f.Fuzz(func(t *testing.T, pdu []byte) {
		if len(pdu) == 0 {
			return
		}
		u := sample().Unit(0x11)
		u.Identify(Identity{0: "v", 1: "p"})
		u.Queue(0, 1, 2)
		answer := u.execute(pdu, time.Now(), new(counts))
		if len(answer) < 2 || len(answer) > 253 || answer[0]&0x7F != pdu[0]&0x7F {
			t.Errorf("answer is % x", answer)
		}
	})
}
