package serial

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/adapters/serial/frame"
	"github.com/weir-edge/weir/adapters/serial/parse"
	"github.com/weir-edge/weir/adapters/serial/serialtest"
	"github.com/weir-edge/weir/adapters/serialport"
	"github.com/weir-edge/weir/adapters/serialport/pty"
	"github.com/weir-edge/weir/core"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// plug makes a simulated device and lets the link, as of udev, point to it.
func plug(t *testing.T, link string) (device *os.File) {
	t.Helper()
	device, path, err := pty.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { device.Close() })
	_ = os.Remove(link)
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	return device
}

// expected is what the pure parts make of a stream, as messages.
func expected(t *testing.T, cfg Config, stream []byte) []string {
	t.Helper()
	cfg = cfg.withDefaults()
	frames, err := frame.New(cfg.Framing, cfg.Checksum, cfg.MaxFrame, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	r, err := newReader(cfg.Parse, cfg.Rule)
	if err != nil {
		t.Fatal(err)
	}
	var doc parse.Document
	var want []string
	for f := range frames.Feed(stream) {
		doc.Reset()
		if err := r.parser.Parse(f, &doc); err != nil {
			t.Fatal(err)
		}
		values, err := r.shaper.Shape(nil, &doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			device := doc.Device
			if device == "" {
				device = "_"
			}
			if i, ok := v.Any.(int64); ok {
				v.Any = float64(i) // as JSON has it
			}
			want = append(want, fmt.Sprint("t/", device, "/", v.Name, " ", v.Any, " ", v.Unit))
		}
	}
	return want
}

// Recorded streams go through a serial line and the whole adapter to the bus.
func TestRecordedStreams(t *testing.T) {
	nmea, p1 := parse.Config{Kind: "nmea"}, parse.Config{Kind: "obis"}
	tests := map[string]struct {
		kind  string
		parse parse.Config
		sum   string
	}{
		"garmin48.nmea":         {"nmea", nmea, ""},
		"humminbird-M37.nmea":   {"nmea", nmea, ""},
		"mtk-3301.nmea":         {"nmea", nmea, ""},
		"skytraq-fix.nmea":      {"nmea", nmea, ""},
		"v5.txt":                {"p1", p1, ""},
		"v4_2.txt":              {"p1", p1, ""},
		"fluvius_v171.txt":      {"p1", p1, ""},
		"v3.txt":                {"p1", p1, frame.None},
		"esy5q3da1004_v304.txt": {"p1", p1, frame.None},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			stream := append([]byte("\n"), serialtest.Recorded(t, tt.kind, name)...)
			stream = append(stream, '\n')
			link := filepath.Join(t.TempDir(), "by-id")
			device := plug(t, link)
			cfg := Config{Port: serialport.Config{Device: link}, Parse: tt.parse, Checksum: frame.Sum{Kind: tt.sum}}
			bus := newFakeBus()
			stop := start(t, newTestAdapter(t, cfg, nil), bus)
			if _, err := device.Write(stream); err != nil {
				t.Fatal(err)
			}
			want := expected(t, cfg, stream)
			var got []string
			for range want {
				m := bus.next(t)
				got = append(got, fmt.Sprint(m.topic, " ", m.value, " ", m.unit))
			}
			stop()
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
			if n := len(bus.messages); n > 0 {
				t.Errorf("%d messages too many", n)
			}
		})
	}
}

func TestUnplugAndReplug(t *testing.T) {
	link := filepath.Join(t.TempDir(), "by-id")
	bus := newFakeBus()
	a := newTestAdapter(t, Config{Port: serialport.Config{Device: link}, Parse: parse.Config{Kind: "csv"}}, nil)
	stop := start(t, a, bus) // nothing is plugged in yet
	for i := range 3 {
		device := plug(t, link)
		plugged := time.Now()
		fmt.Fprintf(device, "\n%d\n", i)
		if m := bus.next(t); m.value != float64(i) {
			t.Fatalf("message %+v; want %d", m, i)
		}
		t.Logf("first reading %v after it was plugged in", time.Since(plugged).Round(time.Millisecond))
		device.Close()
		if m := bus.next(t); m.quality != "comm-error" {
			t.Fatalf("message %+v; want a comm-error", m)
		}
	}
	stop()
	if n := a.Status().Errors[gone]; n != 3 {
		t.Errorf("the device vanished %d times; want 3", n)
	}
}

