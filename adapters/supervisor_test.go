package adapters

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-edge/weir/core"
)

// scripted is an adapter whose runs are functions.
type scripted struct {
	runs atomic.Int64
	run  func(ctx context.Context, n int64) error // n counts from 1
}

func (s *scripted) Run(ctx context.Context, _ Bus) error { return s.run(ctx, s.runs.Add(1)) }

func (s *scripted) Status() core.AdapterStatus {
	return core.AdapterStatus{State: "running", Errors: map[string]uint64{"timeout": 1}}
}

// supervise runs s in a bubble for d, and gives its status then.
func supervise(t *testing.T, d time.Duration, s *scripted) (status core.AdapterStatus) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		sup := NewSupervisor(slog.New(slog.DiscardHandler), &recorder{}, []Supervised{{"name", "kind", s}})
		done := make(chan error)
		go func() { done <- sup.Run(ctx) }()
		time.Sleep(d - time.Nanosecond)
		synctest.Wait()
		status = sup.Statuses()[0]
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return status
}

func TestSupervisorLeavesGoodAdapterAlone(t *testing.T) {
	s := &scripted{run: func(ctx context.Context, _ int64) error { <-ctx.Done(); return nil }}
	status := supervise(t, 24*time.Hour, s)
	if s.runs.Load() != 1 || status.State != "running" || status.Name != "name" || status.Type != "kind" || status.Errors["restart"] != 0 {
		t.Errorf("%d runs, %+v", s.runs.Load(), status)
	}
}

func TestSupervisorBacksOff(t *testing.T) {
	s := &scripted{run: func(context.Context, int64) error { return errors.New("no such line") }}
	status := supervise(t, time.Hour, s)
	// Waits of 1, 2, 4 … 60 s, each up to a quarter shorter.
	if n := s.runs.Load(); n < 60 || n > 90 {
		t.Errorf("%d runs in an hour", n)
	}
	if status.State != "waiting" || status.Error != "no such line" || status.Errors["restart"] == 0 || status.Errors["timeout"] != 1 {
		t.Errorf("status is %+v", status)
	}
}

func TestSupervisorCatchesPanics(t *testing.T) {
	s := &scripted{run: func(context.Context, int64) error { panic("index out of range") }}
	status := supervise(t, 10*time.Second, s)
	if status.State != "failed" || status.Error != "the adapter panicked: index out of range" || status.Errors["panic"] < 2 {
		t.Errorf("%d runs, %+v", s.runs.Load(), status)
	}
}

func TestSupervisorForgetsOldFailures(t *testing.T) {
	var starts []time.Time
	s := &scripted{run: func(ctx context.Context, n int64) error {
		starts = append(starts, time.Now())
		if n == 10 {
			time.Sleep(stableAfter)
		}
		return nil
	}}
	status := supervise(t, 8*time.Minute, s)
	if len(starts) < 12 {
		t.Fatalf("only %d runs", len(starts))
	}
	if wait := starts[9].Sub(starts[8]); wait < 45*time.Second {
		t.Errorf("wait number 9 was %v, want about a minute", wait)
	}
	if wait := starts[10].Sub(starts[9]) - stableAfter; wait > minBackoff {
		t.Errorf("wait after a stable run was %v, want at most %v", wait, minBackoff)
	}
	if status.Error != errStopped.Error() {
		t.Errorf("status is %+v", status)
	}
}
