package broker

import (
	"slices"
	"time"
)

// shelf has memory of large packets that is not in use. New memory for each of them
// would be cleared, filled, found again by the collector, given back to the system
// and taken from it anew, which together is as much work as to receive and to send
// what is in it.
type shelf struct {
	free  [][]byte // the one put there last is the last
	size  int      // of all of them
	timer timer    // rings when nothing was put there for shelfRest
}

const (
	maxShelf  = 4 << 20
	shelfRest = 10 * time.Second
)

// roomy says whether memory of size is too much for n bytes to be kept in it.
func roomy(size, n int) bool { return size > n+n/4 }

// get gives empty memory for a packet of n bytes, nil if there is none. Who gets it
// may have announced more than will come: it is there already.
func (s *shelf) get(n int) []byte {
	for i := len(s.free) - 1; i >= 0; i-- {
		if size := cap(s.free[i]); size >= n && !roomy(size, n) {
			b := s.free[i]
			s.free = slices.Delete(s.free, i, i+1)
			s.size -= size
			return b
		}
	}
	return nil
}

// shelve takes memory that nobody uses any more. What has lain there longest makes room.
func (b *Broker) shelve(memory []byte) {
	s := &b.shelf
	if cap(memory) < largePayload || cap(memory) > maxShelf {
		return
	}
	s.free = append(s.free, memory[:0])
	s.size += cap(memory)
	for s.size > maxShelf {
		s.size -= cap(s.free[0])
		s.free = slices.Delete(s.free, 0, 1)
	}
	b.timers.set(&s.timer, b.now.Add(shelfRest))
}

func (s *shelf) clear(time.Time) { s.free, s.size = nil, 0 }

// loan is the memory of a large packet, from which a payload is being sent to those
// who take it at once. While there are some it cannot be used again.
type loan struct {
	borrowers int
	memory    []byte // set when the packet was handled, if no message has kept it
}

// lends says whether the publication may be sent from where it came in.
func (p *publication) lends() bool { return !p.kept && p.from != nil }

// borrow lets a payload be sent from the memory of the packet that it came in.
func (c *conn) borrow(from *conn) {
	if from.loan == nil {
		from.loan = &loan{}
	}
	c.debt = from.loan
	c.debt.borrowers++
}

// dropTail forgets the payload behind out: it was sent, or will never be.
func (c *conn) dropTail() {
	l := c.debt
	c.tail, c.debt = nil, nil
	if l == nil {
		return
	}
	if l.borrowers--; l.borrowers == 0 {
		c.broker.shelve(l.memory)
	}
}

// handled is called with the memory of a packet that is not needed any more.
func (c *conn) handled(memory []byte) {
	switch {
	case c.gave:
	case c.loan != nil && c.loan.borrowers > 0:
		c.loan.memory = memory
	default:
		c.broker.shelve(memory)
	}
	c.loan = nil
}
