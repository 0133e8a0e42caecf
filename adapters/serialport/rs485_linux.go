package serialport

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernelRS485Settings is the kernel's struct serial_rs485.
type kernelRS485Settings struct {
	flags       uint32
	delayBefore uint32 // ms
	delayAfter  uint32 // ms
	_           [5]uint32
}

// Its flags.
const (
	rs485Enabled        = 1 << 0
	rs485RTSOnSend      = 1 << 1
	rs485RTSAfterSend   = 1 << 2
	rs485ReceiveDuring  = 1 << 4
	rs485DelayRoundedUp = time.Millisecond - 1
)

// kernelRS485 asks the driver to move RTS; restore puts back what it did before.
func (c *conn) kernelRS485(r RS485) (restore func(), err error) {
	var before kernelRS485Settings
	if err := c.rs485Ioctl(unix.TIOCGRS485, &before); err != nil {
		return nil, err
	}
	want := r.kernelSettings()
	if err := c.rs485Ioctl(unix.TIOCSRS485, &want); err != nil {
		return nil, err
	}
	return func() { _ = c.rs485Ioctl(unix.TIOCSRS485, &before) }, nil // fails only if the device is gone
}

func (r RS485) kernelSettings() kernelRS485Settings {
	s := kernelRS485Settings{
		flags:       rs485Enabled | rs485RTSOnSend,
		delayBefore: uint32((r.DelayBefore + rs485DelayRoundedUp) / time.Millisecond),
		delayAfter:  uint32((r.DelayAfter + rs485DelayRoundedUp) / time.Millisecond),
	}
	if r.Invert {
		s.flags = rs485Enabled | rs485RTSAfterSend
	}
	if r.Receive {
		s.flags |= rs485ReceiveDuring
	}
	return s
}

func (c *conn) rs485Ioctl(request uintptr, s *kernelRS485Settings) error {
	return c.control(func(fd int) error {
		if _, _, no := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(s))); no != 0 {
			return no
		}
		return nil
	})
}
