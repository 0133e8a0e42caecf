package modbus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/goburrow/modbus"
)

// bus is an open line with the knowledge of which answers may still be on their
// way. One goroutine owns it. Requests are framed and checked by goburrow's
// client; what travels is ours.
//
// # Late answers
//
// An RTU frame doesn't say which request it answers. After a time-out the answer
// may come at any later time, also in the middle of the next request, and would
// be taken for its answer if it is of the same function and length. Flushing
// can't help. Three things do:
//
//   - the unit is sent nothing for another time-out ([unitState.quietUntil]); other
//     units go on, and frames of another unit than the one asked are dropped;
//   - the bus remembers what it is owed ([unitState.pending]). Until the unit is in
//     step again, only requests are sent whose answer differs in function or length
//     from all that is owed: if need be a probe that reads another number of
//     registers, whose values nobody uses;
//   - a slave answers one request after the other. So once a request that can't be
//     mistaken has its answer, all earlier answers have come or never will.
//
// Modbus TCP numbers its requests and needs none of this.
type bus struct {
	// Static after open.
	wire    wire
	timeout time.Duration
	link    link
	rtu     *rtuTransport // one of the two is nil
	tcp     *tcpTransport
	client  modbus.Client
	unit    *byte // the packager's unit
	release func() bool

	// Owned by the caller.
	units map[byte]*unitState
	begun time.Time // of the last transaction
	ended time.Time
	late  uint64 // answers to earlier requests that were dropped
	used  bool   // an answer has come since the line was opened
}

// unitState is what is known of the answers of one unit.
type unitState struct {
	quietUntil time.Time
	pending    []pendingAnswer
}

type pendingAnswer struct {
	want expectation
	sent time.Time
}

// maxLate is when an answer that was not seen is taken as lost, in time-outs.
const maxLate = 10

// minConnectTimeout is what a host gets to accept the connection.
const minConnectTimeout = 3 * time.Second

// newBus makes the bus of an open line. When ctx ends, what it is doing fails.
// units outlives the bus: answers may come late to a line that was opened again.
func newBus(ctx context.Context, line Line, l link, timeout time.Duration, units map[byte]*unitState) *bus {
	b := &bus{wire: line.wire(), timeout: timeout, link: l, units: units}
	if line.Serial() {
		p := new(rtuPackager)
		b.rtu, b.unit = newRTUTransport(l, b.wire), &p.SlaveId
		b.client = modbus.NewClient2(p, b.rtu)
	} else {
		p := new(tcpPackager)
		b.tcp, b.unit = &tcpTransport{link: l}, &p.SlaveId
		b.client = modbus.NewClient2(p, b.tcp)
	}
	b.release = context.AfterFunc(ctx, l.Interrupt)
	return b
}

func (b *bus) close() {
	b.release()
	b.link.Close()
}

func (b *bus) state(unit byte) *unitState {
	u := b.units[unit]
	if u == nil {
		u = new(unitState)
		b.units[unit] = u
	}
	return u
}

// read reads count registers or bits. The data is as long as asked for, and
// valid until the next request. A unit that is out of step is brought into step
// first.
func (b *bus) read(unit byte, t table, address, count uint16, timeout time.Duration) ([]byte, error) {
	if err := b.resync(unit, t, address, count, timeout); err != nil {
		return nil, err
	}
	return b.request(unit, readExpectation(t, count), timeout, func() ([]byte, error) {
		return b.fetch(t, address, count)
	})
}

func (b *bus) fetch(t table, address, count uint16) ([]byte, error) {
	switch t {
	case coils:
		return b.client.ReadCoils(address, count)
	case discretes:
		return b.client.ReadDiscreteInputs(address, count)
	case holdings:
		return b.client.ReadHoldingRegisters(address, count)
	default:
		return b.client.ReadInputRegisters(address, count)
	}
}

// readFunctions are the function codes that read the tables.
var readFunctions = [...]byte{
	coils:     modbus.FuncCodeReadCoils,
	discretes: modbus.FuncCodeReadDiscreteInputs,
	holdings:  modbus.FuncCodeReadHoldingRegisters,
	inputs:    modbus.FuncCodeReadInputRegisters,
}

func readExpectation(t table, count uint16) expectation {
	bytes := 2 * int(count)
	if t.bits() {
		bytes = (int(count) + 7) / 8
	}
	e, _ := expectData(readFunctions[t], bytes)
	return e
}

// request carries out one transaction: do sends the request and gives its answer.
func (b *bus) request(unit byte, want expectation, timeout time.Duration, do func() ([]byte, error)) ([]byte, error) {
	u := b.state(unit)
	*b.unit = unit
	b.begun = time.Now()
	if b.rtu != nil {
		b.rtu.timeout, b.rtu.inStep = timeout, len(u.pending) == 0
	} else {
		b.tcp.timeout = timeout
	}
	data, err := do()
	b.ended = time.Now()
	b.countLate()
	switch {
	case err == nil:
		b.used = true
		if !u.confuses(&want) {
			u.pending = u.pending[:0] // in step: see the type's comment
		}
	case exceptionOf(err) != 0:
		b.used = true
		if u.refusalPending(want.function()) {
			err = fmt.Errorf("%w: %w", errOutOfStep, errGarbled)
			b.owe(u, want, timeout)
		}
	default:
		if _, broken := errors.AsType[*lineError](err); !broken {
			b.owe(u, want, timeout)
		}
	}
	return data, err
}

