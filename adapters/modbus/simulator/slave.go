package simulator

import (
	"sync"
	"sync/atomic"
	"time"
)

// Slave is a set of simulated devices. Its methods may be called from any
// goroutine, also while it is served.
type Slave struct {
	mu         sync.Mutex
	units      map[byte]*Unit              // guarded by mu
	faults     func(Request) Fault         // guarded by mu
	undetected func(unit byte, pdu []byte) // guarded by mu

	count counts
}

// Request is what a fault is decided by.
type Request struct {
	Unit     byte
	Function byte
	Address  uint16
}

// Fault is what goes wrong with one answer. The zero Fault is none.
type Fault struct {
	Drop  bool          // it is never sent
	Delay time.Duration // it is sent later, after the unit's own latency

	// On an RTU line only:
	Flip  int    // so many bits of it are turned over
	Cut   int    // so many bytes are missing at its end
	Noise []byte // these bytes come before it
}

// Stats says what a slave has seen.
type Stats struct {
	Requests   uint64        // that a unit was to answer
	Registers  uint64        // or bits, read
	Written    uint64        // registers or bits
	Exceptions uint64        // answers that were exceptions
	BadFrames  uint64        // that were no request
	Violations uint64        // requests that came before t3.5 of silence
	Busy       time.Duration // the wire was in use
}

type counts struct {
	requests, registers, written, exceptions, badFrames, violations atomic.Uint64
	busy                                                            atomic.Int64
}

// New makes a slave without units.
func New() *Slave {
	return &Slave{units: make(map[byte]*Unit)}
}

// Unit is the unit with this id; it is made when it is first asked for.
func (s *Slave) Unit(id byte) *Unit {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.units[id]
	if u == nil {
		u = newUnit()
		s.units[id] = u
	}
	return u
}

// Faults sets the function that is asked, for each answer, what goes wrong with
// it. It may be called from several goroutines at once. nil ends the faults.
func (s *Slave) Faults(decide func(Request) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = decide
}

// Undetected sets the function that is told of each answer which is another after
// bits of it were turned over, and whose checksum fits again: no receiver can see
// that. It may be called from several goroutines at once.
func (s *Slave) Undetected(tell func(unit byte, pdu []byte)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.undetected = tell
}

// tellUndetected tells that body, unit and PDU, was sent in the place of another.
func (s *Slave) tellUndetected(body []byte) {
	s.mu.Lock()
	tell := s.undetected
	s.mu.Unlock()
	if tell != nil {
		tell(body[0], body[1:])
	}
}

// Stats is a snapshot.
func (s *Slave) Stats() Stats {
	c := &s.count
	return Stats{
		Requests:   c.requests.Load(),
		Registers:  c.registers.Load(),
		Written:    c.written.Load(),
		Exceptions: c.exceptions.Load(),
		BadFrames:  c.badFrames.Load(),
		Violations: c.violations.Load(),
		Busy:       time.Duration(c.busy.Load()),
	}
}

// find is the unit that answers to id, nil when there is none.
func (s *Slave) find(id byte) *Unit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.units[id]
}

// fault is what goes wrong with the answer to pdu.
func (s *Slave) fault(unit byte, pdu []byte) Fault {
	s.mu.Lock()
	decide := s.faults
	s.mu.Unlock()
	if decide == nil {
		return Fault{}
	}
	r := Request{Unit: unit, Function: pdu[0]}
	if len(pdu) >= 3 {
		r.Address = uint16(pdu[1])<<8 | uint16(pdu[2])
	}
	return decide(r)
}
