package broker

import (
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
	s := &stream{net: c, broker: l.broker, work: make(chan struct{}, 1), fed: make(chan bool, 1)}
	accepted := make(chan *conn, 1)
	if !l.broker.mail.post(func() { accepted <- l.welcome(s, c.RemoteAddr().String()) }) {
		c.Close()
		return
	}
	if s.conn = <-accepted; s.conn == nil {
		c.Close()
		return
	}
	var writing sync.WaitGroup
	writing.Go(s.writeLoop)
	s.readLoop()
	writing.Wait()
}

// stream is the link over a net.Conn.
type stream struct {
	// Static.
	net    net.Conn
	broker *Broker
	conn   *conn
	work   chan struct{} // something for the writer
	fed    chan bool     // the loop has read what the reader read; false: it is over

	mu      sync.Mutex
	out     []byte // taken by write, not yet by the writer
	full    bool   // write has refused something
	closing bool
	deaf    bool
	waiting bool // the reader waits for listen(true)
}

const (
	streamInput  = 16 << 10
	streamOutput = 64 << 10
	// streamLinger is how long a peer that does not read may hold up the end.
	streamLinger = time.Second
)

// readLoop gives the loop what comes in, one piece at a time.
func (s *stream) readLoop() {
	buf := make([]byte, streamInput)
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
	}
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

func (s *stream) write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(b), max(streamOutput-len(s.out), 0))
	s.out = append(s.out, b[:n]...)
	s.full = n < len(b)
	s.poke()
	return n, nil
}

func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	if s.waiting {
		s.waiting = false
		s.fed <- false
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
