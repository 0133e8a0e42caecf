package broker

import (
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
func (m *mailbox) post(letter func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.postLocked(letter)
}

// offer leaves a letter if there is room.
func (m *mailbox) offer(letter func()) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return core.ErrClosed
	case len(m.letters) >= maxLetters:
		return core.ErrFull
	}
	m.postLocked(letter)
	return nil
}

func (m *mailbox) postLocked(letter func()) bool {
	if m.closed {
		return false
	}
	m.letters = append(m.letters, letter)
	if len(m.letters) == 1 {
		m.wake()
	}
	return true
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
