package modbus

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/weir-edge/weir/adapters"
)

// Config is one bus with its devices. Names are those of the configuration file.
type Config struct {
	Output  adapters.Output // the adapter's name, topic, payload, qos
	URL     string          // see ParseURL
	Every   time.Duration   // period of polling, unless device or point say otherwise; default 1s
	Timeout time.Duration   // how long a device may take to answer; default 1s
	Devices []Device
}

// Device is one unit on the bus.
type Device struct {
	Name  string
	Unit  int           // 1 to 247; over TCP also 0 and 248 to 255
	Every time.Duration // default: the adapter's
	Order Order         // default ABCD

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
	Scale    float64       // value = raw × scale + offset; default 1
	Offset   float64
	Unit     string
	Rule     adapters.Rule // on_change, deadband, heartbeat, min_interval

	Writable bool
	Min, Max *float64 // of the scaled value: readings beyond are out-of-range, commands are refused
}

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
	line, err := ParseURL(c.URL)
	add(err)
	add(validateEvery(c.Every))
	if c.Timeout != 0 && (c.Timeout < minTimeout || c.Timeout > maxTimeout) {
		add(fmt.Errorf("timeout (%v) must be between %v and %v", c.Timeout, minTimeout, maxTimeout))
	}
	if len(c.Devices) == 0 {
		add(errors.New("devices must not be empty"))
	}
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
	add(validateFinite("scale", p.Scale))
	add(validateFinite("offset", p.Offset))
	if p.Min != nil && p.Max != nil && *p.Min > *p.Max {
		add(fmt.Errorf("min (%v) must not be above max (%v)", *p.Min, *p.Max))
	}
	if p.Rule.Deadband < 0 || p.Rule.Heartbeat < 0 || p.Rule.MinInterval < 0 {
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

// validateType checks what depends on the kind of the register.
func (p *Point) validateType(d *Device, r register) (errs []error) {
	c, err := p.codec(d, r)
	if err != nil {
		return []error{err}
	}
	width := c.width()
	limit := cmp.Or(d.MaxRegisters, maxRegisters)
	switch {
	case r.table.bits() && c.kind != kindBool:
		errs = append(errs, fmt.Errorf("type (%q) must be bool for a %s", p.Type, r.table))
	case r.bit != noBit && c.kind != kindBool:
		errs = append(errs, fmt.Errorf("type (%q) must be bool for a bit of a register", p.Type))
	case int(r.address)+int(width) > 1<<16:
		errs = append(errs, fmt.Errorf("register (%q) leaves no room for the %d registers of type %s", p.Register, width, p.Type))
	case !r.table.bits() && int(width) > limit:
		errs = append(errs, fmt.Errorf("type (%q) needs %d registers, and a request has at most %d", p.Type, width, limit))
	}
	if !c.kind.numeric() && (p.Min != nil || p.Max != nil || p.Scale != 0 || p.Offset != 0 || p.Rule.Deadband != 0) {
		errs = append(errs, errors.New("scale, offset, min, max and deadband must not be set: the value is not a number"))
	}
	if !p.Writable {
		return errs
	}
	if !r.table.writable() {
		errs = append(errs, fmt.Errorf("writable: a point of the table %s can only be read", r.table))
	}
	if err := c.writableKind(); err != nil {
		errs = append(errs, fmt.Errorf("writable: %w", err))
	}
	return errs
}

// codec is how the point's registers are to be understood.
func (p *Point) codec(d *Device, r register) (codec, error) {
	kind, length, err := parseKind(p.Type, r)
	if err != nil {
		return codec{}, err
	}
	return codec{
		kind:   kind,
		order:  cmp.Or(p.Order, d.Order, ABCD),
		bit:    r.bit,
		length: length,
		scale:  newScale(p.Scale, p.Offset),
		min:    p.Min,
		max:    p.Max,
	}, nil
}
