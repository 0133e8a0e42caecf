//go:build linux

package load

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poller is the epoll set of the loop. The set itself waits in the runtime's
// poller, so no thread blocks in a system call and none is handed over.
type poller struct {
	fd      int
	file    *os.File // fd, as the runtime's poller knows it
	raw     syscall.RawConn
	members []member // by descriptor
	events  [256]unix.EpollEvent
	found   int
	poll    func(fd uintptr) bool
	err     error // of the last poll
}

// member owns a descriptor of the set.
type member interface {
	ready(in, out bool)
}

// beat is how often the loop turns when nothing happens, to look at the time.
const beat = 50 * time.Millisecond

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create epoll set: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make the epoll set non-blocking: %w", err)
	}
	p := &poller{fd: fd, file: os.NewFile(uintptr(fd), "epoll")}
	p.poll = p.pollOnce
	if p.raw, err = p.file.SyscallConn(); err == nil {
		err = p.file.SetReadDeadline(time.Now().Add(beat))
	}
	if err != nil {
		p.close()
		return nil, fmt.Errorf("prepare the epoll set: %w", err)
	}
	return p, nil
}

// turn waits until something is ready or the beat is over, and hands what is
// ready to its owners.
func (p *poller) turn() error {
	p.found = 0
	switch err := p.raw.Read(p.poll); {
	case errors.Is(err, os.ErrDeadlineExceeded):
		if err := p.file.SetReadDeadline(time.Now().Add(beat)); err != nil {
			return err
		}
	case err != nil:
		return fmt.Errorf("wait for the epoll set: %w", err)
	case p.err != nil:
		return fmt.Errorf("wait for sockets: %w", p.err)
	}
	const failed = unix.EPOLLHUP | unix.EPOLLERR
	for _, e := range p.events[:p.found] {
		if m := p.members[e.Fd]; m != nil { // nil: closed earlier in this turn
			m.ready(e.Events&(unix.EPOLLIN|failed) != 0, e.Events&(unix.EPOLLOUT|failed) != 0)
		}
	}
	return nil
}

// pollOnce asks without waiting; false makes RawConn.Read wait and ask again.
func (p *poller) pollOnce(uintptr) bool {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd),
		uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), 0, 0, 0)
	switch errno {
	case 0:
		p.found = int(n)
	case unix.EINTR:
	default:
		p.err = errno
	}
	return p.found > 0 || p.err != nil
}

func (p *poller) add(fd int, m member, events uint32) error {
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)}); err != nil {
		return fmt.Errorf("watch a descriptor: %w", err)
	}
	for len(p.members) <= fd {
		p.members = append(p.members, nil)
	}
	p.members[fd] = m
	return nil
}

func (p *poller) modify(fd int, events uint32) error {
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// remove closes fd, which takes it out of the set.
func (p *poller) remove(fd int) {
	p.members[fd] = nil
	unix.Close(fd)
}

func (p *poller) close() error { return p.file.Close() }

// ticker calls tick at a fixed interval. The runtime's own timers are no finer
// than a millisecond when they wait in the poller; a timerfd is.
type ticker struct {
	fd   int
	poll *poller
	tick func()
}

func newTicker(p *poller, every time.Duration, tick func()) (*ticker, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("create a timer: %w", err)
	}
	interval := unix.NsecToTimespec(every.Nanoseconds())
	t := &ticker{fd: fd, poll: p, tick: tick}
	err = unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Interval: interval, Value: interval}, nil)
	if err == nil {
		err = p.add(fd, t, unix.EPOLLIN)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("start a timer: %w", err)
	}
	return t, nil
}

func (t *ticker) ready(bool, bool) {
	var expirations [8]byte
	rawRead(t.fd, expirations[:]) // how many is told by the time
	t.tick()
}

func (t *ticker) close() { t.poll.remove(t.fd) }

// rawRead and rawWrite do not tell the scheduler of the call: the descriptors are
// non-blocking, so it is over before a hand-over would be.
func rawRead(fd int, b []byte) (int, error) { return rawCall(unix.SYS_READ, fd, b) }

func rawWrite(fd int, b []byte) (int, error) { return rawCall(unix.SYS_WRITE, fd, b) }

func rawCall(call uintptr, fd int, b []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}
