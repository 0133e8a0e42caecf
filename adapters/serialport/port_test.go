package serialport

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"github.com/weir-edge/weir/adapters/serialport/pty"
)

// patience is how long a test waits for bytes that are under way: only a failure takes as
// long.
const patience = time.Minute

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
	b := make([]byte, 5)
	if _, err := io.ReadFull(far, b); err != nil || string(b) != "ask\r\n" {
		t.Fatalf("far end read %q, %v", b, err)
	}
	const answer = "\x00\x11\x13\xff\r\n"
	if _, err := far.WriteString(answer); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for len(got) < len(answer) { // they may come in pieces
		b := make([]byte, 64)
		n, err := p.Read(b, time.Now().Add(patience))
		if got = append(got, b[:n]...); err != nil {
			t.Fatalf("port read %q, %v", got, err)
		}
	}
	if string(got) != answer {
		t.Fatalf("port read %q", got)
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
	n, err := p.Read(b[:1], time.Now().Add(patience))
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
