package bridgetest

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Network connects dialers with a server. Its zero value refuses connections.
type Network struct {
	mu    sync.Mutex
	serve map[string]func(net.Conn)
	line  line
	down  error
	dials []string
	pairs []*Conn // the dialers' ends
	wg    sync.WaitGroup
}

// Listen lets serve have each connection to address ("host:port"), on a goroutine
// of its own.
func (n *Network) Listen(address string, serve func(net.Conn)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.serve == nil {
		n.serve = make(map[string]func(net.Conn))
	}
	n.serve[address] = serve
}

// line is what a connection runs over.
type line struct {
	latency time.Duration
	rate    int     // bytes a second; 0: any
	loss    float64 // of the segments, each of which then comes after retransmission
	rng     *rand.Rand
}

// retransmission is what TCP takes to notice that a segment was lost.
const retransmission = time.Second

// SetLatency is how long bytes take from one end to the other, from the next
// connection on.
func (n *Network) SetLatency(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.line.latency = d
}

// SetLine makes a bad line of the connections to come: so many bytes a second, and
// a share of the segments, drawn with seed, that arrives late because it was lost.
func (n *Network) SetLine(latency time.Duration, rate int, loss float64, seed uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.line = line{latency: latency, rate: rate, loss: loss, rng: rand.New(rand.NewPCG(seed, 0))}
}

// Down makes all attempts to connect fail; nil ends that.
func (n *Network) Down(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = err
}

// Dial is a bridge's way in.
func (n *Network) Dial(_ context.Context, address string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dials = append(n.dials, address)
	serve := n.serve[address]
	switch {
	case n.down != nil:
		return nil, n.down
	case serve == nil:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	near, far := pipe(n.line)
	n.pairs = append(n.pairs, near)
	n.wg.Go(func() { serve(far) })
	return near, nil
}

// Dials are the addresses that were dialled so far.
func (n *Network) Dials() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.dials...)
}

// Each calls f with the dialers' end of all connections that were made since the
// last call.
func (n *Network) each(f func(*Conn)) {
	n.mu.Lock()
	pairs := n.pairs
	n.pairs = nil
	n.mu.Unlock()
	for _, c := range pairs {
		f(c)
	}
}

// Cut resets all connections. What is under way is lost.
func (n *Network) Cut() { n.each((*Conn).Cut) }

// Blackhole keeps all connections and loses everything that is sent over them.
func (n *Network) Blackhole() { n.each((*Conn).Blackhole) }

// Close cuts all connections and waits for the servers.
func (n *Network) Close() {
	n.Down(syscall.ENETDOWN)
	n.Cut()
	n.wg.Wait()
}

// Conn is one end of a connection.
type Conn struct {
	in, out *half
}

// Pipe is a connection whose bytes take latency to arrive, and none when it is 0.
// Unlike net.Pipe it has a buffer, so that a cut loses what is under way.
func Pipe(latency time.Duration) (a, b *Conn) { return pipe(line{latency: latency}) }

func pipe(l line) (a, b *Conn) {
	ab, ba := newHalf(l), newHalf(l)
	return &Conn{in: ba, out: ab}, &Conn{in: ab, out: ba}
}

// half is one direction.
type half struct {
	mu       sync.Mutex
	line     line
	busy     time.Time // until when the line carries what was written before
	last     time.Time // when that is there
	change   *sync.Cond
	segments []segment
	size     int
	readErr  error // once the segments are read
	writeErr error
	lost     bool // nothing arrives any more
	deadline map[string]*time.Timer
}

type segment struct {
	at   time.Time
	data []byte
}

// capacity is what a direction holds before a writer waits, in bytes.
const capacity = 256 << 10

func newHalf(l line) *half {
	if l.rng != nil {
		l.rng = rand.New(rand.NewPCG(l.rng.Uint64(), 1)) // each direction draws for itself
	}
	h := &half{line: l, deadline: make(map[string]*time.Timer)}
	h.change = sync.NewCond(&h.mu)
	return h
}

func (h *half) read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case len(h.segments) > 0 && !time.Now().Before(h.segments[0].at):
			s := &h.segments[0]
			n := copy(b, s.data)
			s.data = s.data[n:]
			if len(s.data) == 0 {
				h.segments = h.segments[1:]
			}
			h.size -= n
			h.change.Broadcast()
			return n, nil
		case len(h.segments) > 0:
			wake := time.AfterFunc(time.Until(h.segments[0].at), h.change.Broadcast)
			h.change.Wait()
			wake.Stop()
		case h.readErr != nil:
			return 0, h.readErr
		default:
			h.change.Wait()
		}
	}
}

