package storage_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/storage"
	"github.com/weir-edge/weir/storage/storagetest"
)

// faults fails the n-th call of the system, or all calls of its kind from the
// n-th call on until it is cured.
type faults struct {
	mu     sync.Mutex
	calls  []string
	nth    int
	sticky bool
	err    error
	kind   string // of the calls that fail
	cured  bool
	fired  int
}

func (f *faults) fail(call string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, call)
	if len(f.calls) == f.nth {
		f.kind = call
	} else if !f.sticky || f.kind != call || f.cured {
		return nil
	}
	f.fired++
	return fmt.Errorf("injected at call %d, %s: %w", len(f.calls), call, f.err)
}

func (f *faults) cure() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cured = true
}

// end lets no more calls fail.
func (f *faults) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cured, f.nth = true, 0
}

// TestFaults fails each call of the system of a short life of a store, once and
// for a while, and looks whether anything is lost.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		sticky bool
		err    error
		stride int
	}{
		{"once EIO", false, syscall.EIO, 1},
		{"for a while ENOSPC", true, syscall.ENOSPC, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for n := 1; ; n += c.stride {
				f := &faults{nth: n, sticky: c.sticky, err: c.err}
				life(t, f)
				if t.Failed() {
					t.Fatalf("with call %d failing, %s", n, f.kind)
				}
				if f.fired == 0 {
					t.Logf("%d calls", n-1)
					return
				}
			}
		})
	}
}

// life is the life of a store with faults, and the look at what it has left.
func life(t *testing.T, f *faults) {
	cfg := storage.SmallSegments(storage.Config{Dir: scratch(t)}, 2<<10)
	o, ok := tryOpen(t, storage.Faulty(cfg, f.fail))
	if !ok {
		o, ok = tryOpen(t, cfg)
		if !ok {
			t.Fatal("does not open after a fault at opening")
		}
	}
	l := &lives{t: t, o: o, owed: make(map[core.Seq]bool)}
	l.work(f)
	if err := o.Close(); err != nil && f.fired == 0 {
		t.Errorf("close: %v", err)
	}
	l.look(cfg)
}

func tryOpen(t *testing.T, cfg storage.Config) (*storagetest.Owner, bool) {
	t.Helper()
	var wake <-chan struct{}
	cfg.Notify, wake = storagetest.Waker()
	log, err := storage.Open(cfg)
	if err != nil {
		if !errors.Is(err, syscall.EIO) && !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("open: %v", err)
		}
		return nil, false
	}
	return storagetest.NewOwner(t, storagetest.Opened{Store: log, Wake: wake, Close: log.Close}), true
}

type lives struct {
	t     *testing.T
	o     *storagetest.Owner
	owed  map[core.Seq]bool // settled, and not paid
	state core.Ticket
}

const rounds = 6

// work fills, pays, seals and removes; each part waits until it is settled, so
// that the store must have healed by itself.
func (l *lives) work(f *faults) {
	l.o.Store.Record(core.RuleSaved{Name: "uplink", Receiver: uplink}, false)
	clock := core.NewClock()
	for round := range rounds {
		// A full disk refuses what needs it: that is told elsewhere.
		l.o.Until("room", func() bool {
			if l.o.Store.Status().State != "ok" {
				f.cure()
				return false
			}
			return true
		})
		var seqs []core.Seq
		for i := range 60 {
			seqs = append(seqs, l.o.Append(telemetry(i, clock), 0, core.Debt{Receiver: uplink}))
		}
		l.state = l.o.Store.Record(core.RetainedSaved{Message: &core.Message{Topic: fmt.Sprint(round)}}, false)
		for range 5 { // a few failures, and then the disk is well again
			l.o.Turn()
		}
		f.cure()
		l.o.UntilSettled(seqs...)
		l.o.Until("the state", func() bool { return l.o.Synced >= l.state })
		for _, seq := range seqs {
			l.owed[seq] = true
		}
		next, _ := l.o.Fetch(uplink, 50)
		for _, d := range next {
			delete(l.owed, d.Seq)
			l.o.Paid(uplink, d.Seq)
		}
	}
	l.o.Until("health", func() bool { return l.o.Store.Status().State == "ok" })
}

// look opens the store without faults.
func (l *lives) look(cfg storage.Config) {
	o, ok := tryOpen(l.t, cfg)
	if !ok {
		l.t.Fatal("does not open any more")
	}
	defer o.Close()
	retained := 0
	if err := o.Store.Load(func(c core.Change) {
		if _, ok := c.(core.RetainedSaved); ok {
			retained++
		}
	}); err != nil || retained != rounds {
		l.t.Errorf("state: %d retained messages, %v", retained, err)
	}
	if n := o.Store.Status().Quarantined; n > 0 {
		l.t.Errorf("%d directories in quarantine", n)
	}
	found := make(map[core.Seq]bool)
	var last core.Seq
	for _, d := range o.Drain(uplink, 64) {
		if d.Seq <= last {
			l.t.Errorf("message %d after %d", d.Seq, last)
		}
		last = d.Seq
		found[d.Seq] = true
	}
	for seq := range l.owed {
		if !found[seq] {
			l.t.Errorf("message %d was settled and is lost", seq)
		}
	}
	if repeated := len(found) - len(l.owed); repeated > 64 {
		l.t.Errorf("%d messages are repeated", repeated)
	}
}

// TestTailUsedUp: what does not fit into memory has to wait where the disk takes what
// is written, and is refused where it does not.
func TestTailUsedUp(t *testing.T) {
	var broken atomic.Bool
	cfg := storage.Faulty(storage.Config{Dir: scratch(t), MaxTail: 200_000}, func(call string) error {
		if call == "sync" && broken.Load() {
			return syscall.EIO
		}
		return nil
	})
	o := storagetest.NewOwner(t, open(t, cfg))
	used := func() (err error) {
		for i := 0; err == nil; i++ { // no turn is taken: nothing leaves the tail
			_, _, err = o.Store.Append(noise(i), []core.Debt{{Receiver: bulk}}, 0)
		}
		return err
	}
	if err := used(); !errors.Is(err, core.ErrBusy) || !errors.Is(err, core.ErrFull) {
		t.Errorf("on a disk that is slow: %v", err)
	}
	if o.Store.Refuses() {
		t.Error("a disk that is slow refuses")
	}
	broken.Store(true)
	o.Until("a write to fail", func() bool { return o.Store.Status().State == "failed" })
	if err := used(); errors.Is(err, core.ErrBusy) || !errors.Is(err, core.ErrFull) {
		t.Errorf("on a disk that fails: %v", err)
	}
	o.Until("it to be given up", o.Store.Refuses)
	broken.Store(false)
	o.Until("the tail to be written", func() bool { return o.Store.Status().Held == 0 })
	if _, _, err := o.Store.Append(noise(0), []core.Debt{{Receiver: bulk}}, 0); err != nil {
		t.Errorf("when it was written: %v", err)
	}
	if o.Store.Refuses() {
		t.Error("it refuses still")
	}
}
