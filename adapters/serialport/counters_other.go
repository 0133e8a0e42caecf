//go:build !linux

package serialport

// Counters are the errors that the hardware has seen since the system started.
type Counters struct{ Frame, Parity, Overrun int }

// Counters reads the line's counters; here there are none.
func (*Port) Counters() (c Counters, ok bool) { return c, false }
