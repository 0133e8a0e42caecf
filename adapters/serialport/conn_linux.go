package serialport

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// conn is our descriptor of the device. The descriptor is not in Go's poller but
// in an epoll set of its own, armed for one event while somebody waits, and that
// set is in Go's poller. So bytes that come while nobody waits wake nobody: a line
// at full speed, read every few milliseconds, costs a tenth of what it costs to be
// told of every few bytes.
//
// The owner calls all methods but expire, which may be called by anybody.
type conn struct {
	fd     int
	ready  *os.File // the epoll set; it has the deadline
	raw    syscall.RawConn
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
	if c.raw, err = c.ready.SyscallConn(); err != nil {
		c.ready.Close()
	}
	return err
}

// read reads what is there; unix.EAGAIN: nothing.
func (c *conn) read(b []byte) (int, error) {
	n, err := unix.Read(c.fd, b)
	switch {
	case err == unix.EINTR:
		return 0, unix.EAGAIN
	case err != nil:
		return 0, err
	case n == 0 && len(b) > 0:
		return 0, io.EOF
	}
	return n, nil
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
			if failed = unix.EpollCtl(int(set), unix.EPOLL_CTL_MOD, c.fd, &event); failed != nil {
				return true
			}
		}
		var got [1]unix.EpollEvent
		n, err := unix.EpollWait(int(set), got[:], 0)
		if err != nil && err != unix.EINTR {
			failed = err
			return true
		}
		return n > 0
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
	return errors.Join(c.ready.Close(), unix.Close(c.fd))
}
