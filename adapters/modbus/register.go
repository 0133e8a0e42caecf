package modbus

import (
	"fmt"
	"strconv"
	"strings"
)

// table is one of the four address spaces of a device.
type table uint8

const (
	coils table = iota
	discretes
	holdings
	inputs
	fifos // queues of registers, each with an address
)

// tables gives each its names and its place in the 40001 notation.
var tables = [...]struct {
	name string
	lead byte // first digit in the 40001 notation
}{
	coils:     {"coil", '0'},
	discretes: {"discrete", '1'},
	holdings:  {"holding", '4'},
	inputs:    {"input", '3'},
	fifos:     {"fifo", noLead},
}

func (t table) String() string { return tables[t].name }

// bits says whether the table holds single bits rather than registers.
func (t table) bits() bool { return t == coils || t == discretes }

// writable says whether the protocol has a function that writes into the table.
func (t table) writable() bool { return t == coils || t == holdings }

// noLead is of a table that the 40001 notation doesn't have.
const noLead = 0

// noBit is the bit of a register that is taken whole.
const noBit = -1

// register is the place of a point: table, zero-based address, bit.
type register struct {
	table   table
	address uint16
	bit     int8 // 0..15, or noBit
}

// String is the place as it is written in the configuration.
func (r register) String() string {
	s := fmt.Sprintf("%s:%d", r.table, r.address)
	if r.bit != noBit {
		s += fmt.Sprintf(".%d", r.bit)
	}
	return s
}

// parseRegister reads "fifo:10" (a queue, read with function 24),  "holding:10", "holding:10.3" (a bit of a register; 0 is the
// lowest), "input:0x10", or the one-based notation of the manuals: 40011, 30001,
// 10001, 00001, and the same with six digits.
func parseRegister(s string) (register, error) {
	place, bitText, hasBit := strings.Cut(s, ".")
	r := register{bit: noBit}
	var err error
	if name, address, named := strings.Cut(place, ":"); named {
		err = r.parseNamed(name, address)
	} else {
		err = r.parseNumbered(place)
	}
	if err == nil && hasBit {
		err = r.parseBit(bitText)
	}
	if err != nil {
		return register{}, fmt.Errorf("register (%q) must be like input:0, holding:10, holding:10.3, coil:3 or 40011: %w", s, err)
	}
	return r, nil
}

func (r *register) parseNamed(name, address string) error {
	for t := range tables {
		if tables[t].name == name {
			a, err := strconv.ParseUint(address, 0, 16)
			if err != nil {
				return fmt.Errorf("the address %q is no number from 0 to 65535", address)
			}
			r.table, r.address = table(t), uint16(a)
			return nil
		}
	}
	return fmt.Errorf("the table %q is none of coil, discrete, input, holding, fifo", name)
}

func (r *register) parseNumbered(place string) error {
	if len(place) != 5 && len(place) != 6 {
		return fmt.Errorf("%q has neither a table nor five or six digits", place)
	}
	number, err := strconv.ParseUint(place[1:], 10, 32)
	if err != nil || number < 1 || number > 65536 {
		return fmt.Errorf("%q does not count from 1 within its table", place)
	}
	for t := range tables {
		if tables[t].lead == place[0] {
			r.table, r.address = table(t), uint16(number-1)
			return nil
		}
	}
	return fmt.Errorf("the leading digit of %q is none of 0, 1, 3, 4", place)
}

func (r *register) parseBit(text string) error {
	bit, err := strconv.ParseUint(text, 10, 8)
	switch {
	case err != nil || bit > 15:
		return fmt.Errorf("the bit %q is no number from 0 to 15", text)
	case r.table.bits() || r.table == fifos:
		return fmt.Errorf("a %s has no bits", r.table)
	}
	r.bit = int8(bit)
	return nil
}
