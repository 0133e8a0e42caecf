package broker

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// newPoller waits for sockets where there are any.
func newPoller(cfg Config) (poller, error) {
	if len(cfg.Listeners) == 0 {
		return newIdle(), nil
	}
	return newEpoll()
}

// watch lets the loop accept the listener's connections.
func (l *listener) watch() error {
	p := l.broker.poll.(*epoll)
	raw, err := l.ln.(syscall.Conn).SyscallConn()
	if err != nil {
		return fmt.Errorf("get at the socket: %w", err)
	}
	a := &acceptor{listener: l, poll: p}
	a.timer.ring = a.resume
	// The descriptor is non-blocking, and stays open for as long as l.ln does.
	if err := raw.Control(func(fd uintptr) { a.fd = int(fd) }); err != nil {
		return fmt.Errorf("get at the socket: %w", err)
	}
	// Everything that a turn has for a peer leaves in one write. Connections take
	// this over from their listener; a Unix socket does not know it.
	unix.SetsockoptInt(a.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if err := p.add(a.fd, a); err != nil {
		return fmt.Errorf("watch the socket: %w", err)
	}
	return nil
}

// watchFor lets the loop watch a descriptor of somebody else's.
func (b *Broker) watchFor(fd int, m member) error {
	p, ok := b.poll.(*epoll)
	if !ok {
		return errNoSockets
	}
	return p.add(fd, m)
}

// rewatch says whether input and room to write are of interest.
func (b *Broker) rewatch(fd int, in, out bool) { b.poll.(*epoll).modify(fd, in, out) }

// forget stops to watch it; it stays open.
func (b *Broker) forget(fd int) {
	p := b.poll.(*epoll)
	p.remove(fd)
	unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil)
}

// acceptor takes connections for the loop.
type acceptor struct {
	listener *listener
	poll     *epoll
	fd       int
	timer    timer
}

// maxAccepts bounds what one listener takes in a turn, so that a storm of new
// connections does not starve those that are there.
const maxAccepts = 64

func (a *acceptor) ready(bool, bool) (drained bool) {
	for range maxAccepts {
		if a.listener.broker.full.Load() {
			a.pause(errAllSockets)
			return true
		}
		fd, err := rawAccept(a.fd)
		switch {
		case err == nil:
			a.take(fd)
		case errors.Is(err, unix.EAGAIN):
			return true
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
			a.pause(err)
			return true
		} // anything else is about that one connection
	}
	return false
}

// errAllSockets: the descriptors that are left are for the store, the uplink and
// the serial lines.
var errAllSockets = errors.New("as many connections as the limit of open files allows")

func (a *acceptor) take(fd int) {
	s := &socket{fd: fd, poll: a.poll, in: true}
	s.conn = a.listener.welcome(s, remoteOf(fd))
	if s.conn == nil {
		return
	}
	if err := a.poll.add(fd, s); err != nil {
		s.conn.lost(err)
	}
}

func (a *acceptor) pause(err error) {
	b := a.listener.broker
	b.log.Warn("accept pauses", "listener", a.listener.Name, "error", err)
	b.count("accept paused")
	a.poll.modify(a.fd, false, false)
	b.timers.set(&a.timer, b.now.Add(acceptPause))
}

func (a *acceptor) resume(time.Time) { a.poll.modify(a.fd, true, false) }

// remoteOf is the other end of a socket.
func remoteOf(fd int) peer {
	sa, err := unix.Getpeername(fd)
	if err != nil {
		return peer{remote: "unknown"}
	}
	var at netip.AddrPort
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		at = netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		at = netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	default:
		return peer{remote: "unix"}
	}
	return peer{remote: at.String(), addr: at.Addr()}
}

// maxSockets is how many connections leave enough descriptors for the store, the
// uplinks and the serial lines: an eighth of all, between 64 and 1,024.
func maxSockets() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxInt
	}
	all := int(min(limit.Cur, math.MaxInt32))
	return max(all-min(max(all/8, 64), 1024), all/2)
}

// socket is the link over a socket of the loop's own.
type socket struct {
	fd      int
	poll    *epoll
	conn    *conn
	in, out bool // what it is watched for
}

var _ link = (*socket)(nil)

// ready reads once: what is left makes the socket ready again in the next turn,
// after the others had theirs.
func (s *socket) ready(in, out bool) (drained bool) {
	if out {
		s.watch(s.in, false)
		s.conn.writable()
	}
	if !in || s.conn.phase == closed {
		return true
	}
	space := s.conn.space()
	n, err := rawRead(s.fd, space)
	switch {
	case err == unix.EAGAIN:
	case err != nil:
		s.conn.lost(err)
	case n == 0:
		s.conn.lost(io.EOF)
	default:
		s.conn.took(n)
	}
	return n < len(space)
}

func (s *socket) write(b, tail []byte) (n int, err error) {
	if len(tail) > 0 {
		n, err = rawWritev(s.fd, b, tail)
	} else {
		n, err = rawWrite(s.fd, b)
	}
	if err != nil && err != unix.EAGAIN {
		return 0, fmt.Errorf("write to socket: %w", err)
	}
	if n < len(b)+len(tail) {
		s.watch(s.in, true)
	}
	return n, nil
}

func (s *socket) listen(on bool) { s.watch(on, s.out) }

func (s *socket) watch(in, out bool) {
	if in != s.in || out != s.out {
		s.in, s.out = in, out
		s.poll.modify(s.fd, in, out) // fails only for a descriptor that is not ours
	}
}

func (s *socket) close() {
	if s.fd < len(s.poll.members) {
		s.poll.remove(s.fd)
	}
	rawClose(s.fd)
}
