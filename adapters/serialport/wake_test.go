package serialport

import (
	"errors"
	"testing"
	"time"
)

func TestWakeEndsARead(t *testing.T) {
	p, far := openPair(t)
	for range 50 {
		done := make(chan error, 1)
		go func() {
			_, err := p.Read(make([]byte, 1), time.Time{})
			done <- err
		}()
		p.Wake()
		if err := <-done; !errors.Is(err, ErrTimeout) {
			t.Fatalf("Read = %v; want ErrTimeout", err)
		}
	}
	// A wake without a read is for the next one, and bytes are not lost over it.
	p.Wake()
	if _, err := p.Read(make([]byte, 1), time.Time{}); !errors.Is(err, ErrTimeout) {
		t.Fatalf("Read = %v; want ErrTimeout", err)
	}
	far.WriteString("x")
	b := make([]byte, 1)
	if n, err := p.Read(b, time.Now().Add(patience)); n != 1 || b[0] != 'x' {
		t.Fatalf("Read = %d, %v", n, err)
	}
}

func TestRest(t *testing.T) {
	p, far := openPair(t)
	far.WriteString("during")
	started := time.Now()
	for range 5 {
		p.Rest(4 * time.Millisecond)
	}
	if took := time.Since(started); took < 20*time.Millisecond {
		t.Errorf("five rests of 4 ms took %v", took)
	}
	b := make([]byte, 16)
	if n, err := p.Read(b, time.Unix(1, 0)); string(b[:n]) != "during" {
		t.Errorf("Read = %q, %v", b[:n], err)
	}
	p.Close()
	p.Rest(time.Hour)
}
