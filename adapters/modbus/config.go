package modbus

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/weir-edge/weir/adapters"
	"github.com/weir-edge/weir/adapters/serialport"
)

// Config is one bus with its devices. Names are those of the configuration file.
type Config struct {
	Output  adapters.Output  // the adapter's name, topic, payload, qos
	URL     string           // see ParseURL
	TLS     TLS              // of a tls:// line
	RS485   serialport.RS485 // of a serial line, where the URL says too little
	Every   time.Duration    // period of polling, unless device or point say otherwise; default 1s
	Timeout time.Duration    // how long a device may take to answer; default 1s
	Devices []Device
	Proxy   Proxy
}

// Line is where c's devices are.
func (c *Config) Line() (Line, error) {
	l, err := ParseURL(c.URL)
	if err != nil {
		return l, err
	}
	l.TLS = c.TLS
	if (c.RS485 == serialport.RS485{}) {
		return l, nil
	}
	switch {
	case !l.Local():
		return l, fmt.Errorf("rs485: only a serial port of this machine has a direction, and this line is %s", l.Scheme)
	case l.Port.RS485.Mode != "":
		return l, errors.New("rs485: it is in the url already")
	}
	l.Port.RS485 = c.RS485
	if err := l.Port.Validate(); err != nil {
		return l, fmt.Errorf("rs485: %w", err)
	}
	return l, nil
}

// Device is one unit on the bus.
type Device struct {
	Name  string
	Unit  int           // 1 to 247; over TCP also 0 and 248 to 255
	Every time.Duration // default: the adapter's
	Phase time.Duration // its polls begin so much later than those of others; default 0
	Order Order         // default ABCD

	Timeout   time.Duration // default: the adapter's
	Write     WriteMode     // default auto
	BitWrites BitMode       // default mask

	MaxRegisters int  // in one request; default 125
	MaxBits      int  // in one request; default 2000
	MaxGap       *int // registers between two points that may be read along; default: as many as pay on this line
	Points       []Point
}

// Point is one value of a device.
type Point struct {
	Name     string
	Register string        // input:0, holding:10, holding:10.3, coil:3, discrete:1, or 30001 …
	Type     string        // see Types; default uint16, bool for bits
	Order    Order         // default: the device's
	Every    time.Duration // default: the device's
	Phase    time.Duration // default: the device's
	Scale    float64       // value = raw × scale + offset; default 1
	Offset   float64
	Round    *int             // digits behind the point; default: as they come
	Enum     map[int64]string // names of values
	Pad      Padding          // of a string; default nul
	Unit     string
	Rule     adapters.Rule // on_change, deadband, heartbeat, min_interval

	Writable     bool
	Verify       bool     // read back what was written
	EveryCommand bool     // also those that a later one supersedes
	Min, Max     *float64 // of the scaled value: readings beyond are out-of-range, commands are refused
	Clamp        bool     // readings beyond Min and Max become these
}

// WriteMode says with which functions a device's points are written.
type WriteMode string

// The modes of writing.
const (
	WriteAuto      WriteMode = "auto"       // 5 and 6 for one, 15 and 16 for several or where the device knows no other
	WriteMultiple  WriteMode = "multiple"   // 15 and 16
	WriteReadWrite WriteMode = "read-write" // 23, which gives the registers back; 15 for coils
)

// BitMode says how a bit of a register is written.
type BitMode string

// The modes of writing a bit.
const (
	BitsMask    BitMode = "mask"    // with function 22, by the device itself
	BitsRewrite BitMode = "rewrite" // the register is read and written back, for devices without function 22
)

// The defaults.
const (
	defaultEvery   = time.Second
	defaultTimeout = time.Second
)

// The limits of the protocol, and ours.
const (
	maxRegisters      = 125 // in one read request
	maxWriteRegisters = 123
	maxBits           = 2000
	minEvery          = time.Millisecond
	maxEvery          = 31 * 24 * time.Hour
	minTimeout        = time.Millisecond
	maxTimeout        = time.Minute
)

// Validate returns everything that is wrong with c, joined; each names the
// device and the point.
func (c Config) Validate() error {
	var errs []error
	add := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	add(c.Output.Validate())
	line, err := c.Line()
	add(err)
	if line.Scheme != "" {
		add(c.TLS.validate(line.Scheme))
	}
	add(validateEvery(c.Every))
	add(validateTimeout(c.Timeout))
	if len(c.Devices) == 0 && c.Proxy.Address == "" {
		add(errors.New("devices must not be empty"))
	}
	add(c.Proxy.validate())
	names := make(map[string]bool)
	for i := range c.Devices {
		d := &c.Devices[i]
		label := cmp.Or(d.Name, fmt.Sprintf("number %d", i+1))
		for _, err := range d.validate(line) {
			add(fmt.Errorf("device %s: %w", label, err))
		}
		if names[d.Name] {
			add(fmt.Errorf("device %s: the name is given twice", label))
		}
		names[d.Name] = true
	}
	add(c.validateTopics())
	return errors.Join(errs...)
}

