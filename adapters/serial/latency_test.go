package serial

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-edge/weir/adapters/serial/parse"
	"github.com/weir-edge/weir/adapters/serialport"
	"github.com/weir-edge/weir/core"
)

// timedBus notes when each message comes.
type timedBus struct{ at []time.Time }

func (b *timedBus) Publish(*core.Message) error {
	b.at = append(b.at, time.Now())
	return nil
}

func (b *timedBus) Subscribe(string, func(*core.Message)) (func(), error) { return func() {}, nil }

// streamPort is a line on which pieces come at their times.
type streamPort struct {
	*fakePort
	pieces []piece
}

type piece struct {
	at time.Time
	b  string
}

func (p *streamPort) Read(b []byte, deadline time.Time) (n int, err error) {
	if len(p.pieces) == 0 || !deadline.IsZero() && p.pieces[0].at.After(deadline) {
		return p.fakePort.Read(b, deadline)
	}
	time.Sleep(time.Until(p.pieces[0].at))
	for len(p.pieces) > 0 && !p.pieces[0].at.After(time.Now()) {
		n += copy(b[n:], p.pieces[0].b)
		p.pieces = p.pieces[1:]
	}
	return n, nil
}

// stream is what a UART delivers, 16 bytes at a time or at a pause, and when the last
// byte of each line was there.
func stream(lines []string, char, pause time.Duration) (pieces []piece, ends []time.Time) {
	at := time.Now().Add(time.Second)
	for _, line := range lines {
		for rest := line; rest != ""; {
			n := min(16, len(rest))
			at = at.Add(time.Duration(n) * char)
			pieces, rest = append(pieces, piece{at, rest[:n]}), rest[n:]
		}
		ends, at = append(ends, at), at.Add(pause)
	}
	return pieces, ends
}

// From the last byte to the publication it takes at most 5 ms in 99 of 100 cases, for
// all that we do ourselves: the clock of this test knows no busy machine.
func TestLatency(t *testing.T) {
	equal := func(int) int { return 64 }
	changing := func(n int) int { return 20 + n*37%90 }
	for name, tt := range map[string]struct {
		baud  int
		pause time.Duration
		size  func(n int) int
	}{
		"at full rate":                  {115200, 0, equal},
		"at full rate, lines change":    {115200, 0, changing},
		"at full rate, a slow line":     {9600, 0, changing},
		"at full rate, a fast line":     {921600, 0, equal},
		"now and then":                  {115200, 37 * time.Millisecond, changing},
		"now and then, a slow line":     {9600, 250 * time.Millisecond, equal},
		"close together, not full rate": {115200, 3 * time.Millisecond, equal},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := Config{Port: serialport.Config{Device: "/dev/fake", Baud: tt.baud}, Parse: parse.Config{Kind: "csv", Fields: []parse.Field{{Name: "n"}, {Name: "-"}}}, MaxRate: maxMaxRate}
				var lines []string
				for n := range 1000 {
					line := fmt.Sprintf("%d,", n)
					lines = append(lines, line+strings.Repeat("x", tt.size(n)-len(line)-2)+"\r\n")
				}
				pieces, ends := stream(lines, cfg.Port.CharTime(), tt.pause)
				p, bus := &streamPort{newFakePort(), pieces}, new(timedBus)
				a := newTestAdapter(t, cfg, func(serialport.Config) (port, error) { return p, nil })
				stop := start(t, a, bus)
				time.Sleep(time.Until(ends[len(ends)-1]) + time.Second)
				stop()
				if len(bus.at) != len(ends) {
					t.Fatalf("%d of %d lines were published", len(bus.at), len(ends))
				}
				var took []time.Duration
				for i := range ends {
					took = append(took, bus.at[i].Sub(ends[i]))
				}
				slices.Sort(took)
				p99 := took[len(took)*99/100]
				if p99 > 5*time.Millisecond {
					t.Errorf("p99 is %v", p99)
				}
				t.Logf("median %v, p99 %v, worst %v", took[len(took)/2], p99, took[len(took)-1])
			})
		})
	}
}
