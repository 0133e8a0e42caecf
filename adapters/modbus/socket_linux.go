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
type socket struct {
	netLink
	raw syscall.RawConn
}

// newNetLink makes a link of any connection.
func newNetLink(conn net.Conn) link {
	if tcp, ok := conn.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			return &socket{netLink{conn}, raw}
		}
	}
	return &netLink{conn}
}

func (s *socket) Read(b []byte, deadline time.Time) (int, error) {
	if err := s.conn.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	n, err := call(s.raw.Read, unix.SYS_READ, b)
	if err == nil && n == 0 && len(b) > 0 {
		err = io.EOF
	}
	return n, err
}

func (s *socket) Write(b []byte) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	for len(b) > 0 {
		n, err := call(s.raw.Write, unix.SYS_WRITE, b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
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
