package modbus

import (
	"bytes"
	"fmt"
	"time"
)

// rtuTransport sends RTU frames over a link and finds their answers. It is a
// goburrow Transporter; the bus's goroutine owns it. The library's own transport
// sleeps for a time that fits no line above 19200 baud, keeps no silence before a
// request, and after one timeout gives each answer to the next request.
//
// # Order of effects
//
//  1. Silence of t3.5 since the last byte in either direction: slaves take what
//     comes earlier for the rest of an old frame, and stay deaf.
//  2. What was received meanwhile is discarded: nobody asked for it.
//  3. The request is written.
//  4. Nothing is read until the answer can be complete: one wake-up, not one a byte.
//  5. What comes is searched for the answer ([scan]); frames of others, late ones
//     and echoes are dropped. The answer's length is known from the request.
type rtuTransport struct {
	link link
	wire wire
	gap  time.Duration // a silence within an answer that says: no more will come

	exchange

	lastByte time.Time // when a byte was last seen or sent
	echo     bool      // the line repeats what we send, as some RS-485 adapters do
	buf      [2 * rtuMaxFrame]byte
}

// exchange is what a transport must know of a request beside its bytes, and what
// it tells beside the answer. The bus sets the one and reads the other.
type exchange struct {
	timeout time.Duration // from the end of the request; the answer's own time on a wire comes on top
	inStep  bool          // no answer of this unit to an earlier request can be on its way
	// meanwhile is called once in each exchange, at a time when there is nothing to
	// do but to wait.
	meanwhile func()

	sent    time.Time // when the request was written
	dropped int       // valid frames that were no answer
}

// The least silence that ends an answer. USB adapters deliver in packets up to
// 16 ms apart; a network may pause for longer.
const (
	serialGap  = 50 * time.Millisecond
	networkGap = 500 * time.Millisecond
)

func newRTUTransport(l link, w wire) *rtuTransport {
	t := &rtuTransport{link: l, wire: w, gap: networkGap}
	if w.char > 0 {
		t.gap = serialGap + 20*w.char
	}
	return t
}

// Send is goburrow's Transporter. The answer is valid until the next Send.
func (t *rtuTransport) Send(request []byte) ([]byte, error) {
	want, ok := expect(request[1 : len(request)-2])
	if !ok {
		return nil, fmt.Errorf("function %d is not supported", request[1])
	}
	t.dropped = 0
	t.meanwhile()
	t.link.Rest(time.Until(t.lastByte.Add(t.wire.quiet)))
	if err := t.link.Flush(); err != nil {
		return nil, &lineError{err}
	}
	if err := t.link.Write(request); err != nil {
		return nil, &lineError{err}
	}
	t.sent = time.Now()
	t.lastByte = t.sent.Add(t.onWire(len(request)))
	answer, longest := t.onWire(want.least()+rtuOverhead), want.length+rtuOverhead
	if want.length == 0 {
		longest = rtuMaxFrame
	}
	deadline := t.lastByte.Add(t.timeout + t.onWire(longest))
	t.link.Rest(min(time.Until(t.lastByte.Add(answer)), maxRest))
	return t.receive(scanner{request: request, want: &want, echo: &t.echo, inStep: t.inStep}, deadline)
}

// maxRest bounds what a stop must wait for on very slow lines.
const maxRest = 200 * time.Millisecond

func (t *rtuTransport) onWire(bytes int) time.Duration {
	return time.Duration(bytes) * t.wire.char
}

// receive reads until s has found the answer or the time is over.
func (t *rtuTransport) receive(s scanner, deadline time.Time) ([]byte, error) {
	n := 0
	for {
		until := deadline
		if n > 0 {
			until = earlier(deadline, time.Now().Add(t.gap))
		}
		m, err := t.link.Read(t.buf[n:], until)
		if n += m; m > 0 {
			t.lastByte = time.Now()
		}
		if err != nil && !isTimeout(err) {
			return nil, &lineError{err}
		}
		frame, used, found := s.scan(t.buf[:n])
		t.dropped = s.dropped
		switch {
		case found == foundAnswer:
			return frame, nil
		case found == foundMismatch:
			return nil, fmt.Errorf("%w: %d bytes instead of %d", errGarbled, len(frame), s.want.length+rtuOverhead)
		case err != nil:
			return nil, t.missing(n - used)
		}
		n = copy(t.buf[:], t.buf[used:n])
		if n == len(t.buf) {
			return nil, fmt.Errorf("%w: %d bytes without a valid frame", errGarbled, n)
		}
	}
}

