//go:build !linux

package porttest

import "net"

// reserve finds a port that is free now; to keep it is known for Linux only.
func reserve() (port int, release func(), err error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, nil, err
	}
	return l.Addr().(*net.TCPAddr).Port, func() {}, l.Close()
}
