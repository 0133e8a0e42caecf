package serialport

import (
	"errors"
	"fmt"
	"time"
)

// RS485 is a line that several share, on which one may send at a time: who sends
// turns its transmitter on and, once the last bit is out, off again.
type RS485 struct {
	// Mode is one of:
	//
	//	off     the hardware does it by itself, as most USB adapters do (the default)
	//	kernel  the driver of the UART moves RTS, to the bit
	//	rts     we move RTS, about a millisecond late
	//	auto    kernel where the driver can, else rts
	Mode        string
	DelayBefore time.Duration // from the transmitter on to the first bit
	DelayAfter  time.Duration // from the last bit to the transmitter off
	Invert      bool          // RTS is off while sending
	Receive     bool          // kernel only: the receiver stays on while sending

	hand bool // we do it
}

// maxRS485Delay is what the kernel allows.
const maxRS485Delay = 100 * time.Millisecond

func (r RS485) validate() error {
	var errs []error
	switch r.Mode {
	case "", "off", "kernel", "rts", "auto":
	default:
		errs = append(errs, fmt.Errorf("rs485 (%q) must be off, kernel, rts or auto", r.Mode))
	}
	for _, d := range []time.Duration{r.DelayBefore, r.DelayAfter} {
		if d < 0 || d > maxRS485Delay {
			errs = append(errs, fmt.Errorf("rs485 delay (%v) must be between 0 and %v", d, maxRS485Delay))
		}
	}
	return errors.Join(errs...)
}

// byHand says whether we move RTS.
func (r RS485) byHand() bool { return r.hand }

// setUpRS485 finds out who moves RTS. What the kernel did before is put back when
// the port is closed: the setting outlives the descriptor.
func (p *Port) setUpRS485(r RS485) error {
	p.rs485 = r
	if r.Mode == "" || r.Mode == "off" {
		return nil
	}
	var err error
	if r.Mode != "rts" {
		var restore func()
		if restore, err = p.data.kernelRS485(r); err == nil {
			p.restore = restore
			return nil
		}
	}
	if r.Mode == "kernel" {
		return fmt.Errorf("%s: its driver does no RS-485 (use rts or auto): %w", p.device, err)
	}
	p.rs485.hand = true
	return nil
}

// writeHalfDuplex turns the transmitter on for b.
func (p *Port) writeHalfDuplex(b []byte) (err error) {
	if err := p.SetRTS(!p.rs485.Invert); err != nil {
		return err
	}
	// Whatever happens, the line is given back to the others.
	defer func() { err = errors.Join(err, p.SetRTS(p.rs485.Invert)) }()
	pause(p.rs485.DelayBefore)
	if err := p.write(b); err != nil {
		return err
	}
	if err := p.Drain(); err != nil {
		return err
	}
	pause(p.rs485.DelayAfter)
	return nil
}

func pause(d time.Duration) {
	if d > 0 {
		time.Sleep(d) // at most maxRS485Delay: not worth an interruption
	}
}
