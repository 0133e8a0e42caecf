package bridge

import (
	"errors"

	"golang.org/x/sys/unix"
)

// rawWrite writes what the kernel takes at once: n is 0 when it takes nothing now.
func rawWrite(fd uintptr, b []byte) (n int, err error) {
	n, err = unix.Write(int(fd), b)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return n, nil
}
