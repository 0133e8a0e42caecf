package serial

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/weir-edge/weir/adapters"
	"github.com/weir-edge/weir/adapters/serial/exchange"
	"github.com/weir-edge/weir/core"
)

// errNoLine is the answer to commands that come while the line isn't there.
var errNoLine = errors.New("the serial line is not there")

var errManyCommands = errors.New("too many commands are waiting")

// maxCommands bounds the commands that wait for the line.
const maxCommands = 64

// inbox holds the commands that wait for the line. Commands are put in on the
// bus's goroutines; the adapter's takes them out.
type inbox struct {
	mu    sync.Mutex
	queue []*adapters.Command // guarded by mu
	wake  func()              // of the port that is open; nil: there is none; guarded by mu

	// Owned by the adapter's goroutine.
	current *ask // is on the line, or to be repeated
}

func newInbox() *inbox { return &inbox{} }

// subscribe takes the commands to the points that may be written.
func (i *inbox) subscribe(cfg Config, clock *core.Clock, bus adapters.Bus) (cancel func(), err error) {
	if len(cfg.Writes) == 0 {
		return func() {}, nil
	}
	devices := cfg.Devices
	if len(devices) == 0 {
		devices = []Device{{}}
	}
	var points []adapters.Settable
	for _, w := range cfg.Writes {
		for _, d := range devices {
			points = append(points, adapters.Settable{Device: d.Name, Point: w.Name})
		}
	}
	unsubscribe, err := adapters.SubscribeCommands(bus, cfg.Output, clock, points, i.put)
	if err != nil {
		return nil, err
	}
	return func() {
		unsubscribe()
		i.refuse(errNoLine)
	}, nil
}

// put takes a command from the bus.
func (i *inbox) put(c *adapters.Command) {
	i.mu.Lock()
	wake, full := i.wake, len(i.queue) == maxCommands
	if wake != nil && !full {
		i.queue = append(i.queue, c)
	}
	i.mu.Unlock()
	switch {
	case wake == nil:
		_ = c.Done(errNoLine) // an answer that finds no room is lost
	case full:
		_ = c.Done(errManyCommands)
	default:
		wake()
	}
}

// wakeBy says how the adapter's goroutine is woken; nil: there is no line.
func (i *inbox) wakeBy(wake func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.wake = wake
}

func (i *inbox) waiting() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.queue) > 0
}

func (i *inbox) take() *adapters.Command {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.queue) == 0 {
		return nil
	}
	c := i.queue[0]
	i.queue = i.queue[1:]
	return c
}

// done answers the command that was on the line.
func (i *inbox) done(err error) {
	_ = i.current.command.Done(err) // an answer that finds no room is lost
	i.current = nil
}

// refuse answers all commands that wait.
func (i *inbox) refuse(err error) {
	if i.current != nil {
		i.done(err)
	}
	for c := i.take(); c != nil; c = i.take() {
		_ = c.Done(err)
	}
}

// nextCommand is the next command that can be sent; those that can't are answered.
func (l *line) nextCommand(now time.Time) *ask {
	for c := l.commands.take(); c != nil; c = l.commands.take() {
		a, err := l.cfg.command(c)
		if err == nil {
			err = c.Expired()
		}
		if err != nil {
			_ = c.Done(err)
			continue
		}
		l.commands.current = a
		return a
	}
	return nil
}

// command makes of a command what is sent.
func (c Config) command(cmd *adapters.Command) (*ask, error) {
	for _, w := range c.Writes {
		if w.Name != cmd.Point {
			continue
		}
		if err := w.allows(cmd.Value); err != nil {
			return nil, err
		}
		a := &ask{
			Exchange: &exchange.Exchange{Timeout: w.Timeout, Retries: w.Retries, Pause: w.Pause},
			name:     w.Name, device: cmd.Device, command: cmd,
		}
		v := exchange.Values{Value: cmd.Value}
		for _, d := range c.Devices {
			if d.Name == cmd.Device {
				v.Address = d.Address
			}
		}
		return a, a.fill(w.Send, w.Expect, v)
	}
	return nil, fmt.Errorf("%s can't be written", cmd.Point)
}

// allows checks a value against the bounds, and that it can't smuggle in a
// second command by a control character.
func (w Write) allows(v any) error {
	if s, isText := v.(string); isText {
		for _, r := range s {
			if r < ' ' || r == 0x7f {
				return fmt.Errorf("%s must not have control characters in it", w.Name)
			}
		}
	}
	if w.Min == nil && w.Max == nil {
		return nil
	}
	x, ok := exchange.Number(v)
	if !ok {
		return fmt.Errorf("%s must be a number", w.Name)
	}
	if w.Min != nil && x < *w.Min || w.Max != nil && x > *w.Max {
		return fmt.Errorf("%s (%v) is out of its bounds", w.Name, v)
	}
	return nil
}
