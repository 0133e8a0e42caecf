package serialport

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// conn is our descriptor of the device. The descriptor is not in Go's poller but
// in an epoll set of its own, armed for one event while somebody waits, and that
// set is in Go's poller. So bytes that come while nobody waits wake nobody: a line
// at full speed, read every few milliseconds, costs a tenth of what it costs to be
// told of every few bytes.
//
// The calls of every turn go to the kernel without telling Go's scheduler: they
// never block, and to tell it wakes its monitor thread, which costs more than the
// call.
//
// The owner calls all methods but expire, which may be called by anybody.
type conn struct {
	fd     int
	ready  *os.File // the epoll set; it has the deadline
	raw    syscall.RawConn
	alarm  alarm
	closed bool
}

func openConn(device string) (*conn, error) {
	// O_NONBLOCK: don't wait for a carrier, or for anything.
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: device, Err: err}
	}
	c := &conn{fd: fd}
	if err := c.watch(); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("watch %s: %w", device, err)
	}
	return c, nil
}

// watch makes the epoll set, in which nothing is armed yet.
func (c *conn) watch() error {
	set, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	event := unix.EpollEvent{Events: unix.EPOLLONESHOT, Fd: int32(c.fd)}
	err = errors.Join(unix.EpollCtl(set, unix.EPOLL_CTL_ADD, c.fd, &event), unix.SetNonblock(set, true))
	if err != nil {
		unix.Close(set)
		return err
	}
	c.ready = os.NewFile(uintptr(set), "epoll")
	if c.raw, err = c.ready.SyscallConn(); err == nil {
		c.alarm, err = newAlarm()
	}
	if err != nil {
		c.ready.Close()
	}
	return err
}

// rest sleeps. Go's own timers are too dear for sleeps of a few milliseconds, many
// hundred times a second: the poller waits in whole milliseconds, so that it wakes
// twice or thrice for each.
func (c *conn) rest(d time.Duration) { c.alarm.sleep(d) }

// read reads what is there; unix.EAGAIN: nothing.
func (c *conn) read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, _, no := unix.RawSyscall(unix.SYS_READ, uintptr(c.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	switch {
	case no == unix.EINTR:
		return 0, unix.EAGAIN
	case no != 0:
		return 0, no
	case n == 0:
		return 0, io.EOF
	}
	return int(n), nil
}

// write writes what there is room for; unix.EAGAIN: nothing.
func (c *conn) write(b []byte) (int, error) {
	n, err := unix.Write(c.fd, b)
	if err == unix.EINTR {
		err = unix.EAGAIN
	}
	return max(n, 0), err
}

// setDeadline is for the waits from now on.
func (c *conn) setDeadline(t time.Time) error { return c.ready.SetReadDeadline(t) }

// expire ends the wait that is going on.
func (c *conn) expire() { _ = c.ready.SetReadDeadline(time.Unix(1, 0)) } // fails only once it is closed

func (c *conn) waitRead() error { return c.wait(unix.EPOLLIN) }

func (c *conn) waitWrite() error { return c.wait(unix.EPOLLOUT) }

func (c *conn) wait(events uint32) error {
	event := unix.EpollEvent{Events: events | unix.EPOLLONESHOT, Fd: int32(c.fd)}
	var failed error
	armed := false
	err := c.raw.Read(func(set uintptr) bool {
		if !armed {
			armed = true
			if _, _, no := unix.RawSyscall6(unix.SYS_EPOLL_CTL, set, unix.EPOLL_CTL_MOD, uintptr(c.fd), uintptr(unsafe.Pointer(&event)), 0, 0); no != 0 {
				failed = no
				return true
			}
		}
		var got unix.EpollEvent
		n, _, no := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, set, uintptr(unsafe.Pointer(&got)), 1, 0, 0, 0)
		if no != 0 && no != unix.EINTR {
			failed = no
			return true
		}
		return no == 0 && n > 0
	})
	return errors.Join(err, failed)
}

// control calls do with the descriptor.
func (c *conn) control(do func(fd int) error) error {
	if c.closed {
		return os.ErrClosed
	}
	return do(c.fd)
}

func (c *conn) close() error {
	c.closed = true
	return errors.Join(c.ready.Close(), c.alarm.file.Close(), unix.Close(c.fd))
}

// alarm is a timer of the kernel's in Go's poller.
type alarm struct {
	file *os.File
	raw  syscall.RawConn
}

func newAlarm() (a alarm, err error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return a, err
	}
	a.file = os.NewFile(uintptr(fd), "timer")
	if a.raw, err = a.file.SyscallConn(); err != nil {
		a.file.Close()
	}
	return a, err
}

// sleep sleeps for d, which is more than 0.
func (a alarm) sleep(d time.Duration) {
	set := false
	err := a.raw.Read(func(fd uintptr) bool {
		if set {
			return true // it went off; that it was isn't read, the next setting forgets it
		}
		set = true
		at := unix.ItimerSpec{Value: unix.NsecToTimespec(d.Nanoseconds())}
		_, _, no := unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, fd, 0, uintptr(unsafe.Pointer(&at)), 0, 0, 0)
		return no != 0
	})
	if err != nil {
		time.Sleep(d)
	}
}
