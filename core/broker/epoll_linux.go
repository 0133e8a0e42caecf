package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// epoll is the set of the loop's sockets. The descriptor of the set is itself
// watched by the runtime's poller: a set with a ready socket is "readable". So
// the loop's goroutine parks like any other that reads from the network, and a
// turn costs two calls that never block.
//
// A blocking epoll_wait would cost a hand-over between threads for every
// message of a device that sends one at a time: measured, 25 instead of 18.5 us.
type epoll struct {
	// Static.
	fd     int             // the set
	wakeFD int             // eventfd, a member of the set
	file   *os.File        // fd, as the runtime's poller knows it
	raw    syscall.RawConn // of file
	woken  atomic.Bool     // wake was called and the loop has not seen it

	// Owned by the loop.
	members []member // by descriptor
	events  [maxEvents]unix.EpollEvent
	found   int       // of events, by the last poll
	armed   time.Time // the read deadline of file, zero if it has none or it has passed,
	passed  bool      // which this tells
	poll    func(fd uintptr) bool
	err     error // of the last poll
}

// maxEvents bounds a turn: each socket is read from once.
const maxEvents = 128

// member is the owner of a descriptor in the set.
type member interface {
	// ready: the descriptor can be read from, or written to (or has failed, which
	// the next read or write will tell).
	ready(in, out bool)
}

func newEpoll() (*epoll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create epoll set: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make the epoll set non-blocking: %w", err)
	}
	wakeFD, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("create eventfd: %w", err)
	}
	p := &epoll{fd: fd, wakeFD: wakeFD, file: os.NewFile(uintptr(fd), "epoll")}
	p.poll = p.pollOnce
	p.raw, err = p.file.SyscallConn()
	if err == nil {
		err = p.add(wakeFD, (*waker)(p))
	}
	if err != nil {
		p.close()
		return nil, fmt.Errorf("prepare epoll set: %w", err)
	}
	return p, nil
}

// wait parks until something is ready. The runtime forgets an old readiness
// before it asks pollOnce, and pollOnce asks the kernel before it parks: an
// event that comes in between makes the set readable again, so none is missed.
func (p *epoll) wait(deadline time.Time) error {
	p.found, p.err = 0, nil
	if p.arm(deadline) {
		p.pollOnce(0)
		return p.failed()
	}
	err := p.raw.Read(p.poll)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		p.armed, p.passed = time.Time{}, true
		p.pollOnce(0) // timers must not starve sockets
	} else if err != nil {
		return fmt.Errorf("wait for the epoll set: %w", err)
	}
	return p.failed()
}

func (p *epoll) failed() error {
	if p.err != nil {
		return fmt.Errorf("wait for sockets: %w", p.err)
	}
	return nil
}

// arm lets the wait end at the deadline, or says that it is over already. The
// runtime's timer is moved only to an earlier moment: to wake up for nothing now
// and then costs less than to set it every turn.
func (p *epoll) arm(deadline time.Time) (over bool) {
	switch {
	case deadline.IsZero() && !p.passed, !p.armed.IsZero() && !deadline.IsZero() && !deadline.Before(p.armed):
		return false
	case !deadline.IsZero() && time.Until(deadline) <= 0:
		return true
	}
	if err := p.file.SetReadDeadline(deadline); err != nil {
		p.err = err
		return true
	}
	p.armed, p.passed = deadline, false
	return false
}

// pollOnce asks what is ready, without waiting. It is the callback of
// RawConn.Read: false means wait and ask again.
func (p *epoll) pollOnce(uintptr) bool {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd),
		uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), 0, 0, 0)
	switch errno {
	case 0:
		p.found = int(n)
	case unix.EINTR:
		p.found = 0
	default:
		p.err = errno
	}
	return p.found > 0 || p.err != nil
}

func (p *epoll) dispatch() (more bool) {
	for _, e := range p.events[:p.found] {
		m := p.members[e.Fd]
		if m == nil {
			continue // closed earlier in this turn
		}
		const failed = unix.EPOLLHUP | unix.EPOLLERR
		m.ready(e.Events&(unix.EPOLLIN|failed) != 0, e.Events&(unix.EPOLLOUT|failed) != 0)
	}
	more = p.found == len(p.events)
	p.found = 0
	return more
}

func (p *epoll) wake() {
	if p.woken.Swap(true) {
		return // it is on its way
	}
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	unix.Write(p.wakeFD, one[:]) // fails only when the counter is full, which wakes as well
}

func (p *epoll) close() error {
	return errors.Join(unix.Close(p.wakeFD), p.file.Close())
}

// add watches fd for input on behalf of m.
func (p *epoll) add(fd int, m member) error {
	e := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &e); err != nil {
		return err
	}
	for len(p.members) <= fd {
		p.members = append(p.members, nil)
	}
	p.members[fd] = m
	return nil
}

// modify says what fd is watched for.
func (p *epoll) modify(fd int, in, out bool) error {
	e := unix.EpollEvent{Fd: int32(fd)}
	if in {
		e.Events |= unix.EPOLLIN
	}
	if out {
		e.Events |= unix.EPOLLOUT
	}
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_MOD, fd, &e)
}

// remove forgets fd, which is about to be closed (that takes it out of the set).
func (p *epoll) remove(fd int) { p.members[fd] = nil }

// waker empties the eventfd.
type waker epoll

func (w *waker) ready(bool, bool) {
	w.woken.Store(false) // first: who calls wake from now on must be seen once more
	var count [8]byte
	rawRead(w.wakeFD, count[:])
}
