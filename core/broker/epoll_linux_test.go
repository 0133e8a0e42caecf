package broker

import (
	"sync"
	"testing"
	"time"
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
				patience.Reset(20 * time.Second)
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
	case <-time.After(20 * time.Second):
		t.Error("the loop does not end")
	}
}
