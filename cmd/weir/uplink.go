package main

import (
	"context"
	"io"
	"net"
	"sync"
)

// uplink is a cable that can be pulled: a TCP relay on the loopback. While it
// is cut, connections are reset and new ones refused.
type uplink struct {
	address string // where it listens
	target  string

	mu       sync.Mutex // guards what follows
	down     bool
	listener net.Listener
	conns    map[net.Conn]bool
	wg       sync.WaitGroup
}

// newUplink starts a relay to target on a free port of the loopback.
func newUplink(target string) (*uplink, error) {
	u := &uplink{address: "127.0.0.1:0", target: target, conns: make(map[net.Conn]bool)}
	if err := u.restore(); err != nil {
		return nil, err
	}
	u.address = u.listener.Addr().String()
	return u, nil
}

// restore plugs the cable in.
func (u *uplink) restore() error {
	l, err := net.Listen("tcp", u.address)
	if err != nil {
		return err
	}
	u.mu.Lock()
	u.listener, u.down = l, false
	u.mu.Unlock()
	u.wg.Go(func() { u.serve(l) })
	return nil
}

// cut pulls it and waits until nothing moves any more.
func (u *uplink) cut() {
	u.mu.Lock()
	u.down = true
	u.listener.Close()
	for c := range u.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // reset, as a broken link does
		}
		c.Close()
	}
	u.mu.Unlock()
	u.wg.Wait()
}

func (u *uplink) serve(l net.Listener) {
	for {
		near, err := l.Accept()
		if err != nil {
			return // cut
		}
		far, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", u.target)
		if err != nil {
			near.Close()
			continue
		}
		if !u.track(near, far) {
			return
		}
		u.wg.Go(func() { u.copy(near, far) })
		u.wg.Go(func() { u.copy(far, near) })
	}
}

// track remembers a pair, unless the cable was pulled meanwhile.
func (u *uplink) track(pair ...net.Conn) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.down {
		for _, c := range pair {
			c.Close()
		}
		return false
	}
	for _, c := range pair {
		u.conns[c] = true
	}
	return true
}

// copy moves bytes one way; when one way ends, the pair ends.
func (u *uplink) copy(to, from net.Conn) {
	_, _ = io.Copy(to, from) // the end of either side is the end of both
	to.Close()
	from.Close()
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.conns, to)
	delete(u.conns, from)
}
