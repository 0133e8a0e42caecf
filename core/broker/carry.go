package broker

import (
	"errors"
	"time"

	"github.com/weir-edge/weir/core"
)

// errNoSockets: this loop has no sockets of its own.
var errNoSockets = errors.New("the loop watches no sockets")

// carried is a connection that somebody else has dialled, and whose turns the loop
// takes: a message then goes from a client to the uplink, and its acknowledgement
// back, without any goroutine being woken. Owned by the loop.
type carried struct {
	broker *Broker
	fd     int
	wakes  []<-chan struct{}
	turn   core.Turn
	timer  timer
	out    bool          // it is watched for room to write
	deaf   bool          // it is not watched for input
	ended  chan struct{} // closed when there is no more turn
	err    error         // why the loop has ended it; set before ended is closed
}

// Carry lets the loop take the turns of a connection: one at once, one when the
// non-blocking descriptor is ready, one when a channel of wakes has an element at
// the end of the loop's turn, and one at the moment that the turn before has asked
// for. Who fills a channel from elsewhere than the loop must call Wake after that.
//
// It returns when turn has said that it was the last; the descriptor must stay open
// until then. An error other than core.ErrClosed: there was no turn.
func (b *Broker) Carry(fd int, wakes []<-chan struct{}, turn core.Turn) error {
	c := &carried{broker: b, fd: fd, wakes: wakes, turn: turn, ended: make(chan struct{})}
	c.timer.ring = func(time.Time) { c.take(false, false) }
	var err error
	if closed := b.do(func() { err = c.begin() }); closed != nil {
		return closed
	}
	if err != nil {
		return err
	}
	<-c.ended
	return c.err
}

func (c *carried) begin() error {
	if err := c.broker.watchFor(c.fd, c); err != nil {
		return err
	}
	c.broker.carried = append(c.broker.carried, c)
	c.broker.timers.set(&c.timer, c.broker.now)
	return nil
}

func (c *carried) ready(in, out bool) (drained bool) { return !c.take(in, out) }

// take takes a turn. The timer is moved only to an earlier moment: it rings for
// nothing now and then.
func (c *carried) take(in, out bool) (more bool) {
	next := c.turn(in, out)
	switch {
	case next.Last:
		c.end(nil)
		return false
	case next.Write != c.out || next.Deaf != c.deaf:
		c.out, c.deaf = next.Write, next.Deaf
		c.broker.rewatch(c.fd, !c.deaf, c.out)
	}
	if c.timer.index == 0 || next.At.Before(c.timer.at) {
		c.broker.timers.set(&c.timer, next.At)
	}
	return next.More
}

// woken says whether a channel had an element, and empties all of them.
func (c *carried) woken() (any bool) {
	for _, wake := range c.wakes {
		select {
		case <-wake:
			any = true
		default:
		}
	}
	return any
}

func (c *carried) end(err error) {
	b := c.broker
	b.timers.stop(&c.timer)
	b.forget(c.fd)
	for i, other := range b.carried {
		if other == c {
			b.carried = append(b.carried[:i:i], b.carried[i+1:]...)
			break
		}
	}
	c.err = err
	close(c.ended)
}

// carry takes the turns of those who were woken in the present one.
func (b *Broker) carry() {
	for _, c := range b.carried { // who ends makes a new slice
		if c.woken() {
			c.take(false, false)
		}
	}
}

// dropCarried ends them: the loop takes no turn any more.
func (b *Broker) dropCarried() {
	for len(b.carried) > 0 {
		b.carried[0].end(core.ErrClosed)
	}
}
