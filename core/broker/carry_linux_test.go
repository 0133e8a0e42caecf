package broker_test

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/broker/brokertest"
)

// TestCarry: the loop takes a turn at once, when a descriptor is ready, when a channel
// has an element, when a turn has asked for one, and none after the last.
func TestCarry(t *testing.T) {
	s := brokertest.StartOn(t, onLoopback(), brokertest.NewStore())
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	type call struct{ in, out bool }
	calls, next := make(chan call), make(chan core.NextTurn)
	wake := make(chan struct{}, 1)
	ended := make(chan error, 1)
	carry := func() {
		ended <- s.Carry(fds[0], []<-chan struct{}{wake}, func(in, out bool) core.NextTurn {
			calls <- call{in, out}
			if in {
				var buf [8]byte
				unix.Read(fds[0], buf[:])
			}
			return <-next
		})
	}
	later := time.Now().Add(time.Hour)
	turn := func(why string, want call, then core.NextTurn) {
		t.Helper()
		select {
		case got := <-calls:
			if got != want {
				t.Errorf("%s: %+v, want %+v", why, got, want)
			}
			next <- then
		case <-time.After(time.Minute):
			t.Fatalf("%s: no turn", why)
		}
	}
	go carry()
	turn("at once", call{}, core.NextTurn{At: later})
	unix.Write(fds[1], []byte("x"))
	turn("input", call{in: true}, core.NextTurn{At: later})
	wake <- struct{}{}
	s.Wake()
	turn("channel", call{}, core.NextTurn{At: later, Write: true})
	turn("room to write", call{out: true}, core.NextTurn{At: time.Now().Add(time.Millisecond)})
	turn("time", call{}, core.NextTurn{At: time.Now().Add(50 * time.Millisecond), Deaf: true})
	unix.Write(fds[1], []byte("x"))
	turn("time, not the input", call{}, core.NextTurn{At: later})
	turn("the input that had waited", call{in: true}, core.NextTurn{At: time.Now().Add(time.Millisecond)})
	turn("time", call{}, core.NextTurn{Last: true})
	if err := <-ended; err != nil {
		t.Error(err)
	}
	go carry() // the same descriptor once more, which the broker's end ends
	turn("again", call{}, core.NextTurn{At: later})
	s.Stop()
	if err := <-ended; !errors.Is(err, core.ErrClosed) {
		t.Errorf("the broker has stopped: %v", err)
	}
}
