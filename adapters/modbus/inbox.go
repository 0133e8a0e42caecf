package modbus

import (
	"slices"
	"sync"
)

// inbox holds what others want from a line until the loop gets to it. Any
// goroutine puts, the loop takes.
type inbox[T any] struct {
	wake  chan<- struct{} // one slot: there is something new
	limit int

	mu    sync.Mutex
	items []T // guarded by mu
}

// How many commands and other masters' requests may wait.
const (
	maxCommands = 256
	maxErrands  = 32
)

func newInbox[T any](wake chan<- struct{}, limit int) *inbox[T] {
	return &inbox[T]{wake: wake, limit: limit}
}

// put adds x, in the place of the first item that it replaces, which is given
// back. ok is false when there is no room.
func (b *inbox[T]) put(x T, replaces func(T) bool) (old T, replaced, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.IndexFunc(b.items, replaces); i >= 0 {
		old, b.items[i] = b.items[i], x
		return old, true, true
	}
	if len(b.items) >= b.limit {
		return old, false, false
	}
	b.items = append(b.items, x)
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return old, false, true
}

// take gives the oldest item that is wanted.
func (b *inbox[T]) take(wanted func(T) bool) (x T, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.items, wanted)
	if i < 0 {
		return x, false
	}
	x = b.items[i]
	b.items = slices.Delete(b.items, i, i+1)
	return x, true
}
