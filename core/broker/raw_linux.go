package broker

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The raw calls do not tell the scheduler that they are made. The descriptors are
// non-blocking, so a call is over before a hand-over between threads would be; to
// tell the scheduler costs a wake-up of its watchdog now and then.

func rawRead(fd int, b []byte) (int, error) { return rawMove(unix.SYS_READ, fd, b) }

func rawWrite(fd int, b []byte) (int, error) { return rawMove(unix.SYS_WRITE, fd, b) }

// rawWritev writes what b and tail have, in this order. b may be empty.
func rawWritev(fd int, b, tail []byte) (int, error) {
	pieces := [2]unix.Iovec{{Base: unsafe.SliceData(b)}, {Base: unsafe.SliceData(tail)}}
	pieces[0].SetLen(len(b))
	pieces[1].SetLen(len(tail))
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&pieces[0])), uintptr(len(pieces)))
		if errno == 0 {
			return int(n), nil
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

func rawMove(call uintptr, fd int, b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for {
		n, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		if errno == 0 {
			return int(n), nil
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// rawAccept takes a connection; its descriptor is non-blocking, too.
func rawAccept(listener int) (fd int, err error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(listener), 0, 0, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

func rawClose(fd int) { unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }
