package modbus

import (
	"cmp"
	"errors"
	"fmt"
)

// validateType checks what depends on the kind of the register.
func (p *Point) validateType(d *Device, r register) (errs []error) {
	c, err := p.codec(d, r)
	if err != nil {
		return []error{err}
	}
	width := c.width()
	limit, order := cmp.Or(d.MaxRegisters, maxRegisters), cmp.Or(p.Order, d.Order)
	switch {
	case r.table.bits() && c.kind != kindBool:
		errs = append(errs, fmt.Errorf("type (%q) must be bool for a %s", p.Type, r.table))
	case r.bit != noBit && c.kind != kindBool:
		errs = append(errs, fmt.Errorf("type (%q) must be bool for a bit of a register", p.Type))
	case int(r.address)+int(width) > 1<<16:
		errs = append(errs, fmt.Errorf("register (%q) leaves no room for the %d registers of type %s", p.Register, width, p.Type))
	case !r.table.bits() && int(width) > limit:
		errs = append(errs, fmt.Errorf("type (%q) needs %d registers, and a request has at most %d", p.Type, width, limit))
	case len(order) == 8 && width != 4:
		errs = append(errs, fmt.Errorf("order (%q) is one of four registers, and type %s has %d", order, cmp.Or(p.Type, kinds[c.kind].name), width))
	}
	if r.table == fifos && (!c.kind.numeric() || len(p.Enum) > 0 || p.Rule.Deadband != 0 || p.Rule.Percent != 0) {
		errs = append(errs, fmt.Errorf("register (%q): a queue has a list of numbers, for which there is no text, enum and deadband", p.Register))
	}
	errs = append(errs, p.validateForm(&c)...)
	if !p.Writable {
		if p.Verify || p.EveryCommand {
			errs = append(errs, errors.New("verify and every_command are for points that are writable"))
		}
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

// maxDigits is how many digits behind the point round may leave.
const maxDigits = 15

// validateForm checks what is done to a value once it is read.
func (p *Point) validateForm(c *codec) (errs []error) {
	if !c.kind.numeric() && (p.Min != nil || p.Max != nil || p.Scale != 0 || p.Offset != 0 || p.Rule.Deadband != 0 || p.Rule.Percent != 0 || p.Round != nil || p.Clamp) {
		errs = append(errs, errors.New("scale, offset, min, max, round, clamp and deadband must not be set: the value is not a number"))
	}
	if p.Round != nil && (*p.Round < 0 || *p.Round > maxDigits) {
		errs = append(errs, fmt.Errorf("round (%d) must be between 0 and %d", *p.Round, maxDigits))
	}
	if p.Clamp && p.Min == nil && p.Max == nil {
		errs = append(errs, errors.New("clamp: it needs min or max"))
	}
	switch p.Pad {
	case "", PadNUL, PadSpace:
	default:
		errs = append(errs, fmt.Errorf("pad (%q) must be nul or space", p.Pad))
	}
	if p.Pad != "" && c.kind != kindString {
		errs = append(errs, fmt.Errorf("pad (%q) is for strings", p.Pad))
	}
	if len(p.Enum) > 0 {
		errs = append(errs, p.validateEnum(c)...)
	}
	return errs
}

// validateEnum: names are for whole numbers, which then aren't scaled; no two
// values have the same name, or a command could mean either.
func (p *Point) validateEnum(c *codec) (errs []error) {
	if !c.kind.integer() || !c.scale.identity() || p.Round != nil || p.Rule.Deadband != 0 || p.Rule.Percent != 0 {
		errs = append(errs, errors.New("enum: names are for whole numbers, without scale, offset, round and deadband"))
	}
	names := make(map[string]bool)
	for value, name := range p.Enum {
		if name == "" || names[name] {
			errs = append(errs, fmt.Errorf("enum: the name (%q) of %d must not be empty or that of another value", name, value))
		}
		names[name] = true
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
		order:  orders[cmp.Or(p.Order, d.Order, ABCD)],
		bit:    r.bit,
		length: length,
		scale:  newScale(p.Scale, p.Offset),
		min:    p.Min,
		max:    p.Max,
		clamp:  p.Clamp,
		round:  p.Round,
		enum:   newEnum(p.Enum),
		pad:    p.Pad,
	}, nil
}
