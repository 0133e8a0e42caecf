package bridge

import (
	"sync"

	"github.com/weir-edge/weir/core"
)

// event is an answer of the local broker: about a message or about a record.
type event struct {
	message *acceptance // nil: about a record
	batch   core.Ticket // the number of the record
	err     error
	primary bool // the first server is back, says the probe of connection link
	link    int
}

// acceptance is a message of QoS 1 or 2 from the upstream that waits for the
// local broker's promise. It belongs to the owner.
type acceptance struct {
	inlet  *inlet
	pid    uint16 // of QoS 2, else 0
	link   int    // the connection on which it is to be acknowledged
	number core.Seq
	id     string // its weir-id, if it has one
}

// mailbox brings events from the broker's goroutines to the owner.
type mailbox struct {
	wake chan struct{} // has an element when there is something new

	mu     sync.Mutex
	events []event
}

func (m *mailbox) post(e event) {
	m.mu.Lock()
	m.events = append(m.events, e)
	m.mu.Unlock()
	m.poke()
}

// poke makes the owner take a turn.
func (m *mailbox) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// take empties the box.
func (m *mailbox) take() []event {
	m.mu.Lock()
	defer m.mu.Unlock()
	events := m.events
	m.events = nil
	return events
}