func TestPolledDevice(t *testing.T) {
	link := filepath.Join(t.TempDir(), "by-id")
	device := plug(t, link)
	go func() { // a scale that is asked
		b := make([]byte, 64)
		for i := 0; ; i++ {
			n, err := device.Read(b)
			if err != nil {
				return
			}
			if string(b[:n]) == "P\r\n" {
				fmt.Fprintf(device, "ST,+%8.1f kg\r\n", float64(i)/2)
			}
		}
	}()
	cfg := Config{
		Port:     serialport.Config{Device: link},
		Requests: []Request{{Every: 20 * time.Millisecond, Send: "P\r\n", Timeout: 10 * time.Second}},
		Parse:    parse.Config{Kind: "regex", Pattern: `^ST,(?P<weight>[+-] *[0-9.]+) kg$`, Fields: []parse.Field{{Name: "weight", Unit: "kg"}}},
	}
	bus := newFakeBus()
	stop := start(t, newTestAdapter(t, cfg, nil), bus)
	for i := range 10 {
		if m := bus.next(t); m.value != float64(i)/2 || m.unit != "kg" || m.topic != "t/_/weight" {
			t.Fatalf("message %d: %+v", i, m)
		}
	}
	stop()
	device.Close()
}

// A babbling device floods the line; what is good between the noise comes
// through, and nothing else.
func TestGarbageOnTheLine(t *testing.T) {
	link := filepath.Join(t.TempDir(), "by-id")
	device := plug(t, link)
	bus := newFakeBus()
	a := newTestAdapter(t, Config{Port: serialport.Config{Device: link}, Parse: parse.Config{Kind: "nmea"}}, nil)
	stop := start(t, a, bus)
	const rounds, size = 40, 32 << 10 // 1.3 million bytes
	go func() {
		r := rand.New(rand.NewPCG(3, 4))
		for range rounds {
			b := make([]byte, size)
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			b = append(b, "\r\n$INDPT,2.2,0.0*47\r\n"...)
			if _, err := device.Write(b); err != nil {
				return
			}
		}
	}()
	for range rounds {
		for _, want := range []string{"t/DPT/depth 2.2", "t/DPT/depth_offset 0"} {
			m := bus.next(t)
			if got := fmt.Sprint(m.topic, " ", m.value); got != want {
				t.Fatalf("message %q; want %q", got, want)
			}
		}
	}
	stop()
	s := a.Status()
	if len(bus.messages) != 0 || s.Errors[frame.BadSum] == 0 || s.Readings != 2*rounds {
		t.Errorf("%d messages too many, status %+v", len(bus.messages), s)
	}
}

// A second of a line at full speed: all of it arrives, and what it costs.
func BenchmarkLine(b *testing.B) {
	device, path, err := pty.New()
	if err != nil {
		b.Fatal(err)
	}
	defer device.Close()
	sentence := []byte("$INDPT,2.2,0.0*47\r\n")
	batch := bytes.Repeat(sentence, 50)
	bus := newFakeBus()
	cfg := Config{Name: "line", Port: serialport.Config{Device: path}, Parse: parse.Config{Kind: "nmea"}}
	cfg.Output.Topic, cfg.MaxRate = "t/{field}", maxMaxRate
	a := New(cfg, core.NewClock(), discard())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx, bus) }()
	fmt.Fprint(device, "\n")
	b.SetBytes(int64(len(batch)))
	for b.Loop() {
		if _, err := device.Write(batch); err != nil {
			b.Fatal(err)
		}
		for range 100 {
			select {
			case <-bus.messages:
			case <-time.After(20 * time.Second):
				b.Fatalf("readings are missing: %+v", a.Status())
			}
		}
	}
	cancel()
	<-done
}
