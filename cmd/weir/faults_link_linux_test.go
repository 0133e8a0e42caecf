package main

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// link is a bad line to the upstream: a TCP relay that resets, falls silent and
// delays. A silent link keeps what it was given, as the senders' kernels do on a
// real one, and hands it on when it speaks again.
type link struct {
	address string
	target  string

	mu     sync.Mutex // guards what follows
	silent chan struct{}
	delay  time.Duration
	refuse bool
	conns  map[net.Conn]bool
}

// newLink starts a relay to target; it ends with the test.
func newLink(t testing.TB, target string) *link {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &link{address: l.Addr().String(), target: target, conns: make(map[net.Conn]bool)}
	var wg sync.WaitGroup
	wg.Go(func() { k.serve(l, &wg) })
	t.Cleanup(func() {
		l.Close()
		k.speak()
		k.down()
		wg.Wait()
	})
	return k
}

func (k *link) serve(l net.Listener, wg *sync.WaitGroup) {
	for {
		near, err := l.Accept()
		if err != nil {
			return // the test is over
		}
		far, err := net.DialTimeout("tcp", k.target, time.Second)
		if err != nil {
			near.Close()
			continue
		}
		if !k.track(near, far) {
			reset(near)
			reset(far)
			continue
		}
		wg.Go(func() { k.carry(far, near) })
		wg.Go(func() { k.carry(near, far) })
	}
}

func (k *link) track(near, far net.Conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.refuse {
		return false
	}
	k.conns[near], k.conns[far] = true, true
	return true
}

// carry moves bytes one way. The end of a connection, too, passes only a link
// that is not silent.
func (k *link) carry(to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		k.wait()
		if n > 0 {
			if _, failed := to.Write(buf[:n]); failed != nil && err == nil {
				err = failed
			}
		}
		if err != nil {
			break
		}
	}
	to.Close()
	from.Close()
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.conns, to)
	delete(k.conns, from)
}

// wait is what a link does to each piece that it carries.
func (k *link) wait() {
	k.mu.Lock()
	silent, delay := k.silent, k.delay
	k.mu.Unlock()
	if silent != nil {
		<-silent
	}
	time.Sleep(delay)
}

// hush lets nothing through until speak.
func (k *link) hush() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.silent == nil {
		k.silent = make(chan struct{})
	}
}

func (k *link) speak() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.silent != nil {
		close(k.silent)
		k.silent = nil
	}
}

// slow delays each piece, both ways; 0 ends it.
func (k *link) slow(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.delay = d
}

// down resets all connections, and the new ones until up.
func (k *link) down() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refuse = true
	for c := range k.conns {
		reset(c)
	}
}

func (k *link) up() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refuse = false
}

// reset closes a connection as a broken link does.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	c.Close()
}

// TestFaultLink: what the link does to a conversation.
func TestFaultLink(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c) }() // an echo, until the link is down
		}
	}()
	k := newLink(t, l.Addr().String())
	c, err := net.Dial("tcp", k.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	echo := func(wait time.Duration) error {
		if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 4))
		return err
	}
	say := func() {
		if _, err := c.Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
	}
	say()
	if err := echo(10 * time.Second); err != nil {
		t.Errorf("a good link: %v", err)
	}
	k.hush()
	say()
	if err := echo(50 * time.Millisecond); err == nil {
		t.Error("a silent link has spoken")
	}
	k.speak()
	if err := echo(10 * time.Second); err != nil {
		t.Errorf("a link that speaks again: %v", err)
	}
	k.down()
	if err := echo(10 * time.Second); err == nil {
		t.Error("a link that is down has spoken")
	}
}
