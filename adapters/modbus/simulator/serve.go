package simulator

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// frame is a request or an answer without what the line adds to it.
type frame struct {
	tag  uint16 // the transaction id of Modbus TCP
	unit byte
	pdu  []byte
	end  time.Time // of a request: when its last byte was heard; of an answer: when its first is due
}

// framing reads requests from a line and writes answers to it. next is called by
// one goroutine, send by many.
type framing interface {
	next() (frame, error)
	// send begins at answer.end, if that isn't over yet.
	send(answer frame, fault Fault)
}

// turn is the right to write to a line. It is a lock made of a channel, because
// who holds it may wait for a reader, and in a bubble of testing/synctest only
// those who wait at a channel let the time go on.
type turn chan struct{}

func newTurn() turn  { return make(turn, 1) }
func (t turn) take() { t <- struct{}{} }
func (t turn) give() { <-t }

// serve answers the requests of one line until next fails.
func (s *Slave) serve(ctx context.Context, line framing) error {
	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	queues := make(map[byte]chan frame)
	defer workers.Wait()
	defer func() {
		cancel()
		for _, q := range queues {
			close(q)
		}
	}()
	for {
		request, err := line.next()
		if err != nil {
			return err
		}
		u := s.find(request.unit)
		if u == nil || len(request.pdu) == 0 {
			continue // nobody feels addressed
		}
		q := queues[request.unit]
		if q == nil {
			q = make(chan frame, maxWaiting)
			queues[request.unit] = q
			workers.Go(func() { s.work(ctx, u, q, line) })
		}
		select {
		case q <- request:
		default: // a device that is busy hears nothing
		}
	}
}

// maxWaiting is how many requests a busy unit remembers.
const maxWaiting = 16

// work is one unit: it answers one request after the other.
func (s *Slave) work(ctx context.Context, u *Unit, requests <-chan frame, line framing) {
	for request := range requests {
		b := u.current()
		if b.Dead {
			continue
		}
		s.count.requests.Add(1)
		fault := s.fault(request.unit, request.pdu)
		due := request.end.Add(b.Latency + fault.Delay)
		if !sleepUntil(ctx, due) || fault.Drop {
			continue
		}
		answer := frame{tag: request.tag, unit: request.unit, end: due, pdu: u.execute(request.pdu, time.Now(), &s.count)}
		if b.Ignores && answer.pdu[0]&0x80 != 0 {
			continue
		}
		line.send(answer, fault)
	}
}

// sleepUntil is false when ctx ended first.
func sleepUntil(ctx context.Context, at time.Time) bool {
	d := time.Until(at)
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// listen serves each connection of ln until ctx ends.
func (s *Slave) listen(ctx context.Context, ln net.Listener, serve func(context.Context, net.Conn) error) error {
	var connections sync.WaitGroup
	defer connections.Wait()
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	for {
		conn, err := ln.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			if !sleepUntil(ctx, time.Now().Add(acceptPause)) { // out of descriptors, say
				return nil
			}
			continue
		}
		connections.Go(func() { _ = serve(ctx, conn) }) // ends when its client goes
	}
}

// acceptPause keeps a listener that fails from spinning.
const acceptPause = 50 * time.Millisecond