func (h *half) write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.writeErr == nil && h.size >= capacity {
		h.change.Wait()
	}
	switch {
	case h.writeErr != nil:
		return 0, h.writeErr
	case h.lost && h.size+len(b) < capacity:
		h.size += len(b)
		return len(b), nil
	}
	h.segments = append(h.segments, segment{h.arrival(len(b)), append([]byte(nil), b...)})
	h.size += len(b)
	h.change.Broadcast()
	return len(b), nil
}

// arrival is when n bytes that are written now get there: behind those before,
// lost ones too, for TCP keeps the order.
func (h *half) arrival(n int) time.Time {
	if now := time.Now(); h.busy.Before(now) {
		h.busy = now
	}
	if h.line.rate > 0 {
		h.busy = h.busy.Add(time.Duration(n) * time.Second / time.Duration(h.line.rate))
	}
	at := h.busy.Add(h.line.latency)
	if h.line.rng != nil && h.line.rng.Float64() < h.line.loss {
		at = at.Add(retransmission)
	}
	h.last = maxTime(h.last, at)
	return h.last
}

// end sets what reader and writer get; drop loses what is under way.
func (h *half) end(readErr, writeErr error, drop bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if drop {
		h.segments = nil
	}
	if h.readErr == nil {
		h.readErr = readErr
	}
	if h.writeErr == nil {
		h.writeErr = writeErr
	}
	h.change.Broadcast()
}

// expire lets the reader or the writer fail at t, at once when that has passed.
//
// A timer for a time that has passed would do the same, but must not be set in a
// bubble: it is run by the goroutine that sets it, and not by that which moves the
// clock, while the race detector has one context for all timers of a bubble. Two at
// the same moment end the process with SIGSEGV (golang/go#78156).
func (h *half) expire(who string, t time.Time, set func(error)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old := h.deadline[who]; old != nil {
		old.Stop()
	}
	set(nil)
	fail := func() {
		set(os.ErrDeadlineExceeded)
		h.change.Broadcast()
	}
	switch wait := time.Until(t); {
	case t.IsZero():
	case wait <= 0:
		fail()
	default:
		h.deadline[who] = time.AfterFunc(wait, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			fail()
		})
	}
}

// Read and the others make it a net.Conn.
func (c *Conn) Read(b []byte) (int, error)  { return c.in.read(b) }
func (c *Conn) Write(b []byte) (int, error) { return c.out.write(b) }

// Close lets the other end read what was sent, unless something that it has sent
// was not read: then TCP resets the connection.
func (c *Conn) Close() error {
	c.in.mu.Lock()
	unread := len(c.in.segments) > 0 && c.in.readErr == nil
	c.in.mu.Unlock()
	if unread {
		c.Cut()
		return nil
	}
	c.out.end(io.EOF, net.ErrClosed, false)
	c.in.end(net.ErrClosed, reset("write", syscall.EPIPE), false)
	return nil
}

// Cut resets the connection at both ends.
func (c *Conn) Cut() {
	for _, h := range []*half{c.in, c.out} {
		h.end(reset("read", syscall.ECONNRESET), reset("write", syscall.ECONNRESET), true)
	}
}

// Blackhole lets nothing arrive any more.
func (c *Conn) Blackhole() {
	for _, h := range []*half{c.in, c.out} {
		h.mu.Lock()
		h.lost, h.segments = true, nil
		h.mu.Unlock()
	}
}

func reset(op string, errno syscall.Errno) error {
	return &net.OpError{Op: op, Net: "tcp", Err: os.NewSyscallError(op, errno)}
}

func (c *Conn) LocalAddr() net.Addr  { return &net.TCPAddr{} }
func (c *Conn) RemoteAddr() net.Addr { return &net.TCPAddr{} }

func (c *Conn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.expire("read", t, func(err error) { replaceTimeout(&c.in.readErr, err) })
	return nil
}

func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.out.expire("write", t, func(err error) { replaceTimeout(&c.out.writeErr, err) })
	return nil
}

// replaceTimeout sets or clears a timeout; what ended the connection stays.
func replaceTimeout(at *error, err error) {
	if *at == nil || *at == os.ErrDeadlineExceeded {
		*at = err
	}
}
