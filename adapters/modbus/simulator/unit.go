package simulator

import (
	"math"
	"sync"
	"time"
)

// Table is one of the four address spaces of a unit.
type Table uint8

// The tables.
const (
	Coils Table = iota
	Discretes
	Holdings
	Inputs
)

// Unit is one simulated device. Only addresses that were set exist; others are
// answered with exception 2.
type Unit struct {
	mu        sync.Mutex
	cells     [4]map[uint16]cell                          // guarded by mu
	behaviour Behaviour                                   // guarded by mu
	identity  Identity                                    // guarded by mu
	queues    map[uint16][]uint16                         // guarded by mu
	forgets   bool                                        // guarded by mu
	written   func(t Table, address uint16, value uint16) // guarded by mu
}

// cell is a register or bit. Bits are 0 and 1.
type cell struct {
	value   uint16
	compute func(now time.Time) uint16 // nil: value stands
}

// Behaviour is how a unit treats requests in general. The zero Behaviour is a
// device that answers at once.
type Behaviour struct {
	Dead         bool          // it doesn't answer
	Latency      time.Duration // it thinks so long before it answers
	MaxRegisters int           // it refuses to read more at once, with exception 3
	Exception    byte          // it answers everything with this exception
	NoFunction   byte          // it doesn't know this function code
	Ignores      bool          // it keeps silent where others would answer with an exception
}

func newUnit() *Unit {
	u := new(Unit)
	for t := range u.cells {
		u.cells[t] = make(map[uint16]cell)
	}
	return u
}

// Behave sets how the unit behaves from now on.
func (u *Unit) Behave(b Behaviour) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.behaviour = b
}

// Set gives values to the registers or bits from address on.
func (u *Unit) Set(t Table, address uint16, values ...uint16) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i, v := range values {
		u.cells[t][address+uint16(i)] = cell{value: v}
	}
}

// Fill makes count registers or bits from address on exist, as zeros.
func (u *Unit) Fill(t Table, address uint16, count int) {
	u.Set(t, address, make([]uint16, count)...)
}

// Remove takes count registers or bits away again.
func (u *Unit) Remove(t Table, address uint16, count int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := range count {
		delete(u.cells[t], address+uint16(i))
	}
}

// Func computes a register or bit whenever it is read. now is the same for all
// registers of a request. f must not call the unit.
func (u *Unit) Func(t Table, address uint16, f func(now time.Time) uint16) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.cells[t][address] = cell{compute: f}
}

// Float32 computes a number in two registers, the high one first. f must give
// the same for the same time.
func (u *Unit) Float32(t Table, address uint16, f func(now time.Time) float32) {
	u.Func(t, address, func(now time.Time) uint16 { return uint16(math.Float32bits(f(now)) >> 16) })
	u.Func(t, address+1, func(now time.Time) uint16 { return uint16(math.Float32bits(f(now))) })
}

// Forgets has the unit acknowledge writes that it doesn't carry out.
func (u *Unit) Forgets() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.forgets = true
}

// Get is the value that a register or bit has now.
func (u *Unit) Get(t Table, address uint16) uint16 {
	u.mu.Lock()
	defer u.mu.Unlock()
	v, _ := u.getLocked(t, address, time.Now())
	return v
}

// OnWrite is told of each register or bit that a master writes.
func (u *Unit) OnWrite(f func(t Table, address uint16, value uint16)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.written = f
}

func (u *Unit) getLocked(t Table, address uint16, now time.Time) (v uint16, exists bool) {
	c, exists := u.cells[t][address]
	if c.compute != nil {
		return c.compute(now), exists
	}
	return c.value, exists
}

func (u *Unit) current() Behaviour {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.behaviour
}
