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
	data     *conn       // every byte passes here, and it holds the lock
	line     serial.Port // the library's descriptor of the same line: settings, drain, flush
	rs485    RS485       // zero: RTS isn't ours to move
	restore  func()      // what the kernel did for RS-485 before us; never nil

	// Owned by the owner.
	closed bool

	interrupted atomic.Bool
	woken       atomic.Bool
}

// Open opens and configures the line for the caller's exclusive use. A device
// that somebody else has gives an [ErrBusy], one that isn't there
// an [os.ErrNotExist].
func Open(cfg Config) (*Port, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("open serial line: %w", err)
	}
	var err error
	if cfg.Device, err = Resolve(cfg.Device); err != nil {
		return nil, err
	}
	// 1. our descriptor, and with it the lock: from here on nobody who asks
	//    before touching the line can disturb it, nor we him.
	data, err := openExclusive(cfg.Device)
	if err != nil {
		return nil, err
	}
	// 2. RS-485, where the kernel does it, before anything can be sent;
	p := &Port{device: cfg.Device, charTime: cfg.CharTime(), data: data, restore: func() {}}
	if err := p.setUpRS485(cfg.RS485); err != nil {
		data.close()
		return nil, err
	}
	// 3. the library sets the line up, on a descriptor of its own.
	p.line, err = openLine(cfg, data)
	if err != nil {
		p.restore()
		data.close()
		if pe, ok := errors.AsType[*serial.PortError](err); ok && pe.Code() == serial.PortBusy {
			return nil, busy(cfg.Device)
		}
		return nil, fmt.Errorf("set up %s: %w", cfg.Device, err)
	}
	// 4. the modem lines, where there are any.
	if err := p.setModemLines(cfg); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// openLine lets the library open and configure the device.
func openLine(cfg Config, data *conn) (serial.Port, error) {
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
	if p.rs485.byHand() { // listen until there is something to send
		return p.SetRTS(p.rs485.Invert)
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
	if p.interrupted.Load() {
		return 0, fmt.Errorf("read from %s: %w", p.device, ErrInterrupted)
	}
	if err := p.data.setDeadline(deadline); err != nil {
		return 0, p.fault("read from", err)
	}
	for {
		n, err := p.data.read(b)
		if err == nil {
			return n, nil
		}
		if err != unix.EAGAIN {
			return 0, p.fault("read from", err)
		}
		// After the deadline is set, so that what Interrupt and Wake set instead either
		// comes after it and ends the wait, or is seen here.
		if p.interrupted.Load() || p.woken.Swap(false) {
			return 0, p.fault("read from", os.ErrDeadlineExceeded)
		}
		if err := p.data.waitRead(); err != nil {
			return p.lastRead(b, err)
		}
	}
}

// lastRead is for bytes that came in time where it was only us who were late:
// taking that for silence would end a frame, or fail a request, that is all right.
func (p *Port) lastRead(b []byte, failed error) (int, error) {
	if errors.Is(failed, os.ErrDeadlineExceeded) && !p.interrupted.Load() {
		p.woken.Store(false)
		n, err := p.data.read(b)
		if err == nil {
			return n, nil
		}
		if err != unix.EAGAIN {
			failed = err
		}
	}
	return 0, p.fault("read from", failed)
}

// Wake makes the Read that is going on, or the next one, return [ErrTimeout] at
// once, if there is nothing to read. It may be called from any goroutine.
func (p *Port) Wake() {
	p.woken.Store(true)
	p.data.expire()
}

// Rest sleeps for a few milliseconds, in which nothing wakes the process for this
// line: what comes is read at once afterwards. It is for those that read a
// stream.
func (p *Port) Rest(d time.Duration) {
	if !p.closed && d > 0 {
		p.data.rest(d)
	}
}

// Write gives all of b to the line, or returns an error. It returns when the
// system has taken the bytes; [Port.Drain] waits until they are sent. Where the
// line doesn't take them in about the time that they need on the wire, Write
// gives up with [ErrTimeout], and what was not sent yet never will be. With
// RS-485 by hand it waits until they are sent, because the others can't be heard
// before.
func (p *Port) Write(b []byte) error {
	if p.closed {
		return fmt.Errorf("write to %s: %w", p.device, ErrGone)
	}
	if p.rs485.byHand() {
		return p.writeHalfDuplex(b)
	}
	return p.write(b)
}

func (p *Port) write(b []byte) error {
	if p.interrupted.Load() {
		return fmt.Errorf("write to %s: %w", p.device, ErrInterrupted)
	}
	limit := time.Now().Add(p.sendLimit(len(b)))
	for taken := 0; ; {
		n, err := p.data.write(b[taken:])
		if taken += n; taken == len(b) {
			return nil
		}
		if err == nil || err == unix.EAGAIN {
			err = p.waitWrite(limit)
		}
		if err == nil {
			continue
		}
		err = p.fault("write to", err)
		if errors.Is(err, ErrTimeout) {
			_ = p.line.ResetOutputBuffer() // half a request must not come late
			return fmt.Errorf("%w (%d of %d bytes taken)", err, taken, len(b))
		}
		return err
	}
}

// waitWrite waits until the line takes more. A Wake meanwhile is for the next Read.
func (p *Port) waitWrite(limit time.Time) error {
	for {
		if err := p.data.setDeadline(limit); err != nil {
			return err
		}
		if p.interrupted.Load() { // see Read
			return os.ErrDeadlineExceeded
		}
		err := p.data.waitWrite()
		if errors.Is(err, os.ErrDeadlineExceeded) && p.woken.Load() && time.Now().Before(limit) {
			continue
		}
		return err
	}
}

// sendLimit is how long sending n more bytes may take: twice the time on the
// wire of these and of those that wait before them, and a second for the rest.
func (p *Port) sendLimit(n int) time.Duration {
	return 2*time.Duration(n+p.unsent())*p.charTime + time.Second
}

// unsent is how many bytes wait in the system to be sent.
func (p *Port) unsent() int {
	n := 0
	_ = p.data.control(func(fd int) (err error) {
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
	p.data.expire()
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
	p.restore()
	err := errors.Join(p.line.Close(), p.data.close())
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
