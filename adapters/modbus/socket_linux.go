package modbus

import (
	"io"
	"net"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket is a plain TCP connection as a link. Its reads and writes go to the
// kernel without telling Go's scheduler: they never block, and to tell it wakes
// its monitor thread, which costs more than the call.
//
// The runtime's timers are moved as rarely as can be, because each move wakes the
// thread that waits in the poller. What is set may be over earlier than what was
// asked for; then it is set anew. And writes have a deadline only once they wait.
type socket struct {
	netLink
	raw  syscall.RawConn
	ends time.Time // the deadline of reads that is set; zero: none
}

// newNetLink makes a link of any connection.
func newNetLink(conn net.Conn) link {
	if tcp, ok := conn.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			return &socket{netLink: netLink{conn}, raw: raw}
		}
	}
	return &netLink{conn}
}

func (s *socket) Read(b []byte, deadline time.Time) (int, error) {
	if s.ends.IsZero() || deadline.Before(s.ends) {
		if err := s.expire(deadline); err != nil {
			return 0, err
		}
	}
	for {
		n, err := call(s.raw.Read, unix.SYS_READ, b)
		switch {
		case err == nil && n == 0 && len(b) > 0:
			return 0, io.EOF
		case err == nil || !isTimeout(err) || !s.ends.Before(deadline):
			return n, err
		}
		if err := s.expire(deadline); err != nil {
			return 0, err
		}
	}
}

// expire sets the deadline of reads.
func (s *socket) expire(deadline time.Time) error {
	s.ends = deadline
	return s.conn.SetReadDeadline(deadline)
}

func (s *socket) Write(b []byte) error {
	for len(b) > 0 {
		n, err := call(s.writable, unix.SYS_WRITE, b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// writable calls try until it is true: at once, and then whenever there may be room.
func (s *socket) writable(try func(fd uintptr) bool) error {
	done := false
	err := s.raw.Control(func(fd uintptr) { done = try(fd) })
	if err != nil || done {
		return err
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	return s.raw.Write(try)
}

// call makes the system call on b as soon as the descriptor is ready for it, which
// ready waits for.
func call(ready func(func(fd uintptr) bool) error, number uintptr, b []byte) (n int, err error) {
	failed := ready(func(fd uintptr) bool {
		r, _, no := unix.RawSyscall(number, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch no {
		case 0:
			n = int(r)
		case unix.EAGAIN, unix.EINTR:
			return false
		default:
			err = no
		}
		return true
	})
	if failed != nil {
		return 0, failed
	}
	return n, err
}
