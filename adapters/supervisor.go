package adapters

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/weir-edge/weir/core"
)

// Supervised is an adapter with the name and type under which it is shown.
type Supervised struct {
	Name    string
	Type    string
	Adapter Adapter
}

// The wait before an adapter is run again starts at minBackoff, doubles up to
// maxBackoff, and starts anew once the adapter has run for stableAfter. Each wait
// is shortened by a random part of up to a quarter, so that adapters that fell
// together don't come back together.
const (
	minBackoff  = 1 * time.Second
	maxBackoff  = 60 * time.Second
	stableAfter = 60 * time.Second
)

// errStopped is what an adapter that returned nil too early has done.
var errStopped = errors.New("the adapter stopped by itself")

// Supervisor runs adapters and runs them again when they fail.
type Supervisor struct {
	adapters []*supervised
	bus      Bus
	log      *slog.Logger
}

// supervised is one adapter with what the supervisor knows of it.
type supervised struct {
	Supervised
	log *slog.Logger

	mu      sync.Mutex
	waiting bool              // for the next run; guarded by mu
	state   string            // while waiting; guarded by mu
	failure string            // of the last run, while waiting; guarded by mu
	since   time.Time         // guarded by mu
	faults  map[string]uint64 // "restart", "panic"; guarded by mu
}

// NewSupervisor makes the supervisor of adapters; Run starts them.
func NewSupervisor(log *slog.Logger, bus Bus, adapters []Supervised) *Supervisor {
	s := &Supervisor{bus: bus, log: log}
	for _, a := range adapters {
		s.adapters = append(s.adapters, &supervised{
			Supervised: a,
			log:        log.With("adapter", a.Name, "type", a.Type),
			waiting:    true,
			state:      "starting",
			since:      time.Now(),
			faults:     make(map[string]uint64),
		})
	}
	return s
}

// Run runs all adapters until ctx ends, and returns nil when all have stopped.
func (s *Supervisor) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, a := range s.adapters {
		all.Go(func() { a.keepRunning(ctx, s.bus) })
	}
	all.Wait()
	return nil
}

// Statuses is a snapshot of all adapters, in the order of the configuration.
func (s *Supervisor) Statuses() []core.AdapterStatus {
	statuses := make([]core.AdapterStatus, len(s.adapters))
	for i, a := range s.adapters {
		statuses[i] = a.status()
	}
	return statuses
}

// Trace looks at the line of the adapter of that name; see [Tracer].
func (s *Supervisor) Trace(name string, tell func(core.Transaction)) (stop func(), err error) {
	for _, a := range s.adapters {
		if a.Name != name {
			continue
		}
		if t, ok := a.Adapter.(Tracer); ok {
			return t.Trace(tell), nil
		}
		return nil, fmt.Errorf("adapter %s is of type %s, which has no trace", name, a.Type)
	}
	return nil, fmt.Errorf("there is no adapter %s", name)
}

func (a *supervised) keepRunning(ctx context.Context, bus Bus) {
	backoff := minBackoff
	for ctx.Err() == nil {
		started := time.Now()
		a.running()
		err := a.runOnce(ctx, bus)
		if ctx.Err() != nil {
			return
		}
		if time.Since(started) >= stableAfter {
			backoff = minBackoff
		}
		wait := backoff - rand.N(backoff/4)
		a.failed(err, wait)
		backoff = min(2*backoff, maxBackoff)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// panicError is a panic of an adapter.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("the adapter panicked: %v", e.value) }

// runOnce runs the adapter and always returns an error.
func (a *supervised) runOnce(ctx context.Context, bus Bus) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{v, debug.Stack()}
		}
	}()
	if err := a.Adapter.Run(ctx, bus); err != nil {
		return err
	}
	return errStopped
}

func (a *supervised) running() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting = false
}

func (a *supervised) failed(err error, wait time.Duration) {
	a.mu.Lock()
	a.waiting, a.state = true, "waiting"
	a.failure, a.since = err.Error(), time.Now()
	a.faults["restart"]++
	p, panicked := errors.AsType[*panicError](err)
	if panicked {
		a.state = "failed"
		a.faults["panic"]++
	}
	a.mu.Unlock()
	if panicked {
		a.log.Error("adapter failed", "error", err, "again_in", wait.Round(time.Millisecond), "stack", string(p.stack))
		return
	}
	a.log.Warn("adapter stopped", "error", err, "again_in", wait.Round(time.Millisecond))
}

// status is the adapter's own view, unless it isn't running.
func (a *supervised) status() core.AdapterStatus {
	s := a.Adapter.Status()
	s.Name, s.Type = a.Name, a.Type
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting {
		s.State, s.Error, s.Since = a.state, a.failure, a.since
	}
	if len(a.faults) > 0 {
		all := maps.Clone(s.Errors)
		if all == nil {
			all = make(map[string]uint64)
		}
		maps.Copy(all, a.faults)
		s.Errors = all
	}
	return s
}
