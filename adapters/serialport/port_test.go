package serialport

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/weir-edge/weir/adapters/serialport/pty"
)

// openPair is an open port and the far end of its line.
func openPair(t *testing.T) (*Port, *os.File) {
	t.Helper()
	master, path, err := pty.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	p, err := Open(Config{Device: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p, master
}

func TestBothWays(t *testing.T) {
	p, far := openPair(t)
	if err := p.Write([]byte("ask\r\n")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64)
	if n, err := far.Read(b); err != nil || string(b[:n]) != "ask\r\n" {
		t.Fatalf("far end read %q, %v", b[:n], err)
	}
	if _, err := far.Write([]byte("\x00\x11\x13\xff\r\n")); err != nil {
		t.Fatal(err)
	}
	n, err := p.Read(b, time.Now().Add(5*time.Second))
	if err != nil || string(b[:n]) != "\x00\x11\x13\xff\r\n" {
		t.Fatalf("port read %q, %v", b[:n], err)
	}
}

func TestReadTimeout(t *testing.T) {
	p, _ := openPair(t)
	n, err := p.Read(make([]byte, 8), time.Now().Add(20*time.Millisecond))
	if n != 0 || !errors.Is(err, ErrTimeout) || errors.Is(err, ErrGone) {
		t.Fatalf("Read = %d, %v; want ErrTimeout", n, err)
	}
}

// Who comes late must not take bytes that are there for silence.
func TestReadAfterTheDeadlineTakesWhatIsThere(t *testing.T) {
	p, far := openPair(t)
	over := time.Unix(1, 0)
	if _, err := p.Read(make([]byte, 8), over); !errors.Is(err, ErrTimeout) {
		t.Fatalf("Read = %v; want ErrTimeout", err)
	}
	far.WriteString("here")
	b := make([]byte, 8)
	// The kernel hands bytes over by a worker of its own: wait for the first one.
	n, err := p.Read(b[:1], time.Now().Add(5*time.Second))
	if n != 1 || err != nil {
		t.Fatalf("Read = %d, %v", n, err)
	}
	if n, err = p.Read(b, over); err != nil || string(b[:n]) != "ere" {
		t.Fatalf("Read = %q, %v", b[:n], err)
	}
	far.Close()
	if _, err = p.Read(b, over); !errors.Is(err, ErrGone) {
		t.Fatalf("Read = %v; want ErrGone", err)
	}
}
