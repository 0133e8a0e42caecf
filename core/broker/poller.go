package broker

import "time"

// poller is where the loop waits. One implementation knows the sockets that are
// ready (epoll), the other is only woken up; in both every connection ends up in
// the same state machine.
type poller interface {
	// run takes turns until turn says that there are no more: when a socket is
	// ready, when wake was called, and at the deadline that turn returns (zero:
	// none). Between the turns it waits in Go's own poller, never in a blocking
	// system call, so that neither the collector nor the scheduler waits with it.
	run(turn func() (deadline time.Time, more bool)) error
	// dispatch hands every socket that was found ready to its owner. There may be
	// more than were found.
	dispatch() (more bool)
	// wake ends the present or the next wait. Safe from any goroutine.
	wake()
	close() error
}

// idle is the poller without sockets: all connections have goroutines of their
// own, which come through the mailbox. Tests under fake time use it, and systems
// without epoll.
type idle struct{ woken chan struct{} }

func newIdle() *idle { return &idle{woken: make(chan struct{}, 1)} }

func (p *idle) run(turn func() (deadline time.Time, more bool)) error {
	for deadline, more := turn(); more; deadline, more = turn() {
		p.wait(deadline)
	}
	return nil
}

func (p *idle) wait(deadline time.Time) {
	if deadline.IsZero() {
		<-p.woken
		return
	}
	left := time.Until(deadline)
	if left <= 0 {
		return
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-p.woken:
	case <-timer.C:
	}
}

func (p *idle) dispatch() (more bool) { return false }

func (p *idle) wake() {
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

func (p *idle) close() error { return nil }
