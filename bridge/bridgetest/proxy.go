package bridgetest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Proxy is a bad line on real TCP: a relay on the loopback that cuts, falls
// silent, forgets one side, delays and throttles. Each direction is a queue, so
// that a delay costs time and not throughput, as on a real line.
type Proxy struct {
	// Static.
	listener net.Listener
	target   string
	wg       sync.WaitGroup

	up, down flow

	mu     sync.Mutex
	change chan struct{} // closed and replaced when something below changes
	delay  time.Duration // each way
	rate   int           // bytes a second each way; 0: any
	silent bool
	refuse bool
	closed bool
	pairs  map[*pair]struct{}
}

// flow is what was carried one way.
type flow struct{ bytes, pieces atomic.Int64 }

// pair is one connection through the proxy.
type pair struct{ near, far *net.TCPConn }

// NewProxy relays to target, from a free port of the loopback, until Close.
func NewProxy(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open proxy: %w", err)
	}
	p := &Proxy{listener: l, target: target, change: make(chan struct{}), pairs: make(map[*pair]struct{})}
	p.wg.Go(p.serve)
	return p, nil
}

// Address is where it listens.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Bytes that were carried to the target and from it.
func (p *Proxy) Bytes() (up, down int64) { return p.up.bytes.Load(), p.down.bytes.Load() }

// Pieces in which they came: segments, as long as it keeps up with them.
func (p *Proxy) Pieces() (up, down int64) { return p.up.pieces.Load(), p.down.pieces.Load() }

// set changes the line, and wakes whoever waits for it.
func (p *Proxy) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.change)
	p.change = make(chan struct{})
}

// SetDelay is how long bytes take each way: half a round trip.
func (p *Proxy) SetDelay(d time.Duration) { p.set(func() { p.delay = d }) }

// SetRate is how many bytes a second go each way; 0 is as many as there are.
func (p *Proxy) SetRate(bytes int) { p.set(func() { p.rate = bytes }) }

// Hush makes it a black hole: connections stand, new ones are made, no byte moves.
func (p *Proxy) Hush() { p.set(func() { p.silent = true }) }

// Speak ends that. What was held back moves on.
func (p *Proxy) Speak() { p.set(func() { p.silent = false }) }

// Cut resets all connections, and each new one, until Restore.
func (p *Proxy) Cut() {
	p.set(func() { p.refuse = true })
	p.Reset()
}

// Restore ends Cut.
func (p *Proxy) Restore() { p.set(func() { p.refuse = false }) }

// Reset resets all connections once.
func (p *Proxy) Reset() {
	p.each(func(c *pair) {
		reset1(c.near)
		reset1(c.far)
	})
}

// HalfOpen ends the target's side of all connections. The other side is not told,
// and nobody reads what it sends.
func (p *Proxy) HalfOpen() {
	p.Hush()
	p.each(func(c *pair) { reset1(c.far) })
}

func (p *Proxy) each(f func(*pair)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.pairs {
		f(c)
	}
}

// Close ends it and everything that goes through it.
func (p *Proxy) Close() {
	p.listener.Close()
	p.set(func() { p.closed, p.refuse, p.silent = true, true, false })
	p.Reset()
	p.wg.Wait()
}

// reset1 closes a connection as a broken line does.
func reset1(c *net.TCPConn) {
	_ = c.SetLinger(0) // it may be closed already
	c.Close()
}

func (p *Proxy) serve() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.wg.Go(func() { p.relay(near.(*net.TCPConn)) })
	}
}

func (p *Proxy) relay(near *net.TCPConn) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	far, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.target)
	if err != nil {
		reset1(near)
		return
	}
	c := &pair{near: near, far: far.(*net.TCPConn)}
	p.mu.Lock()
	if p.refuse {
		p.mu.Unlock()
		reset1(c.near)
		reset1(c.far)
		return
	}
	p.pairs[c] = struct{}{}
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.carry(c.far, c.near, &p.up) })
	both.Go(func() { p.carry(c.near, c.far, &p.down) })
	both.Wait()
	p.mu.Lock()
	delete(p.pairs, c)
	p.mu.Unlock()
}

// piece is what was read at a time.
type piece struct {
	data []byte
	at   time.Time
	err  error
}

// carry moves bytes one way. The end of a connection takes its time, too.
func (p *Proxy) carry(to, from *net.TCPConn, count *flow) {
	queue := make(chan piece, 1024)
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			buf := make([]byte, 16<<10)
			n, err := from.Read(buf)
			queue <- piece{buf[:n], time.Now(), err}
			if err != nil {
				return
			}
		}
	})
	failed := false
	for {
		c := <-queue
		if !failed {
			p.pass(c)
			count.bytes.Add(int64(len(c.data)))
			count.pieces.Add(1)
			_, err := to.Write(c.data)
			failed = err != nil
		}
		if c.err != nil {
			break
		}
		if failed {
			from.Close()
		}
	}
	to.Close()
	from.Close()
	reader.Wait()
}

// pass waits until a piece may leave.
func (p *Proxy) pass(c piece) {
	for {
		p.mu.Lock()
		change, closed, silent := p.change, p.closed, p.silent
		due := c.at.Add(p.delay)
		if p.rate > 0 {
			due = maxTime(due, time.Now().Add(time.Duration(len(c.data))*time.Second/time.Duration(p.rate)))
		}
		p.mu.Unlock()
		switch {
		case closed, !silent && !time.Now().Before(due):
			return
		case silent:
			<-change
			continue
		}
		wait := time.NewTimer(time.Until(due))
		select {
		case <-wait.C:
			p.mu.Lock()
			silent = p.silent
			p.mu.Unlock()
			if !silent {
				return
			}
		case <-change:
			wait.Stop()
		}
	}
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
