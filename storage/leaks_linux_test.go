package storage_test

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/storage"
	"github.com/weir-edge/weir/storage/storagetest"
)

// held lists what this process has open or mapped under a directory.
func held(t *testing.T, dir string) (paths []string) {
	t.Helper()
	open, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range open {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, dir) {
			paths = append(paths, to)
		}
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		if i := strings.Index(line, dir); i >= 0 {
			paths = append(paths, strings.TrimSpace(line[i:]))
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// TestFailedOpenings fails openings at all their calls, again and again: nothing of them
// stays open, mapped or running. WEIR_FAULTS=long does it 10,000 times.
func TestFailedOpenings(t *testing.T) {
	times := 120
	if os.Getenv("WEIR_FAULTS") == "long" {
		times = 10_000
	}
	a := makeOriginal(t, true)
	cfg := storage.SmallSegments(storage.Config{Dir: a.dir}, 16<<10)
	running, failed, calls := 0, 0, 40 // about
	for i := range times {
		f := &faults{nth: 1 + i%calls, sticky: true, err: syscall.EIO}
		log, err := storage.Open(storage.Faulty(cfg, f.fail))
		f.end()
		calls = max(calls, len(f.calls))
		if err == nil {
			err = log.Close()
		} else if failed++; !storage.MayHeal(err) {
			t.Fatalf("opening %d, call %d: %v", i, f.nth, err)
		}
		if paths := held(t, a.dir); len(paths) > 0 {
			t.Fatalf("opening %d, with call %d (%s): %v; left: %q", i, f.nth, f.kind, err, paths)
		}
		if i == times/10 {
			running = settledGoroutines()
		}
	}
	if now := settledGoroutines(); now > running+3 {
		t.Errorf("%d goroutines after %d openings, %d after a tenth of them", now, times, running)
	}
	if failed < times/10 {
		t.Errorf("only %d of %d openings have failed", failed, times)
	}
	found, _ := a.opened(t, &faults{})
	if len(found) != len(a.owed) {
		t.Errorf("%d of %d messages are left", len(found), len(a.owed))
	}
	t.Logf("%d of %d openings have failed", failed, times)
}

// settledGoroutines counts what runs when it does not become less any more.
func settledGoroutines() int {
	n := runtime.NumGoroutine()
	for still := 0; still < 20; still++ {
		time.Sleep(5 * time.Millisecond)
		if now := runtime.NumGoroutine(); now < n {
			n, still = now, 0
		}
	}
	return n
}

// TestCloseWithoutRoom: to close needs no room, and leaves what a kill would leave.
func TestCloseWithoutRoom(t *testing.T) {
	a := makeOriginal(t, false)
	var full atomic.Bool
	o := storagetest.NewOwner(t, open(t, storage.Faulty(storage.Config{Dir: a.dir}, func(call string) error {
		if (call == "free" || call == "allocate" || call == "write") && full.Load() {
			return syscall.ENOSPC
		}
		return nil
	})))
	if next, _ := o.Fetch(uplink, 10); len(next) == 0 {
		t.Fatal("nothing is owed")
	}
	o.UntilSettled(o.Append(&core.Message{Topic: "new", QoS: 1}, 0, core.Debt{Receiver: uplink})) // in a new journal
	full.Store(true)
	if err := o.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if paths := held(t, a.dir); len(paths) > 0 {
		t.Errorf("it has %q", paths)
	}
	if found, _ := a.opened(t, &faults{}); len(found) != len(a.owed) {
		t.Errorf("%d of %d messages are left", len(found), len(a.owed))
	}
}
