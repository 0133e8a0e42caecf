package serialport

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.bug.st/serial"
)

// Config says which line to open and how. The zero value of each field but
// Device is its default: 9600 baud, 8 data bits, no parity, 1 stop bit.
type Config struct {
	// Device is a path: /dev/ttyUSB0, or better /dev/serial/by-id/…, which names
	// the same adapter after it was plugged in again, or what [Resolve] takes.
	Device   string
	Baud     int    // any rate that the hardware can make; default 9600
	DataBits int    // 5 to 8; default 8
	Parity   string // none, even, odd, mark, space, or their first letter; default none
	StopBits string // 1 or 2; default 1

	// DTR and RTS are what the modem lines are set to once the port is open; nil
	// leaves them as the system sets them, which is on. A line without them (a
	// pseudo-terminal, some USB adapters) ignores the setting.
	DTR, RTS *bool

	RS485 RS485 // default: the line is not shared
}

// Validate returns everything that is wrong with c, joined.
func (c Config) Validate() error {
	var errs []error
	if c.Device == "" {
		errs = append(errs, errors.New("device must be set, such as /dev/ttyUSB0 or /dev/serial/by-id/…"))
	}
	if c.Baud < 0 || c.Baud > maxBaud {
		errs = append(errs, fmt.Errorf("baud (%d) must be between 1 and %d", c.Baud, maxBaud))
	}
	if c.DataBits != 0 && (c.DataBits < 5 || c.DataBits > 8) {
		errs = append(errs, fmt.Errorf("data bits (%d) must be 5, 6, 7 or 8", c.DataBits))
	}
	if _, err := parity(c.Parity); err != nil {
		errs = append(errs, err)
	}
	if _, err := stopBits(c.StopBits); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(append(errs, c.RS485.validate(), validateName(c.Device))...)
}

// maxBaud is beyond every UART and USB adapter known.
const maxBaud = 12_000_000

// CharTime is how long one character is on the wire: start bit, data bits,
// parity and stop bits.
func (c Config) CharTime() time.Duration {
	bits := 1 + cmp.Or(c.DataBits, 8) + 1
	if p, err := parity(c.Parity); err == nil && p != serial.NoParity {
		bits++
	}
	if s, err := stopBits(c.StopBits); err == nil && s == serial.TwoStopBits {
		bits++
	}
	return time.Duration(bits) * time.Second / time.Duration(cmp.Or(c.Baud, defaultBaud))
}

const defaultBaud = 9600

// mode is c in the library's terms; c is valid. InitialStatusBits stays nil,
// because with it Open fails on every line without modem lines.
func (c Config) mode() *serial.Mode {
	p, _ := parity(c.Parity)
	s, _ := stopBits(c.StopBits)
	return &serial.Mode{
		BaudRate: cmp.Or(c.Baud, defaultBaud),
		DataBits: cmp.Or(c.DataBits, 8),
		Parity:   p,
		StopBits: s,
	}
}

func parity(s string) (serial.Parity, error) {
	switch strings.ToLower(s) {
	case "", "n", "none":
		return serial.NoParity, nil
	case "e", "even":
		return serial.EvenParity, nil
	case "o", "odd":
		return serial.OddParity, nil
	case "m", "mark":
		return serial.MarkParity, nil
	case "s", "space":
		return serial.SpaceParity, nil
	}
	return 0, fmt.Errorf("parity (%q) must be none, even, odd, mark or space", s)
}

func stopBits(s string) (serial.StopBits, error) {
	switch s {
	case "", "1":
		return serial.OneStopBit, nil
	case "2":
		return serial.TwoStopBits, nil
	}
	return 0, fmt.Errorf("stop bits (%q) must be 1 or 2 (Linux has no 1.5)", s)
}
