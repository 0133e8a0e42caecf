package modbus

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/weir-edge/weir/adapters"
	"github.com/weir-edge/weir/core"
)

// Lines makes adapters that share their lines: those that name the same serial
// device or the same host take turns on one open line, with one schedule. The
// zero Lines is ready. One goroutine owns it; the adapters may then run on any.
type Lines struct{ trunks map[string]*trunk }

// New makes an adapter. The error is that of [Config.Validate], or that the line
// is in use with other settings.
func (ls *Lines) New(c Config, clock *core.Clock, log *slog.Logger) (*Adapter, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("modbus adapter %s: %w", c.Output.Adapter, err)
	}
	line, _ := c.Line()
	t := ls.trunks[line.Key()]
	if t == nil {
		t = newTrunk(line, clock)
		if ls.trunks == nil {
			ls.trunks = make(map[string]*trunk)
		}
		ls.trunks[line.Key()] = t
	}
	if line != t.line {
		return nil, fmt.Errorf("modbus adapter %s: url (%s): another adapter uses the same line with other settings (%s)", c.Output.Adapter, line, t.line)
	}
	t.timeout = max(t.timeout, cmp.Or(c.Timeout, defaultTimeout))
	return buildAdapter(c, t, log), nil
}

// trunk is a line with the adapters that share it.
//
// One of their goroutines at a time holds the loop and drives it for all; who
// holds it is decided by the baton. When its adapter ends, by a panic too, the
// next one takes over.
type trunk struct {
	// Static once the adapters run.
	line    Line
	timeout time.Duration // the longest of the adapters
	open    func(context.Context) (link, error)
	clock   *core.Clock

	// For everybody.
	commands *inbox[*order]
	errands  *inbox[*errand]
	taps     *taps

	baton chan *loop    // holds the loop while nobody drives it
	wake  chan struct{} // one slot: there is something new for the driver

	mu      sync.Mutex
	joining []*member // guarded by mu
	leaving []*member // guarded by mu
}

func newTrunk(line Line, clock *core.Clock) *trunk {
	t := &trunk{line: line, clock: clock, baton: make(chan *loop, 1), taps: new(taps), wake: make(chan struct{}, 1)}
	t.open = func(ctx context.Context) (link, error) { return line.open(ctx, max(t.timeout, minConnectTimeout)) }
	t.commands, t.errands = newInbox[*order](t.wake, maxCommands), newInbox[*errand](t.wake, maxErrands)
	t.baton <- &loop{trunk: t, units: make(map[byte]*unitState)}
	return t
}

// member is one run of an adapter on its line.
type member struct {
	// Static.
	*Adapter
	report *adapters.Reporter
	batch  bool // one document a round

	gone chan struct{} // closed by the driver: it has let go of the member's devices
}

// join has the devices of m polled from the next turn on.
func (t *trunk) join(m *member) {
	t.mu.Lock()
	t.joining = append(t.joining, m)
	t.mu.Unlock()
	t.poke()
}

func (t *trunk) poke() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// drive runs the loop whenever nobody else does, until ctx ends.
func (t *trunk) drive(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case l := <-t.baton:
			t.driveOnce(ctx, l)
		}
	}
}

func (t *trunk) driveOnce(ctx context.Context, l *loop) {
	defer func() {
		l.close()
		t.baton <- l
	}()
	l.run(ctx)
}

// leave ends what join began; when it returns the devices of m belong to nobody,
// and all its commands are answered.
func (t *trunk) leave(m *member) {
	t.mu.Lock()
	t.leaving = append(t.leaving, m)
	t.mu.Unlock()
	t.poke()
	select {
	case <-m.gone:
	case l := <-t.baton:
		l.admit()
		t.baton <- l
	}
}

// changes gives who came and who went since the last time.
func (t *trunk) changes() (joining, leaving []*member) {
	t.mu.Lock()
	defer t.mu.Unlock()
	joining, leaving = t.joining, t.leaving
	t.joining, t.leaving = nil, nil
	return joining, leaving
}
