package main

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// dyingWithTest lets a process not outlive the test that has started it.
func dyingWithTest() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// rateOf is the rate that the other end of a pseudo-terminal has set.
func rateOf(d *os.File) (rate int) {
	c, err := d.SyscallConn()
	if err != nil {
		return 0
	}
	_ = c.Control(func(fd uintptr) { // a failure leaves 0, which fits no device
		if tio, err := unix.IoctlGetTermios(int(fd), unix.TCGETS2); err == nil {
			rate = int(tio.Ospeed)
		}
	})
	return rate
}