// validateTopics refuses points that could not be told apart: the command to one
// would be a command to another.
func (c *Config) validateTopics() error {
	var errs []error
	topics := make(map[string]string)
	for _, d := range c.Devices {
		for _, p := range d.Points {
			if !p.Writable {
				continue
			}
			label, topic := d.Name+"/"+p.Name, c.Output.PointTopic(d.Name, p.Name)
			if other, taken := topics[topic]; taken && other != label {
				errs = append(errs, fmt.Errorf("device %s: point %s: writable, but its topic %s is that of %s too", d.Name, p.Name, topic, other))
			}
			topics[topic] = label
		}
	}
	return errors.Join(errs...)
}

func validateEvery(every time.Duration) error {
	if every != 0 && (every < minEvery || every > maxEvery) {
		return fmt.Errorf("every (%v) must be between %v and %v", every, minEvery, maxEvery)
	}
	return nil
}

func validateTimeout(timeout time.Duration) error {
	if timeout != 0 && (timeout < minTimeout || timeout > maxTimeout) {
		return fmt.Errorf("timeout (%v) must be between %v and %v", timeout, minTimeout, maxTimeout)
	}
	return nil
}

func validatePhase(phase time.Duration) error {
	if phase < 0 || phase > maxEvery {
		return fmt.Errorf("phase (%v) must be between 0 and %v", phase, maxEvery)
	}
	return nil
}

// validateModes checks how points are written.
func (d *Device) validateModes() error {
	switch d.Write {
	case "", WriteAuto, WriteMultiple, WriteReadWrite:
	default:
		return fmt.Errorf("write_with (%q) must be auto, multiple or read-write", d.Write)
	}
	switch d.BitWrites {
	case "", BitsMask, BitsRewrite:
		return nil
	}
	return fmt.Errorf("bit_writes (%q) must be mask or rewrite", d.BitWrites)
}

func (d *Device) validate(line Line) (errs []error) {
	add := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	if d.Name == "" {
		add(errors.New("name must not be empty"))
	}
	add(d.validateUnit(line))
	add(d.Order.validate())
	add(validateEvery(d.Every))
	add(validatePhase(d.Phase))
	add(validateTimeout(d.Timeout))
	add(d.validateModes())
	if d.MaxRegisters < 0 || d.MaxRegisters > maxRegisters {
		add(fmt.Errorf("max_registers (%d) must be between 1 and %d", d.MaxRegisters, maxRegisters))
	}
	if d.MaxBits < 0 || d.MaxBits > maxBits {
		add(fmt.Errorf("max_bits (%d) must be between 1 and %d", d.MaxBits, maxBits))
	}
	if d.MaxGap != nil && (*d.MaxGap < 0 || *d.MaxGap > maxBits) {
		add(fmt.Errorf("max_gap (%d) must be between 0 and %d", *d.MaxGap, maxBits))
	}
	if len(d.Points) == 0 {
		add(errors.New("points must not be empty"))
	}
	names := make(map[string]bool)
	for i := range d.Points {
		p := &d.Points[i]
		label := cmp.Or(p.Name, fmt.Sprintf("number %d", i+1))
		for _, err := range p.validate(d) {
			add(fmt.Errorf("point %s: %w", label, err))
		}
		if names[p.Name] {
			add(fmt.Errorf("point %s: the name is given twice", label))
		}
		names[p.Name] = true
	}
	return errs
}

// validateUnit: 0 is the broadcast of a serial line, which nobody answers; over
// TCP it and 255 often mean the device itself.
func (d *Device) validateUnit(line Line) error {
	low, high := 1, 247
	if !line.Serial() {
		low, high = 0, 255
	}
	if d.Unit < low || d.Unit > high {
		return fmt.Errorf("unit (%d) must be between %d and %d", d.Unit, low, high)
	}
	return nil
}

func (p *Point) validate(d *Device) (errs []error) {
	add := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	if p.Name == "" {
		add(errors.New("name must not be empty"))
	}
	add(p.Order.validate())
	add(validateEvery(p.Every))
	add(validatePhase(p.Phase))
	add(validateFinite("scale", p.Scale))
	add(validateFinite("offset", p.Offset))
	if p.Min != nil && p.Max != nil && *p.Min > *p.Max {
		add(fmt.Errorf("min (%v) must not be above max (%v)", *p.Min, *p.Max))
	}
	if p.Rule.Deadband < 0 || p.Rule.Percent < 0 || p.Rule.Heartbeat < 0 || p.Rule.MinInterval < 0 {
		add(errors.New("deadband, heartbeat and min_interval must not be negative"))
	}
	r, err := parseRegister(p.Register)
	if err != nil {
		return append(errs, err)
	}
	return append(errs, p.validateType(d, r)...)
}

func validateFinite(name string, x float64) error {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return fmt.Errorf("%s (%v) must be a finite number", name, x)
	}
	return nil
}
