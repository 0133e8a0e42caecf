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
//   - the bus remembers what it is owed ([unitState.pending]). Then the next request
//     is a probe, whose answer differs in function or length from all that is owed:
//     it reads another number of registers, whose values nobody uses;
//   - a slave answers one request after the other. So once a request that can't be
//     mistaken has its answer, all earlier answers have come or never will.
//
// Modbus TCP numbers its requests. There the probe only tells whether it is the
// unit that doesn't answer, or the request that it doesn't like.
type bus struct {
	// Static after open.
	wire     wire
	timeout  time.Duration // the longest of the line's devices
	link     link
	numbered bool      // an answer says which request it answers
	exchange *exchange // of the transport
	handler  modbus.ClientHandler
	client   modbus.Client
	unit     *byte // the packager's unit
	release  func() bool

	// Owned by the caller.
	units map[byte]*unitState
	begun time.Time // of the last transaction
	ended time.Time
	late  uint64 // answers to earlier requests that were dropped
	used  bool   // an answer has come since the line was opened

	probed bool // the last read was preceded by a probe, which was answered
}

// unitState is what is known of the answers of one unit.
type unitState struct {
	quietUntil time.Time
	pending    []pendingAnswer
	good       goodRead
}

// goodRead is the last read that was answered with values.
type goodRead struct {
	table          table
	address, count uint16
}

type pendingAnswer struct {
	want expectation
	sent time.Time
}

// An answer that was not seen is taken as lost after maxLate time-outs, and not
// before minLate.
const (
	maxLate = 10
	minLate = 10 * time.Second
)

// minConnectTimeout is what a host gets to accept the connection.
const minConnectTimeout = 3 * time.Second

// newBus makes the bus of an open line. When ctx ends, what it is doing fails.
// units outlives the bus: answers may come late to a line that was opened again.
func newBus(ctx context.Context, line Line, l link, timeout time.Duration, units map[byte]*unitState, taps *taps) *bus {
	b := &bus{wire: line.wire(), timeout: timeout, link: l, units: units}
	if line.Serial() {
		t := newRTUTransport(l, b.wire)
		h := &rtuHandler{rtuTransport: t, taps: taps}
		b.exchange, b.handler, b.unit = &t.exchange, h, &h.SlaveId
	} else {
		t := &tcpTransport{link: l}
		h := &tcpHandler{tcpTransport: t, taps: taps}
		b.exchange, b.handler, b.unit, b.numbered = &t.exchange, h, &h.SlaveId, true
	}
	b.exchange.meanwhile = func() {}
	b.client = modbus.NewClient(b.handler)
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
	u, want := b.state(unit), readExpectation(t, count)
	if !b.numbered && u.confuses(&want) {
		return nil, errOutOfStep
	}
	data, err := b.request(unit, want, timeout, func() ([]byte, error) {
		return b.fetch(t, address, count)
	})
	if err == nil && t != fifos { // how long its answer is can't be known before
		u.good = goodRead{t, address, count}
	}
	return data, err
}

func (b *bus) fetch(t table, address, count uint16) ([]byte, error) {
	switch t {
	case coils:
		return b.client.ReadCoils(address, count)
	case discretes:
		return b.client.ReadDiscreteInputs(address, count)
	case fifos:
		return b.fetchQueue(address)
	case holdings:
		return b.client.ReadHoldingRegisters(address, count)
	default:
		return b.client.ReadInputRegisters(address, count)
	}
}

// fetchQueue reads a queue, oldest register first. goburrow's own compares the
// counts of the answer wrongly.
//
//	| bytes: 2 | registers: 2 | register … |
func (b *bus) fetchQueue(address uint16) ([]byte, error) {
	answer, err := b.send([]byte{modbus.FuncCodeReadFIFOQueue, byte(address >> 8), byte(address)})
	if err != nil {
		return nil, err
	}
	if len(answer) < 4 || int(binary.BigEndian.Uint16(answer)) != len(answer)-2 || 2*int(binary.BigEndian.Uint16(answer[2:])) != len(answer)-4 {
		return nil, fmt.Errorf("%w: the counts of the queue do not fit", errGarbled)
	}
	return answer[4:], nil
}

