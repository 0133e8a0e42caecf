package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/storage"
)

// liveStore is the store of this gateway while it runs. The store belongs to the
// broker's loop: what is done to it is done there, in small steps.
type liveStore struct {
	broker *broker.Broker
	store  *storage.Log // on the loop only, where it does not say otherwise
	dir    string
}

// How much is looked at in one step, and how often a step is tried again that the
// committer was in the way of.
const (
	lookMessages = 500
	lookBytes    = 512 << 10
	lookTries    = 40
	lookPause    = 50 * time.Millisecond
)

func (s liveStore) receiver(name string) (id core.ReceiverID, owed uint64, err error) {
	known := false
	err = s.broker.Do(func() {
		if id, known = s.broker.Receiver(name); known {
			owed = s.store.Owed(id)
		}
	})
	if err == nil && !known {
		err = errNobody(name)
	}
	return id, owed, err
}

// walk visits what is owed, step by step.
func (s liveStore) walk(ctx context.Context, id core.ReceiverID, visit func([]core.Delivery) (more bool, err error)) error {
	var at storage.Place
	var left unreadError
	for tries := 0; !at.End; {
		seen, err := answer(ctx, s.broker, func(done func(storage.Seen)) {
			s.store.Browse(id, at, lookMessages, lookBytes, done)
		})
		if err != nil {
			return err
		}
		if seen.Err != nil {
			if tries++; tries == lookTries {
				return fmt.Errorf("look at what is owed: %w", seen.Err)
			}
			if err := sleep(ctx, lookPause); err != nil {
				return err
			}
			continue
		}
		tries, at = 0, seen.Next
		left.add(seen.Unread...)
		if more, err := visit(seen.Messages); err != nil || !more {
			return left.after(err)
		}
	}
	return left.after(nil)
}

// answer has ask called on the loop and waits for what is given to done there.
func answer[T any](ctx context.Context, b *broker.Broker, ask func(done func(T))) (v T, err error) {
	came := make(chan T, 1)
	if err := b.Do(func() { ask(func(v T) { came <- v }) }); err != nil {
		return v, err
	}
	select {
	case v := <-came:
		return v, nil
	case <-ctx.Done():
		return v, context.Cause(ctx)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s liveStore) messages(ctx context.Context, name string, most int, visit func(kept, uint64) error) error {
	id, total, err := s.receiver(name)
	if err != nil {
		return err
	}
	n := 0
	return s.walk(ctx, id, func(list []core.Delivery) (bool, error) {
		for _, d := range list {
			n++
			if err := visit(toKept(d.Seq, d.Message), total); err != nil || n == most {
				return false, err
			}
		}
		return true, nil
	})
}

func (s liveStore) keep(ctx context.Context, name string, from io.Reader) (int, error) {
	id, _, err := s.receiver(name)
	if err != nil {
		return 0, err
	}
	return readKept(from, func(group []*core.Message) error { return s.owe(ctx, group, id) })
}

// owe waits until all of a group is kept, or the first of it was refused.
func (s liveStore) owe(ctx context.Context, group []*core.Message, receivers ...core.ReceiverID) error {
	failed, err := answer(ctx, s.broker, func(done func(error)) {
		open := len(group)
		var first error
		for _, m := range group {
			s.broker.Owe(m, receivers, func(err error) {
				if open--; first == nil {
					first = err
				}
				if open == 0 {
					done(first)
				}
			})
		}
	})
	if err != nil {
		return err
	}
	return failed
}

func (s liveStore) drop(ctx context.Context, name string, before time.Time, progress progressFunc) (given, owed uint64, err error) {
	id, total, err := s.receiver(name)
	if err != nil {
		return 0, 0, err
	}
	if before.IsZero() {
		return s.forget(ctx, name, total)
	}
	seen := uint64(0)
	err = s.walk(ctx, id, func(list []core.Delivery) (more bool, err error) {
		more = true
		err = s.broker.Do(func() {
			for _, d := range list {
				if more = d.Message.Received.Time().Before(before); !more {
					return
				}
				if seen++; s.store.GiveUp(id, d.Seq) {
					given++
				}
			}
		})
		progress(seen, total)
		return more, err
	})
	if e := s.broker.Do(func() { owed = s.store.Owed(id) }); err == nil {
		err = e
	}
	return given, owed, err
}

func (s liveStore) forget(ctx context.Context, name string, owed uint64) (given, left uint64, err error) {
	refused, err := answer(ctx, s.broker, func(done func(error)) {
		if err := s.broker.Forget(name, func() { done(nil) }); err != nil {
			done(err)
		}
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		return 0, owed, err
	}
	return owed, 0, nil
}

func (s liveStore) verify(ctx context.Context, progress progressFunc) (storage.Verified, error) {
	type result struct {
		found storage.Verified
		err   error
	}
	r, err := answer(ctx, s.broker, func(done func(result)) {
		s.store.Check(
			func(n, total int) { progress(uint64(n), uint64(total)) },
			func(v storage.Verified, err error) { done(result{v, err}) })
	})
	if err == nil {
		err = r.err
	}
	return r.found, err
}

func (s liveStore) replay(ctx context.Context, aside string, progress progressFunc) (owed, strangers int, err error) {
	err = storage.Salvaged(s.dir, aside, func(m *core.Message, receivers []core.ReceiverID) error {
		err := s.broker.Do(func() { receivers = knownOf(receivers, s.broker.Knows) })
		if err != nil {
			return err
		}
		if len(receivers) == 0 {
			strangers++
			return nil
		}
		owed++
		progress(uint64(owed+strangers), 0)
		return s.owe(ctx, []*core.Message{m}, receivers...)
	})
	return owed, strangers, err
}

func (s liveStore) remove(_ context.Context, aside string) error {
	return s.store.RemoveQuarantined(aside)
}
