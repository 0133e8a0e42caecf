package broker

import (
	"math"
	"sync"

	"github.com/weir-edge/weir/core"
)

// mailbox is how other goroutines reach the loop: letters are functions that the
// loop calls. They are taken a batch at a time, and only the first of a batch
// wakes the loop up.
type mailbox struct {
	wake func() // static

	mu      sync.Mutex
	letters []func()
	closed  bool

	spare []func() // owned by the loop: the batch before, to be filled again
}

// maxLetters bounds what publishers inside the process may leave in the mailbox.
// Letters that are needed to go on (acknowledgements, events of connections) are
// bounded by their senders, which wait for the answer, and are always taken.
const maxLetters = 1 << 15

// post leaves a letter. False: the broker has stopped, nobody will read it.
func (m *mailbox) post(letter func()) bool { return m.leave(letter, math.MaxInt) == nil }

// offer leaves a letter if there is room.
func (m *mailbox) offer(letter func()) error { return m.leave(letter, maxLetters) }

// leave wakes the loop up after it has let go of the lock, which is the first thing
// that the loop will want.
func (m *mailbox) leave(letter func(), limit int) error {
	first, err := m.add(letter, limit)
	if first {
		m.wake()
	}
	return err
}

func (m *mailbox) add(letter func(), limit int) (first bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return false, core.ErrClosed
	case len(m.letters) >= limit:
		return false, core.ErrFull
	}
	m.letters = append(m.letters, letter)
	return len(m.letters) == 1, nil
}

// open reads all letters that are there. Called by the loop.
func (m *mailbox) open() {
	m.mu.Lock()
	batch := m.letters
	m.letters = m.spare
	m.mu.Unlock()
	for i, letter := range batch {
		letter()
		batch[i] = nil
	}
	m.spare = batch[:0]
}

// close refuses letters from now on.
func (m *mailbox) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
}