// readFunctions are the function codes that read the tables.
var readFunctions = [...]byte{
	coils:     modbus.FuncCodeReadCoils,
	discretes: modbus.FuncCodeReadDiscreteInputs,
	holdings:  modbus.FuncCodeReadHoldingRegisters,
	inputs:    modbus.FuncCodeReadInputRegisters,
	fifos:     modbus.FuncCodeReadFIFOQueue,
}

func readExpectation(t table, count uint16) expectation {
	if t == fifos {
		e, _ := expectAny([]byte{readFunctions[t]})
		return e
	}
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
	b.exchange.timeout, b.exchange.inStep = timeout, len(u.pending) == 0
	data, err := do()
	b.ended = time.Now()
	b.late += uint64(b.exchange.dropped)
	b.settle(u, &want, timeout, err)
	if err != nil && exceptionOf(err) != 0 && len(u.pending) > 0 {
		err = errOutOfStep
	}
	return data, err
}

// settle draws the conclusion from the end of a transaction: the unit is in step,
// or owes an answer.
func (b *bus) settle(u *unitState, want *expectation, timeout time.Duration, err error) {
	refused := exceptionOf(err) != 0
	if err == nil || refused {
		b.used = true
	}
	switch {
	case isLineError(err):
	case err == nil && (b.numbered || !u.confuses(want)),
		refused && (b.numbered || !u.refusalPending(want.function())):
		u.pending = u.pending[:0]
	case err == nil: // the echo of a write that was made twice
	default:
		u.quietUntil = b.ended.Add(timeout)
		if refused || errors.Is(err, errGarbled) {
			u.quietUntil = b.ended // it has spoken
		}
		u.pending = append(u.pending, pendingAnswer{*want, b.exchange.sent})
	}
}

// took is what the last transaction has taken of the line's time, the silence
// before it included.
func (b *bus) took() time.Duration { return b.ended.Sub(b.begun) + b.wire.quiet }

// takeLate gives the number of late answers since it was last asked.
func (b *bus) takeLate() uint64 {
	n := b.late
	b.late = 0
	return n
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

// resync asks a unit that owes answers for something that it has answered before,
// and in such a way that the answer can't be mistaken. If it comes, the unit is
// alive and in step, and it was the earlier request that it doesn't like. A unit
// that has never answered is probed only where its next answer could be mistaken.
func (b *bus) resync(unit byte, t table, address, count uint16, timeout time.Duration) error {
	b.probed = false
	u := b.state(unit)
	u.forget(time.Now().Add(-max(maxLate*b.timeout, minLate)))
	if len(u.pending) == 0 {
		return nil
	}
	if u.good.count > 0 {
		t, address = u.good.table, u.good.address
	} else if want := readExpectation(t, count); b.numbered || !u.confuses(&want) {
		return nil
	}
	probe := uint16(1)
	if !b.numbered {
		probe = u.probe(t, address)
	}
	_, err := b.request(unit, readExpectation(t, probe), timeout, func() ([]byte, error) {
		return b.fetch(t, address, probe)
	})
	switch {
	case isLineError(err), errors.Is(err, errOutOfStep):
		return err
	case unreachable(err):
		return &probeError{err}
	}
	b.probed = true // a refusal is an answer too
	return nil
}

// probeError says that a probe failed, so that the request itself was not sent.
type probeError struct{ cause error }

func (e *probeError) Error() string { return e.cause.Error() }
func (e *probeError) Unwrap() error { return e.cause }

// probe is the least number of registers or bits to read whose answer can't be
// mistaken for one that is owed.
func (u *unitState) probe(t table, address uint16) (count uint16) {
	step := uint16(1)
	if t.bits() {
		step = 8 // the next count has one byte more
	}
	for n := uint16(1); n <= step*maxProbe && int(address)+int(n) <= 1<<16; n += step {
		if want := readExpectation(t, n); !u.confuses(&want) {
			return n
		}
	}
	return 1 // its answer will be of no use, until what is owed is forgotten
}

// maxProbe bounds how many registers, or eights of bits, a probe reads.
const maxProbe = 16
