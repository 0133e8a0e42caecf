package broker

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-edge/weir/core/packet"
)

// TestNoWakeIsLost: several goroutines leave letters and wait for the answer, and
// another one wakes the loop as the store does, so that wakes come at every moment
// of a turn.
func TestNoWakeIsLost(t *testing.T) {
	p, err := newEpoll()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	mail := mailbox{wake: p.wake}
	stopped := false // the loop's
	ended := make(chan error, 1)
	go func() {
		ended <- p.run(func() (time.Time, bool) {
			p.dispatch()
			mail.open()
			return time.Time{}, !stopped
		})
	}()
	letters := 100_000
	if testing.Short() {
		letters = 5_000
	}
	var senders sync.WaitGroup
	for range 4 {
		senders.Go(func() {
			patience := time.NewTimer(0)
			for range letters {
				read := make(chan struct{})
				mail.post(func() { close(read) })
				patience.Reset(time.Minute)
				select {
				case <-read:
				case <-patience.C:
					t.Error("a letter is not read")
					return
				}
			}
		})
	}
	quiet := make(chan struct{})
	var store sync.WaitGroup
	store.Go(func() {
		for {
			select {
			case <-quiet:
				return
			default:
				p.wake()
			}
		}
	})
	senders.Wait()
	close(quiet)
	store.Wait()
	mail.post(func() { stopped = true })
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the loop does not end")
	}
}

// TestOneReadATurn: however much a peer has sent, a turn reads its socket once, up
// to inputSize, and then it is the turn of the others.
func TestOneReadATurn(t *testing.T) {
	p, err := newEpoll()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	b := newBench(t)
	s := &socket{fd: fds[0], poll: p, in: true}
	s.conn = b.accept(s, b.listener, peer{remote: "flood"})
	if err := p.add(fds[0], s); err != nil {
		t.Fatal(err)
	}
	defer s.close()
	send := func(bytes []byte) (n int) {
		for len(bytes) > 0 {
			k, err := unix.Write(fds[1], bytes)
			if err != nil {
				break // full
			}
			n, bytes = n+k, bytes[k:]
		}
		return n
	}
	send((&packet.Connect{Version: packet.V5, CleanStart: true}).AppendTo(nil, packet.V5))
	p.poll()
	p.dispatch()
	sent := send(bytes.Repeat((&packet.Pingreq{}).AppendTo(nil, packet.V5), 1<<20))
	for turns := 1; sent > 0; turns++ {
		before := b.counters.bytesReceived
		if p.poll(); p.found != 1 {
			t.Fatalf("turn %d: %d sockets are ready, %d bytes are left", turns, p.found, sent)
		}
		p.dispatch()
		took := int(b.counters.bytesReceived - before)
		if took == 0 || took > inputSize {
			t.Fatalf("turn %d took %d bytes", turns, took)
		}
		sent -= took
	}
	if p.poll(); p.found != 0 {
		t.Error("there is still something to read")
	}
}
