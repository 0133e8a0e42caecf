package bridge

import (
	"io"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The descriptors are non-blocking, so these calls are over before the scheduler
// could do anything with having been told of them.

// rawWrite writes what the kernel takes at once: n is 0 when it takes nothing now.
func rawWrite(fd uintptr, b []byte) (n int, err error) {
	n, _, err = rawMove(unix.SYS_WRITE, fd, b)
	return n, err
}

// rawRead reads what is there: n is 0 when that is nothing. io.EOF: there will be
// no more.
func rawRead(fd uintptr, b []byte) (n int, err error) {
	n, later, err := rawMove(unix.SYS_READ, fd, b)
	if n == 0 && !later && err == nil {
		return 0, io.EOF
	}
	return n, err
}

func rawClose(fd int) { _ = unix.Close(fd) }

func rawDuplicate(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3) }

// rawMove moves bytes, of which there must be some; later: not now.
func rawMove(call, fd uintptr, b []byte) (n int, later bool, err error) {
	moved, _, errno := unix.RawSyscall(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	switch errno {
	case 0:
		return int(moved), false, nil
	case syscall.EAGAIN, syscall.EINTR:
		return 0, true, nil
	}
	return 0, false, errno
}
