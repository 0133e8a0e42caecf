package serialport

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.bug.st/serial"

	"github.com/weir-edge/weir/adapters/serialport/pty"
)

// spy is the library's line with a note of what moves RTS and when it drains.
type spy struct {
	serial.Port
	did []string
}

func (s *spy) SetRTS(on bool) error { s.did = append(s.did, fmt.Sprint("rts ", on)); return nil }
func (s *spy) Drain() error         { s.did = append(s.did, "drain"); return s.Port.Drain() }

func TestRS485ByHand(t *testing.T) {
	master, path, err := pty.New()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	for _, mode := range []string{"rts", "auto"} { // a pseudo-terminal's driver does no RS-485
		for _, invert := range []bool{false, true} {
			p, err := Open(Config{Device: path, RS485: RS485{Mode: mode, Invert: invert, DelayBefore: time.Millisecond, DelayAfter: time.Millisecond}})
			if err != nil {
				t.Fatal(err)
			}
			s := &spy{Port: p.line}
			p.line = s
			if err := p.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			want := []string{fmt.Sprint("rts ", !invert), "drain", fmt.Sprint("rts ", invert)}
			if diff := cmp.Diff(want, s.did); diff != "" {
				t.Errorf("%s, invert %v (-want +got):\n%s", mode, invert, diff)
			}
			b := make([]byte, 8)
			if n, err := master.Read(b); string(b[:n]) != "hello" {
				t.Errorf("sent %q, %v", b[:n], err)
			}
			p.Close()
		}
	}
	if _, err := Open(Config{Device: path, RS485: RS485{Mode: "kernel"}}); err == nil || !strings.Contains(err.Error(), "does no RS-485") {
		t.Errorf("Open = %v; want that the driver can't", err)
	}
}

func TestKernelSettings(t *testing.T) {
	tests := map[string]struct {
		r    RS485
		want kernelRS485Settings
	}{
		"plain":    {RS485{}, kernelRS485Settings{flags: 1 | 2}},
		"inverted": {RS485{Invert: true, Receive: true}, kernelRS485Settings{flags: 1 | 4 | 16}},
		"delays":   {RS485{DelayBefore: 100 * time.Microsecond, DelayAfter: 2 * time.Millisecond}, kernelRS485Settings{flags: 3, delayBefore: 1, delayAfter: 2}},
	}
	for name, tt := range tests {
		if got := tt.r.kernelSettings(); got != tt.want {
			t.Errorf("%s: %+v; want %+v", name, got, tt.want)
		}
	}
}
