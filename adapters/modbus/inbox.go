package modbus

import (
	"errors"
	"slices"
	"sync"

	"github.com/weir-edge/weir/adapters"
)

// inbox holds commands until the loop gets to them. Any goroutine puts, the loop
// takes.
type inbox struct {
	wake chan struct{} // one slot: there is something new

	mu       sync.Mutex
	commands []*adapters.Command // guarded by mu
}

// maxCommands is how many commands may wait.
const maxCommands = 256

var errTooManyCommands = errors.New("too many commands are waiting for this line")

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

func (b *inbox) put(c *adapters.Command) {
	b.mu.Lock()
	full := len(b.commands) >= maxCommands
	if !full {
		b.commands = append(b.commands, c)
	}
	b.mu.Unlock()
	if full {
		_ = c.Done(errTooManyCommands)
		return
	}
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take gives the oldest command that is wanted, nil when there is none.
func (b *inbox) take(wanted func(*adapters.Command) bool) *adapters.Command {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.commands, wanted)
	if i < 0 {
		return nil
	}
	c := b.commands[i]
	b.commands = slices.Delete(b.commands, i, i+1)
	return c
}
