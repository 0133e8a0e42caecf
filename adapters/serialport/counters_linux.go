package serialport

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Counters are the errors that the hardware has seen since the system started.
type Counters struct{ Frame, Parity, Overrun int }

// Counters reads the line's counters; ok is false where the driver has none. Frame
// errors that go up are the surest sign of a wrong rate.
func (p *Port) Counters() (c Counters, ok bool) {
	var raw struct {
		_                      [6]int32 // modem lines, bytes
		frame, overrun, parity int32
		_                      [11]int32
	}
	err := p.data.control(func(fd int) error {
		if _, _, no := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGICOUNT, uintptr(unsafe.Pointer(&raw))); no != 0 {
			return no
		}
		return nil
	})
	return Counters{int(raw.frame), int(raw.parity), int(raw.overrun)}, err == nil
}
