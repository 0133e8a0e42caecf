package bridge

import (
	"context"
	"errors"
	"slices"

	"github.com/weir-edge/weir/core"
)

// Carrier is a Gateway whose loop can take the turns of a connection. Then a message
// from a client goes to the upstream, and its acknowledgement back, within one turn
// of that loop, and no goroutine has to be woken for either.
type Carrier interface {
	// Carry takes turns when the non-blocking descriptor is ready, when a channel of
	// wakes has an element, and when the turn before has asked for one, until the last.
	// Any error but core.ErrClosed: there was no turn.
	Carry(fd int, wakes []<-chan struct{}, turn core.Turn) error
	// Wake lets it look at the channels. Safe from any goroutine.
	Wake()
}

// ride lets the loop of the gateway take the turns, where it can: plain TCP, and a
// loop over sockets. While it does, that loop owns the link and the bridge's state.
func (l *link) ride(ctx context.Context) bool {
	c, ok := l.b.gateway.(Carrier)
	if !ok || l.wire.raw == nil {
		return false
	}
	fd, err := l.wire.duplicate()
	if err != nil {
		return false
	}
	events := l.b.events
	events.call(c.Wake)
	defer events.call(nil)
	stop := context.AfterFunc(ctx, func() { events.post(event{stop: true, link: l.id}) })
	defer stop()
	r := &rider{link: l, fd: fd}
	err = c.Carry(fd, []<-chan struct{}{l.b.kick, events.wake}, r.turn)
	if l.wire.fd == 0 { // no turn
		rawClose(fd)
	}
	switch {
	case err == nil:
		return true
	case errors.Is(err, core.ErrClosed):
		l.cause = err
		return true
	}
	return false
}

// rider is a link on the gateway's loop.
type rider struct {
	*link
	fd    int
	begun bool // the socket is ours, and what came with the CONNACK has been looked at
	deaf  bool // input has waited for this turn
}

// duplicate makes a descriptor that the runtime's poller does not know, or every
// acknowledgement would wake that, too.
func (w *wire) duplicate() (fd int, err error) {
	failed := w.raw.Control(func(d uintptr) { fd, err = rawDuplicate(int(d)) })
	return fd, errors.Join(failed, err)
}

// board takes the socket from the runtime's poller.
func (w *wire) board(fd int) {
	w.fd = fd
	w.conn.Close() // that descriptor; the connection stands
}

func (r *rider) turn(in, out bool) (next core.NextTurn) {
	r.tick()
	if out {
		r.resume()
	}
	if !r.begun {
		r.wire.board(r.fd)
		r.begun, in = true, true
	}
	failed := in && r.deaf // input is not watched for
	if failed || !r.swamped() && (in || r.deaf && !r.gather.holds(r.now)) {
		next.More = r.read()
	}
	if !r.now.Before(r.deadline()) {
		r.expire()
	}
	next.Last = r.over()
	next.More = next.More && !r.swamped()
	r.deaf = r.swamped() || !r.gather.wakeAt(r.now).IsZero() && !r.stopping && !next.More
	next.At, next.Write, next.Deaf = r.nextTurn(), r.writing, r.deaf
	return next
}

// read reads once, and takes in the packets that are whole.
func (r *rider) read() (more bool) {
	w := r.wire
	if cap(w.input)-len(w.input) < readBuffer/4 { // up to a packet of the size that whole allows
		w.input = slices.Grow(w.input, max(readBuffer, len(w.input)))
	}
	space := w.input[len(w.input):cap(w.input)]
	n, err := rawRead(uintptr(r.fd), space)
	w.input = w.input[:len(w.input)+n]
	if whole, _, bad := w.whole(w.input); whole > 0 || bad != nil {
		r.receive(chunk{packets: w.input[:whole], err: bad})
		w.keep(whole)
	}
	if err != nil {
		r.fail(err)
	}
	return n == len(space)
}

// keep forgets what was taken in, and a buffer that grew for a large packet.
func (w *wire) keep(taken int) {
	w.input = append(w.input[:0], w.input[taken:]...)
	if len(w.input) == 0 && cap(w.input) > 16*readBuffer {
		w.input = nil
	}
}

// resume writes what the kernel did not take before.
func (r *rider) resume() {
	w := r.wire
	if !r.writing {
		return
	}
	n, err := w.tryWrite(w.unsent)
	if w.unsent = w.unsent[n:]; len(w.unsent) == 0 || err != nil {
		r.wrote(batch{w.batch, err})
		w.batch, w.unsent = nil, nil
	}
}

// send gives a batch to whoever writes.
func (w *wire) send(b []byte) {
	if w.started {
		w.batches <- b
		return
	}
	w.batch, w.unsent = b, b
}

// finish writes the last bytes of a connection that was carried. It ends anyhow: an
// upstream that does not take them at once goes without.
func (w *wire) finish(b []byte) { _, _ = w.tryWrite(append(w.unsent, b...)) }
