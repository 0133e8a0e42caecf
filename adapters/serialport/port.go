package serialport

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// Port is an open serial line.
//
// One goroutine owns a Port and alone calls its methods, Close included. The
// one exception is [Port.Interrupt], which may be called from any goroutine.
type Port struct {
	// Static after Open.
	device   string
	charTime time.Duration
	data     *os.File    // in Go's poller: every byte passes here, and it holds the lock
	line     serial.Port // the library's descriptor of the same line: settings, drain, flush

	// Owned by the owner.
	closed bool

	interrupted atomic.Bool
}

// Open opens and configures the line for the caller's exclusive use. A device
// that somebody else has gives an [ErrBusy], one that isn't there
// an [os.ErrNotExist].
func Open(cfg Config) (*Port, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("open serial line: %w", err)
	}
	// 1. our descriptor, and with it the lock: from here on nobody who asks
	//    before touching the line can disturb it, nor we him.
	data, err := openExclusive(cfg.Device)
	if err != nil {
		return nil, err
	}
	// 2. the library sets the line up, on a descriptor of its own.
	line, err := openLine(cfg, data)
	if err != nil {
		data.Close()
		if pe, ok := errors.AsType[*serial.PortError](err); ok && pe.Code() == serial.PortBusy {
			return nil, busy(cfg.Device)
		}
		return nil, fmt.Errorf("set up %s: %w", cfg.Device, err)
	}
	p := &Port{device: cfg.Device, charTime: cfg.CharTime(), data: data, line: line}
	// 3. the modem lines, where there are any.
	if err := p.setModemLines(cfg); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// openLine lets the library open and configure the device.
func openLine(cfg Config, data *os.File) (serial.Port, error) {
	line, err := serial.Open(cfg.Device, cfg.mode())
	if err != nil {
		return nil, err
	}
	closeOnExec()
	releaseExclusive(data)
	return line, nil
}

func (p *Port) setModemLines(cfg Config) error {
	if cfg.DTR != nil {
		if err := p.SetDTR(*cfg.DTR); err != nil {
			return err
		}
	}
	if cfg.RTS != nil {
		return p.SetRTS(*cfg.RTS)
	}
	return nil
}

// Read waits until at least one byte is there and reads what there is, at most
// len(b). When nothing is there at deadline it returns [ErrTimeout]; the zero
// deadline is for ever, one that is over reads without waiting. A device that was
// unplugged gives [ErrGone]. Read never returns 0 without an error, unless b is
// empty.
func (p *Port) Read(b []byte, deadline time.Time) (int, error) {
	if p.closed {
		return 0, fmt.Errorf("read from %s: %w", p.device, ErrGone)
	}
	if err := p.data.SetReadDeadline(deadline); err != nil {
		return 0, p.fault("read from", err)
	}
	// After the deadline is set, so that Interrupt's own deadline either comes
	// after it and wakes the read, or is seen here.
	if p.interrupted.Load() {
		return 0, fmt.Errorf("read from %s: %w", p.device, ErrInterrupted)
	}
	n, err := p.data.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) && !p.interrupted.Load() {
		n, err = p.readWaiting(b)
	}
	if err != nil {
		return n, p.fault("read from", err)
	}
	return n, nil
}

