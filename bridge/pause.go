package bridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// switchable lets others pause a bridge. What is owed to it stays owed.
type switchable struct {
	mu     sync.Mutex
	off    bool
	cancel context.CancelFunc // ends the present connection; nil: there is none
	change chan struct{}      // has an element after each change
}

// Pause ends the connection after what is under way, and makes no other.
func (b *Bridge) Pause() { b.power.set(true) }

// Resume ends that.
func (b *Bridge) Resume() { b.power.set(false) }

func (s *switchable) set(off bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.off = off
	if off && s.cancel != nil {
		s.cancel()
	}
	select {
	case s.change <- struct{}{}:
	default:
	}
}

func (s *switchable) isOff() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.off
}

// on waits until the bridge may connect, and gives the context of the connection;
// nil when ctx has ended.
func (b *Bridge) on(ctx context.Context) (context.Context, context.CancelFunc) {
	for {
		b.power.mu.Lock()
		if !b.power.off {
			child, cancel := context.WithCancel(ctx)
			b.power.cancel = cancel
			b.power.mu.Unlock()
			return child, cancel
		}
		b.power.mu.Unlock()
		b.status.paused()
		select {
		case <-b.power.change:
		case <-ctx.Done():
			return nil, nil
		}
	}
}

// ErrNoRule is the answer for a rule that the bridge does not have.
var ErrNoRule = errors.New("no out rule")

// PauseRule keeps back what an out rule would send from now on; what is under way
// goes on. Rules are named by their local filter. What is owed to a paused rule waits,
// and the others go on as if there were nothing.
func (b *Bridge) PauseRule(filter string) error { return b.setRule(filter, true) }

// ResumeRule ends that.
func (b *Bridge) ResumeRule(filter string) error { return b.setRule(filter, false) }

func (b *Bridge) setRule(filter string, paused bool) error {
	found := false
	for _, o := range b.outlets {
		if o.rule.LocalFilter() == filter {
			o.paused.Store(paused)
			found = true
		}
	}
	if !found {
		return fmt.Errorf("bridge %s has %w with the filter %q", b.cfg.Name, ErrNoRule, filter)
	}
	b.events.ring()
	return nil
}