func (b *bus) countLate() {
	if b.rtu != nil {
		b.late += uint64(b.rtu.dropped)
		return
	}
	b.late += uint64(b.tcp.dropped)
}

// takeLate gives the number of late answers since it was last asked.
func (b *bus) takeLate() uint64 {
	n := b.late
	b.late = 0
	return n
}

// sent is when the last request was on its way.
func (b *bus) sent() time.Time {
	if b.rtu != nil {
		return b.rtu.sent
	}
	return b.tcp.sent
}

// owe remembers that the answer to a request may still come.
func (b *bus) owe(u *unitState, want expectation, timeout time.Duration) {
	u.quietUntil = b.sent().Add(2 * timeout)
	if b.rtu != nil {
		u.pending = append(u.pending, pendingAnswer{want, b.sent()})
	}
}

// confuses says whether an answer that is owed would pass for the one to want.
func (u *unitState) confuses(want *expectation) bool {
	for i := range u.pending {
		if u.pending[i].want.same(want) {
			return true
		}
	}
	return false
}

// refusalPending says whether an exception of function may be a late one.
func (u *unitState) refusalPending(function byte) bool {
	for i := range u.pending {
		if u.pending[i].want.function() == function {
			return true
		}
	}
	return false
}

// forget drops what is owed for so long that it will not come.
func (u *unitState) forget(before time.Time) {
	for len(u.pending) > 0 && u.pending[0].sent.Before(before) {
		u.pending = u.pending[1:]
	}
}

// resync makes sure that the answer to a read of count can't be mistaken.
func (b *bus) resync(unit byte, t table, address, count uint16, timeout time.Duration) error {
	u := b.state(unit)
	u.forget(time.Now().Add(-maxLate * max(timeout, b.timeout)))
	want := readExpectation(t, count)
	if !u.confuses(&want) {
		return nil
	}
	probe, ok := u.probe(t, address)
	if !ok {
		return fmt.Errorf("%w: %w", errOutOfStep, errNoAnswer)
	}
	_, err := b.request(unit, readExpectation(t, probe), timeout, func() ([]byte, error) {
		return b.fetch(t, address, probe)
	})
	return err
}

// probe is the least number of registers or bits to read whose answer can't be
// mistaken for one that is owed.
func (u *unitState) probe(t table, address uint16) (count uint16, ok bool) {
	step := uint16(1)
	if t.bits() {
		step = 8 // the next count has one byte more
	}
	for n := uint16(1); n <= step*maxProbe && int(address)+int(n) <= 1<<16; n += step {
		if want := readExpectation(t, n); !u.confuses(&want) {
			return n, true
		}
	}
	return 0, false
}

// maxProbe bounds how many registers, or eights of bits, a probe reads.
const maxProbe = 16

// writeBit, writeMask and writeRegisters set a point.
func (b *bus) writeBit(unit byte, address uint16, on bool) error {
	value := uint16(0)
	if on {
		value = 0xFF00
	}
	return b.write(unit, modbus.FuncCodeWriteSingleCoil, address, value, func() ([]byte, error) {
		return b.client.WriteSingleCoil(address, value)
	})
}

// writeMask sets one bit of a register, and leaves it to the device to keep the
// others.
func (b *bus) writeMask(unit byte, address uint16, bit int8, on bool) error {
	and, or := ^(uint16(1) << bit), uint16(0)
	if on {
		or = 1 << bit
	}
	return b.write(unit, modbus.FuncCodeMaskWriteRegister, address, and, func() ([]byte, error) {
		return b.client.MaskWriteRegister(address, and, or)
	})
}

func (b *bus) writeRegisters(unit byte, address uint16, data []byte) error {
	if len(data) == 2 {
		value := binary.BigEndian.Uint16(data)
		return b.write(unit, modbus.FuncCodeWriteSingleRegister, address, value, func() ([]byte, error) {
			return b.client.WriteSingleRegister(address, value)
		})
	}
	count := uint16(len(data) / 2)
	return b.write(unit, modbus.FuncCodeWriteMultipleRegisters, address, count, func() ([]byte, error) {
		return b.client.WriteMultipleRegisters(address, count, data)
	})
}

// write carries out a request whose answer repeats function, address and value.
func (b *bus) write(unit, function byte, address, value uint16, do func() ([]byte, error)) error {
	head := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16([]byte{function}, address), value)
	want, _ := expectEcho(head)
	_, err := b.request(unit, want, b.timeout, do)
	return err
}