// missing is the error when no answer came; left are bytes of which nothing
// could be made.
func (t *rtuTransport) missing(left int) error {
	switch {
	case left > 0:
		return fmt.Errorf("%w: %d bytes without a valid frame", errGarbled, left)
	case t.dropped > 0:
		return fmt.Errorf("%w, only %d frames that belong to other requests", errNoAnswer, t.dropped)
	}
	return errNoAnswer
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// scanner looks for the answer to one request in a stream of bytes. It has no
// side effects but on its own fields and *echo.
type scanner struct {
	request []byte
	want    *expectation
	echo    *bool // learned: the line repeats our requests
	inStep  bool

	echoDone bool // the echo of this request has been dropped
	dropped  int  // valid frames of others
}

// found is what a scan has come to.
type found uint8

const (
	foundNothing  found = iota // more bytes are needed
	foundAnswer                // frame is the answer or an exception
	foundMismatch              // frame is the unit's answer to this request, but of a wrong length
)

// scan looks at all bytes that were received and not used. used says how many of
// them are of no interest any more.
//
// A valid frame at the beginning that isn't the answer is dropped whole, so that
// nothing within it can pass for the answer. Garbage is searched byte by byte for
// an answer that begins behind it.
func (s *scanner) scan(b []byte) (frame []byte, used int, what found) {
	for used < len(b) {
		rest := b[used:]
		if n, wait := s.echoOf(rest); wait {
			return nil, used, foundNothing
		} else if n > 0 {
			used += n
			continue
		}
		if frame := s.answerAt(rest); frame != nil {
			return frame, used, foundAnswer
		}
		n := responseLength(rest)
		if n == 0 || n > len(rest) || !intact(rest[:n]) {
			break
		}
		if s.inStep && rest[0] == s.request[0] && rest[1] == s.want.function() {
			return rest[:n], used, foundMismatch
		}
		s.dropped++
		used += n
	}
	for i := used + 1; i < len(b); i++ {
		if frame := s.answerAt(b[i:]); frame != nil {
			return frame, used, foundAnswer
		}
	}
	return nil, used, foundNothing
}

// answerAt is the valid answer or exception that b begins with, nil when it
// begins with none.
func (s *scanner) answerAt(b []byte) []byte {
	if len(b) < rtuOverhead+exceptionLength || b[0] != s.request[0] {
		return nil
	}
	n := s.want.lengthOf(b[1:]) + rtuOverhead
	if n > rtuOverhead && n <= len(b) && s.want.answeredBy(b[1:n-2]) && intact(b[:n]) {
		return b[:n]
	}
	n = exceptionLength + rtuOverhead
	if s.want.refusedBy(b[1:n-2]) && intact(b[:n]) {
		return b[:n]
	}
	return nil
}

// echoOf is the length of the request's echo at the beginning of b. Whether the
// line echoes is learned from reads: there the echo can't be an answer, while a
// write is answered by its echo. wait says that the echo isn't complete yet.
func (s *scanner) echoOf(b []byte) (n int, wait bool) {
	if s.echoDone || s.isWrite() && !*s.echo {
		return 0, false
	}
	if bytes.HasPrefix(b, s.request) {
		s.echoDone, *s.echo = true, true
		return len(s.request), false
	}
	return 0, *s.echo && len(b) < len(s.request) && bytes.HasPrefix(s.request, b)
}

// isWrite says whether a good answer repeats the request's head.
func (s *scanner) isWrite() bool { return s.want.matched > 2 }
