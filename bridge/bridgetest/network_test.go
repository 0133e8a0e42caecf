package bridgetest

import (
	"errors"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A deadline that has passed holds at once, also for many at the same moment under
// the race detector (see half.expire).
func TestDeadlineInThePast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 500 {
					a, b := Pipe(time.Millisecond)
					for _, c := range []*Conn{a, b} {
						c.SetDeadline(time.Unix(1, 0))
						if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
							t.Errorf("read: %v", err)
						}
						if _, err := c.Write([]byte{1}); !errors.Is(err, os.ErrDeadlineExceeded) {
							t.Errorf("write: %v", err)
						}
					}
				}
			})
		}
		all.Wait()
		if d := time.Since(start); d != 0 {
			t.Errorf("took %v", d)
		}
	})
}

// Another deadline takes the place of the one before.
func TestDeadline(t *testing.T) {
	for _, test := range []struct {
		name      string
		deadlines []time.Duration // from the start; 0: none
		want      time.Duration
	}{
		{"to come", []time.Duration{time.Second}, time.Second},
		{"put off", []time.Duration{time.Second, time.Minute}, time.Minute},
		{"brought forward", []time.Duration{time.Minute, time.Second}, time.Second},
		{"in the past, then to come", []time.Duration{-time.Second, time.Second}, time.Second},
		{"to come, then in the past", []time.Duration{time.Second, -time.Second}, 0},
		{"taken back", []time.Duration{-time.Second, time.Second, 0, time.Hour}, time.Hour},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := Pipe(0)
				start := time.Now()
				for _, d := range test.deadlines {
					at := start.Add(d)
					if d == 0 {
						at = time.Time{}
					}
					c.SetReadDeadline(at)
				}
				if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error(err)
				}
				if d := time.Since(start); d != test.want {
					t.Errorf("failed after %v, want %v", d, test.want)
				}
			})
		})
	}
}
