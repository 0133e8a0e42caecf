package serialport

import (
	"errors"
	"fmt"
)

// The errors that a caller decides by; test with errors.Is.
var (
	// ErrTimeout: nothing came, or not everything could be sent, in time. The
	// port is as good as before.
	ErrTimeout = errors.New("serial line timed out")
	// ErrGone: the device was unplugged, or the port is closed. Close it and open
	// it again.
	ErrGone = errors.New("serial device is gone")
	// ErrInterrupted: [Port.Interrupt] was called. It is an ErrGone too.
	ErrInterrupted = fmt.Errorf("%w: interrupted", ErrGone)
	// ErrBusy: another process, or another adapter of this one, has the device.
	ErrBusy = errors.New("serial device is busy")
)

// BusyError is an ErrBusy that tells who has the device, where that can be seen.
type BusyError struct {
	Device  string
	PID     int    // 0: unknown
	Process string // its name
	Self    bool   // it is this process
}

func (e *BusyError) Error() string {
	switch {
	case e.Self:
		return e.Device + " is in use by another adapter of this gateway"
	case e.PID != 0:
		return fmt.Sprintf("%s is in use by process %d (%s)", e.Device, e.PID, e.Process)
	}
	return e.Device + " is in use by another process"
}

// Is makes a BusyError an ErrBusy.
func (e *BusyError) Is(target error) bool { return target == ErrBusy }
