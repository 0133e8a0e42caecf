package porttest

import "syscall"

// reserve binds a socket that never listens. With SO_REUSEADDR on both, which servers
// set so that they can be restarted, a server may bind and listen beside it; but the
// kernel chooses the port for nobody, neither for a bind to port 0 nor for a connect.
func reserve() (port int, release func(), err error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, err
	}
	release = func() { syscall.Close(fd) }
	if port, err = bind(fd); err != nil {
		release()
	}
	return port, release, err
}

func bind(fd int) (port int, err error) {
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return 0, err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, err
	}
	own, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	return own.(*syscall.SockaddrInet4).Port, nil
}
