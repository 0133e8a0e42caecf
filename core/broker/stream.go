package broker

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Serve runs a connection that somebody else has accepted and blocks until it has
// ended: one with TLS or WebSocket around it, or a pipe of a test. listener is the
// name of the one that it belongs to; where there is none of that name the
// connection needs no user name, as on a loopback listener.
//
// The goroutine that calls it reads, another one writes. Both only move bytes:
// what they mean is decided on the loop.
func (b *Broker) Serve(c net.Conn, listener string) { b.serverOf(listener).serve(c) }

func (b *Broker) serverOf(name string) *listener {
	for _, l := range b.listeners {
		if l.Name == name {
			return l
		}
	}
	return &listener{Listener: Listener{Name: name, Anonymous: true}, broker: b}
}

func (l *listener) serve(c net.Conn) {
	b, from := l.broker, peerOf(c)
	s := &stream{net: c, broker: b, work: make(chan struct{}, 1), fed: make(chan bool, 1), bare: l.layered()}
	accepted := make(chan *conn, 1)
	// The connection counts, and its time runs, before the first handshake.
	if !b.mail.post(func() { accepted <- l.welcome(s, from) }) {
		c.Close()
		return
	}
	if s.conn = <-accepted; s.conn == nil {
		c.Close()
		return
	}
	if s.bare && !s.unwrap(l, from) {
		c.Close()
		return
	}
	var writing sync.WaitGroup
	writing.Go(s.writeLoop)
	s.readLoop()
	writing.Wait()
}

// unwrap does the handshakes below MQTT. False: the connection has ended.
func (s *stream) unwrap(l *listener, from peer) bool {
	inner, who, err := l.unwrap(s.net, from)
	if err != nil {
		s.broker.mail.post(func() { s.conn.unfit(err) })
		return false
	}
	if who != from && !s.broker.mail.post(func() { s.conn.introduce(who) }) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.net, s.bare = inner, false
	return !s.closing
}

// unfit: the connection did not get as far as MQTT.
func (c *conn) unfit(err error) {
	if c.phase == closed { // too late
		return
	}
	if e, ok := errors.AsType[*layerError](err); ok {
		c.broker.count(e.count)
	}
	c.broker.complain("connection refused", "listener", c.listener.Name, "address", c.remote, "error", err)
	c.close()
}

// stream is the link over a net.Conn.
type stream struct {
	// Static.
	broker *Broker
	conn   *conn
	work   chan struct{} // something for the writer
	fed    chan bool     // the loop has read what the reader read; false: it is over

	mu      sync.Mutex
	net     net.Conn // changes once, when the handshakes are done
	bare    bool     // they are not done yet
	out     []byte   // taken by write, not yet by the writer
	full    bool     // write has refused something
	closing bool
	deaf    bool
	waiting bool // the reader waits for listen(true)
}

const (
	// The reader's buffer is small while it waits for who seldom says much.
	streamIdle   = 512
	streamInput  = 16 << 10
	streamOutput = 64 << 10
	// streamLinger is how long a peer that does not read may hold up the end.
	streamLinger = time.Second
)

// readLoop gives the loop what comes in, one piece at a time.
func (s *stream) readLoop() {
	buf := make([]byte, streamIdle)
	for {
		n, err := s.net.Read(buf)
		if err != nil {
			s.broker.mail.post(func() { s.conn.lost(err) })
			return
		}
		if !s.broker.mail.post(func() { s.feed(buf[:n]) }) || !<-s.fed {
			io.Copy(io.Discard, s.net) // until the writer has closed it
			return
		}
		if size := resize(n, len(buf)); size != len(buf) {
			buf = make([]byte, size)
		}
	}
}

// resize is how long the buffer is to be after n bytes came.
func resize(n, size int) int {
	switch {
	case n == size:
		return streamInput
	case n < streamIdle/2:
		return streamIdle
	}
	return size
}

// feed is called on the loop.
func (s *stream) feed(b []byte) {
	for len(b) > 0 && s.conn.phase != closed {
		n := copy(s.conn.space(), b)
		s.conn.took(n)
		b = b[n:]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing || s.conn.phase == closed:
		s.fed <- false
	case s.deaf:
		s.waiting = true
	default:
		s.fed <- true
	}
}

func (s *stream) listen(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deaf = !on
	if on && s.waiting {
		s.waiting = false
		s.fed <- true
	}
}

func (s *stream) write(b, tail []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.takeLocked(b)
	if n == len(b) {
		n += s.takeLocked(tail)
	}
	s.full = n < len(b)+len(tail)
	s.poke()
	return n, nil
}

func (s *stream) takeLocked(b []byte) int {
	n := min(len(b), max(streamOutput-len(s.out), 0))
	s.out = append(s.out, b[:n]...)
	return n
}

func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	if s.waiting {
		s.waiting = false
		s.fed <- false
	}
	if s.bare { // there is no writer, and somebody waits for a handshake
		s.net.Close()
		return
	}
	// Whatever the writer has not got rid of by then is lost.
	s.net.SetWriteDeadline(time.Now().Add(streamLinger))
	s.poke()
}

func (s *stream) poke() {
	select {
	case s.work <- struct{}{}:
	default:
	}
}

// writeLoop writes what write took, as much at once as has gathered.
func (s *stream) writeLoop() {
	defer s.net.Close()
	var buf []byte
	for range s.work {
		s.mu.Lock()
		buf, s.out = s.out, buf[:0]
		full, closing := s.full, s.closing
		s.full = false
		s.mu.Unlock()
		if _, err := s.net.Write(buf); err != nil && !closing {
			s.broker.mail.post(func() { s.conn.lost(err) })
			return
		}
		if closing {
			return
		}
		if full {
			s.broker.mail.post(s.conn.writable)
		}
	}
}
