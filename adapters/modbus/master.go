package modbus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Master asks devices by hand: what a technician needs before anything is
// configured. One goroutine owns it.
type Master struct {
	bus     *bus
	timeout time.Duration
}

// Dial opens a line. When ctx ends, what is going on fails.
func Dial(ctx context.Context, l Line, timeout time.Duration) (*Master, error) {
	opened, err := l.open(ctx, max(timeout, minConnectTimeout))
	if err != nil {
		return nil, errors.New(plain(err))
	}
	return &Master{newBus(ctx, l, opened, timeout, make(map[byte]*unitState), new(taps)), timeout}, nil
}

// Close gives the line back.
func (m *Master) Close() { m.bus.close() }

// Read reads count registers or bits from a register on, such as "holding:10".
// The data is the caller's.
func (m *Master) Read(unit byte, place string, count int) (data []byte, bits bool, err error) {
	r, err := parseRegister(place)
	if err != nil {
		return nil, false, err
	}
	limit := maxRegisters
	if r.table == fifos {
		count = 1 // a queue: what is in it
	}
	if r.table.bits() {
		limit = maxBits
	}
	if count < 1 || count > limit || int(r.address)+count > 1<<16 {
		return nil, false, fmt.Errorf("count (%d) must be between 1 and %d, and end before address 65536", count, limit)
	}
	b, err := m.bus.read(unit, r.table, r.address, uint16(count), m.timeout)
	if err != nil {
		return nil, false, errors.New(explain(err))
	}
	return append([]byte(nil), b...), r.table.bits(), nil
}

// Write sets a point as a command would, and reads it back. It gives what the
// device then has.
func (m *Master) Write(unit byte, p Point, value any) (got any, err error) {
	p.Name, p.Writable = "p", true
	if errs := p.validate(&Device{}); len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	d := &device{unit: unit, reply: m.timeout}
	q := newPoint(d, &Device{}, &p)
	data, err := q.codec.encode(value)
	if err != nil {
		return nil, err
	}
	address := uint16(q.span.start)
	on := data[0] != 0 || data[1] != 0
	switch {
	case q.span.table.bits():
		err = m.bus.writeBit(unit, address, on, m.timeout)
	case q.register.bit != noBit:
		err = m.bus.writeMask(unit, address, q.register.bit, on, m.timeout)
	case len(data) == 2:
		err = m.bus.writeRegister(unit, address, binary.BigEndian.Uint16(data), m.timeout)
	default:
		err = m.bus.writeRegisters(unit, address, data, m.timeout)
	}
	if err != nil {
		return nil, errors.New(explain(err))
	}
	b, err := m.bus.read(unit, q.span.table, address, uint16(q.span.end-q.span.start), m.timeout)
	if err != nil {
		return nil, fmt.Errorf("written, but it could not be read back: %s", explain(err))
	}
	if q.span.table.bits() {
		return b[0]&1 == 1, nil
	}
	return q.codec.decode(b)
}

// objects are the names of what a device says of itself with function 43/14.
var objects = []string{"vendor", "product code", "revision", "vendor URL", "product", "model", "application"}

// Present says whether a device answers at all: it is asked for one register, and a
// refusal is an answer too.
func (m *Master) Present(unit byte) (bool, error) {
	_, err := m.bus.read(unit, holdings, 0, 1, m.timeout)
	if isLineError(err) {
		return false, errors.New(explain(err))
	}
	return err == nil || exceptionOf(err) != 0 && !unreachable(err), nil
}

// Identify asks a device who it is: with function 43/14, then 17, then with a
// read, which shows only that it is there. alive is true for any answer, also a
// refusal.
func (m *Master) Identify(unit byte) (says []string, alive bool, err error) {
	code, first := byte(1), byte(0)
	for range len(objects) {
		b, err := m.bus.raw(unit, []byte{funcEncapsulated, meiIdentification, code, first}, m.timeout)
		alive = alive || err == nil || exceptionOf(err) != 0
		if err != nil || len(b) < 6 {
			break
		}
		says = append(says, objectsOf(b[6:])...)
		if b[3] == 0 || b[4] <= first {
			break
		}
		first = b[4]
	}
	if len(says) > 0 {
		return says, true, nil
	}
	b, err := m.bus.raw(unit, []byte{funcReportServerID}, m.timeout)
	if err == nil && len(b) > 1 {
		return []string{"server id: " + printable(b[1:])}, true, nil
	}
	alive = alive || exceptionOf(err) != 0
	for _, t := range []table{holdings, inputs} {
		if alive {
			return nil, true, nil
		}
		_, err = m.bus.read(unit, t, 0, 1, m.timeout)
		alive = err == nil || exceptionOf(err) != 0 && !unreachable(err)
	}
	if isLineError(err) {
		return nil, alive, errors.New(explain(err))
	}
	return nil, alive, nil
}

// objectsOf reads id, length, text and so on.
func objectsOf(b []byte) (says []string) {
	for len(b) >= 2 && len(b) >= 2+int(b[1]) {
		name := fmt.Sprintf("object %d", b[0])
		if int(b[0]) < len(objects) {
			name = objects[b[0]]
		}
		says = append(says, name+": "+printable(b[2:2+int(b[1])]))
		b = b[2+int(b[1]):]
	}
	return says
}

// printable is text with dots for what can't be printed.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '.'
		}
		return r
	}, string(b))
}

// Interpretation is one way to understand registers.
type Interpretation struct {
	Type, Order string
	Value       any
	Plausible   bool // a number of a size that instruments show
}

// Interpret understands registers from the first on in all ways: all numeric
// types that fit, in all orders that differ.
func Interpret(data []byte) (all []Interpretation) {
	for k := range kinds {
		if kind(k) == kindBool || kind(k).text() {
			continue
		}
		width := 2 * int(kinds[k].registers)
		if len(data) < width {
			continue
		}
		for _, o := range []Order{ABCD, CDAB, BADC, DCBA} {
			if width == 2 && (o == CDAB || o == DCBA) {
				continue
			}
			c := codec{kind: kind(k), order: orders[o], bit: noBit, scale: newScale(1, 0)}
			v, err := c.decode(data[:width])
			if err != nil {
				continue
			}
			all = append(all, Interpretation{kinds[k].name, string(o), v, plausible(kind(k), v)})
		}
	}
	return all
}

// plausible: a measurement as a fraction is between a thousandth and ten million,
// a whole number of 32 bits and more is below a hundred million.
func plausible(k kind, v any) bool {
	x, ok := asFloat(v)
	if !ok || x == 0 {
		return false
	}
	x = max(x, -x)
	if !k.integer() {
		return x >= 1e-3 && x < 1e7
	}
	return kinds[k].registers == 1 || x < 1e8
}