// readWaiting reads what is there already. The poller refuses once the deadline
// is over, even if bytes came in time and it was only us who were late; taking
// that for silence would end a frame, or fail a request, that is all right.
func (p *Port) readWaiting(b []byte) (n int, err error) {
	failed := control(p.data, func(fd int) error {
		n, err = unix.Read(fd, b)
		return nil
	})
	switch {
	case failed != nil:
		return 0, failed
	case err == unix.EAGAIN || err == unix.EINTR:
		return 0, os.ErrDeadlineExceeded
	case err != nil:
		return 0, err
	case n == 0 && len(b) > 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write gives all of b to the line, or returns an error. It returns when the
// system has taken the bytes; [Port.Drain] waits until they are sent. Where the
// line doesn't take them in about the time that they need on the wire, Write
// gives up with [ErrTimeout], and what was not sent yet never will be.
func (p *Port) Write(b []byte) error {
	if p.closed {
		return fmt.Errorf("write to %s: %w", p.device, ErrGone)
	}
	limit := time.Now().Add(p.sendLimit(len(b)))
	if err := p.data.SetWriteDeadline(limit); err != nil {
		return p.fault("write to", err)
	}
	if p.interrupted.Load() { // see Read
		return fmt.Errorf("write to %s: %w", p.device, ErrInterrupted)
	}
	n, err := p.data.Write(b)
	if err == nil {
		return nil
	}
	err = p.fault("write to", err)
	if errors.Is(err, ErrTimeout) {
		_ = p.line.ResetOutputBuffer() // half a request must not come late
		return fmt.Errorf("%w (%d of %d bytes taken)", err, n, len(b))
	}
	return err
}

// sendLimit is how long sending n more bytes may take: twice the time on the
// wire of these and of those that wait before them, and a second for the rest.
func (p *Port) sendLimit(n int) time.Duration {
	return 2*time.Duration(n+p.unsent())*p.charTime + time.Second
}

// unsent is how many bytes wait in the system to be sent.
func (p *Port) unsent() int {
	n := 0
	_ = control(p.data, func(fd int) (err error) {
		n, err = unix.IoctlGetInt(fd, unix.TIOCOUTQ)
		return err
	})
	return n
}

// Flush discards what was received and not yet read.
func (p *Port) Flush() error {
	if p.closed {
		return fmt.Errorf("flush %s: %w", p.device, ErrGone)
	}
	if err := p.line.ResetInputBuffer(); err != nil {
		return p.fault("flush", err)
	}
	return nil
}

// Drain waits until everything written is on the wire, or returns [ErrTimeout]
// when the line doesn't take it.
func (p *Port) Drain() error {
	if p.closed {
		return fmt.Errorf("drain %s: %w", p.device, ErrGone)
	}
	// The library's Drain has no limit (a USB adapter may stall for good). So wait
	// here until the system's queue is empty; what the hardware holds then goes
	// out in a few characters' time.
	limit := time.Now().Add(p.sendLimit(0))
	for n := p.unsent(); n > 0; n = p.unsent() {
		if p.interrupted.Load() {
			return fmt.Errorf("drain %s: %w", p.device, ErrInterrupted)
		}
		if time.Now().After(limit) {
			return fmt.Errorf("drain %s: %w (%d bytes unsent)", p.device, ErrTimeout, n)
		}
		time.Sleep(min(time.Duration(n)*p.charTime, 20*time.Millisecond))
	}
	if err := p.line.Drain(); err != nil {
		return p.fault("drain", err)
	}
	return nil
}

// SetRTS sets the Request To Send line. A line that has none ignores it.
func (p *Port) SetRTS(on bool) error { return p.setModemLine("rts", on, p.line.SetRTS) }

// SetDTR sets the Data Terminal Ready line. A line that has none ignores it.
func (p *Port) SetDTR(on bool) error { return p.setModemLine("dtr", on, p.line.SetDTR) }

func (p *Port) setModemLine(name string, on bool, set func(bool) error) error {
	if p.closed {
		return fmt.Errorf("set %s of %s: %w", name, p.device, ErrGone)
	}
	err := set(on)
	if err == nil || errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL) {
		return nil // not a real UART
	}
	return p.fault("set "+name+" of", err)
}

// Interrupt makes the Read, Write or Drain that is going on, and every later
// one, return [ErrInterrupted] at once. It may be called from any goroutine and
// does not close the port: that is left to its owner.
func (p *Port) Interrupt() {
	p.interrupted.Store(true)
	_ = p.data.SetDeadline(time.Unix(1, 0)) // fails only once the port is closed
}

// Close gives the line back. What was not sent yet is discarded (see
// [Port.Drain]). A second Close does nothing.
func (p *Port) Close() error {
	if p.closed {
		return nil
	}
	p.closed = true
	// The system's close waits up to 30 s for unsent output; nobody wants it now.
	_ = p.line.ResetOutputBuffer()
	// The lock goes last, so that the next owner finds the line free.
	err := errors.Join(p.line.Close(), p.data.Close())
	if err != nil {
		return fmt.Errorf("close %s: %w", p.device, err)
	}
	return nil
}

// fault turns what the system or the library said into the package's errors.
func (p *Port) fault(doing string, err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && p.interrupted.Load():
		err = ErrInterrupted
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = ErrTimeout
	case isGone(err):
		err = ErrGone
	}
	return fmt.Errorf("%s %s: %w", doing, p.device, err)
}

// isGone says whether err means that the device isn't there any more. A
// hung-up line reads as end of file and writes as EIO.
func isGone(err error) bool {
	if errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) {
		return true
	}
	var no syscall.Errno
	if !errors.As(err, &no) {
		return false
	}
	return no == unix.EIO || no == unix.ENXIO || no == unix.ENODEV || no == unix.EBADF
}
