package session

import (
	"iter"

	"github.com/weir-edge/weir/core"
)

// Gate holds things back, in order, until the changes that they depend on are synced.
type Gate[T any] struct {
	queue  ring[gated[T]]
	synced core.Ticket
}

type gated[T any] struct {
	ticket core.Ticket
	value  T
}

// Push holds v back until t is synced. Whatever is pushed later leaves later.
func (g *Gate[T]) Push(t core.Ticket, v T) { g.queue.push(gated[T]{t, v}) }

// Synced notes that all changes up to t are durable.
func (g *Gate[T]) Synced(t core.Ticket) { g.synced = max(g.synced, t) }

// Reached says whether changes up to t are durable.
func (g *Gate[T]) Reached(t core.Ticket) bool { return t <= g.synced }

// Pop is the next thing that may leave now.
func (g *Gate[T]) Pop() (T, bool) {
	if g.queue.len() == 0 || g.queue.at(0).ticket > g.synced {
		var none T
		return none, false
	}
	return g.queue.pop().value, true
}

// Len counts what is held back.
func (g *Gate[T]) Len() int { return g.queue.len() }

// All goes over what is held back, in order.
func (g *Gate[T]) All() iter.Seq[T] {
	return func(yield func(T) bool) {
		for i := range g.queue.len() {
			if !yield(g.queue.at(i).value) {
				return
			}
		}
	}
}

// Clear drops what is held back.
func (g *Gate[T]) Clear() { g.queue = ring[gated[T]]{} }

// ring is a queue that takes its memory once and gives it back when it has run
// empty after a burst.
type ring[T any] struct {
	buf  []T // its length is a power of two
	head int
	n    int
}

// What an empty ring keeps, in elements.
const ringKeeps = 64

func (r *ring[T]) len() int { return r.n }

// at is the i-th element from the head.
func (r *ring[T]) at(i int) *T { return &r.buf[(r.head+i)&(len(r.buf)-1)] }

func (r *ring[T]) push(v T) {
	if r.n == len(r.buf) {
		r.grow()
	}
	r.n++
	*r.at(r.n - 1) = v
}

func (r *ring[T]) pop() T {
	var zero T
	v := *r.at(0)
	*r.at(0) = zero // let go of what it points to
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
	if r.n == 0 && len(r.buf) > ringKeeps {
		*r = ring[T]{}
	}
	return v
}

func (r *ring[T]) grow() {
	buf := make([]T, max(4, 2*len(r.buf)))
	for i := range r.n {
		buf[i] = *r.at(i)
	}
	r.buf, r.head = buf, 0
}
