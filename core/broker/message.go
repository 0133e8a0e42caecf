package broker

import (
	"unsafe"

	"github.com/weir-edge/weir/core"
)

// publication is a message on its way through the broker. There is one, owned by
// the loop and used again for each: what comes from a socket lives in the input
// buffer until somebody has to keep it.
type publication struct {
	message *core.Message
	from    *conn // in whose buffer for incomplete packets the message is, if it is
	kept    bool  // message is on the heap and immutable; otherwise it ends with the packet
	lazy    bool  // its retained state need not be durable with its promise
	passing bool  // its retained state is of this run and is never written
	targets []target
	debts   []core.Debt
	ids     []uint32 // the memory of the targets' identifiers
}

// target is one receiver of the publication.
type target struct {
	to     *endpoint
	qos    core.QoS // granted
	retain bool     // as the receiver must see it
	owed   bool     // durable: the log has it for the receiver
	live   bool     // the receiver is served from memory
	epoch  uint32   // of the receiver when it said so
	ids    []uint32 // subscription identifiers
}

// keep makes the message outlive the packet that it came with. It is the one
// allocation of a message; payload and topic are shared from then on.
func (p *publication) keep() *core.Message {
	switch {
	case p.kept:
	case p.from != nil && p.from.donates(p.message):
		p.message, p.kept = new(*p.message), true
	default:
		p.message, p.kept = keep(p.message), true
	}
	return p.message
}

// donates lets a large message have the memory in which it came, where not too much
// of it is for something else.
func (c *conn) donates(m *core.Message) bool {
	if len(m.Payload) < largePayload || roomy(cap(c.rest), len(m.Payload)) {
		return false
	}
	c.gave = true
	return true
}

// Messages with room for topic and payload behind them, in sizes of the
// allocator: one allocation instead of two.
type (
	message144  struct{ with[[32]byte] }
	message192  struct{ with[[80]byte] }
	message240  struct{ with[[128]byte] }
	message288  struct{ with[[176]byte] }
	message352  struct{ with[[240]byte] }
	message512  struct{ with[[400]byte] }
	message1024 struct{ with[[912]byte] }

	with[A any] struct {
		core.Message
		data A
	}
)

// keep copies a message whose topic and payload alias a buffer. Its properties
// are copies already.
func keep(m *core.Message) *core.Message {
	c, data := allocate(len(m.Topic) + len(m.Payload))
	*c = *m
	n := copy(data, m.Topic)
	c.Topic = unsafe.String(unsafe.SliceData(data), n) // data is never written again
	c.Payload = data[n : n+copy(data[n:], m.Payload) : n+len(m.Payload)]
	return c
}

func allocate(n int) (*core.Message, []byte) {
	switch {
	case n <= 32:
		m := new(message144)
		return &m.Message, m.data[:]
	case n <= 80:
		m := new(message192)
		return &m.Message, m.data[:]
	case n <= 128:
		m := new(message240)
		return &m.Message, m.data[:]
	case n <= 176:
		m := new(message288)
		return &m.Message, m.data[:]
	case n <= 240:
		m := new(message352)
		return &m.Message, m.data[:]
	case n <= 400:
		m := new(message512)
		return &m.Message, m.data[:]
	case n <= 912:
		m := new(message1024)
		return &m.Message, m.data[:]
	}
	return new(core.Message), make([]byte, n)
}

// alias lets s be read as a string for as long as it is not written to.
func alias(s []byte) string { return unsafe.String(unsafe.SliceData(s), len(s)) }
