package storage_test

import (
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/storage"
)

// TestFaultsAtRecovery fails each call of the system while a store is opened that was
// killed, or has to be salvaged as well, once and from then on. The next opening finds
// what an opening without faults finds.
func TestFaultsAtRecovery(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage int64 // bytes that the oldest table lacks
		aside  int   // directories in quarantine
	}{{"after a kill", 0, 0}, {"with a damaged table", 1, 1}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := makeOriginal(t, true)
			if c.damage > 0 {
				tables, err := filepath.Glob(filepath.Join(a.dir, "q", "*", "*.sst"))
				if err != nil || len(tables) == 0 {
					t.Fatalf("%d tables, %v", len(tables), err)
				}
				info, err := os.Stat(tables[0])
				if err != nil {
					t.Fatal(err)
				}
				if err := os.Truncate(tables[0], info.Size()-c.damage); err != nil {
					t.Fatal(err)
				}
			}
			whole, _ := a.opened(t, &faults{})
			if lost := len(a.owed) - len(whole); lost < 0 || lost > 0 && c.damage == 0 {
				t.Fatalf("%d messages are lost without faults", lost)
			}
			for _, sticky := range []bool{false, true} {
				stride := 1
				if sticky {
					stride = 3
				}
				f := &faults{fired: 1}
				for n := 1; f.fired > 0; n += stride {
					f = &faults{nth: n, sticky: sticky, err: syscall.EIO}
					found, aside := a.opened(t, f)
					if !maps.Equal(found, whole) || aside != c.aside {
						t.Fatalf("call %d, %s, sticky %v: %d of %d messages, %d in quarantine", n, f.kind, sticky, len(found), len(whole), aside)
					}
				}
				t.Logf("sticky %v: %d calls", sticky, len(f.calls))
			}
		})
	}
}

// opened opens a copy with faults, and then without, and gives what is owed then.
func (a original) opened(t *testing.T, f *faults) (found map[core.Seq]bool, aside int) {
	t.Helper()
	dir := scratch(t)
	defer os.RemoveAll(dir)
	storage.CloneStore(t, a.dir, dir)
	cfg := storage.SmallSegments(storage.Config{Dir: dir}, 16<<10)
	if o, ok := tryOpen(t, storage.Faulty(cfg, f.fail)); ok {
		f.end() // a store that can not be closed is open still, in this process
		if err := o.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	o, ok := tryOpen(t, cfg)
	if !ok {
		t.Fatalf("does not open after a fault at %s", f.kind)
	}
	defer o.Close()
	a.compareState(t, o, false)
	found = make(map[core.Seq]bool)
	for _, d := range o.Drain(uplink, 500) {
		if a.owed[d.Seq] != nil { // others are repeated
			found[d.Seq] = true
		}
	}
	return found, o.Store.Status().Quarantined
}

// TestMarkerStays: a marker of an opening that can not be removed does not count against
// a directory, however often it is opened.
func TestMarkerStays(t *testing.T) {
	cfg := storage.SmallSegments(storage.Config{Dir: scratch(t)}, 16<<10)
	for range 8 {
		o, ok := tryOpen(t, storage.Removes(cfg, func(name string) error {
			if filepath.Base(name) == "opening" {
				return syscall.EIO
			}
			return os.Remove(name)
		}))
		if !ok {
			t.Fatal("does not open")
		}
		if n := o.Store.Status().Quarantined; n > 0 {
			t.Fatalf("%d directories in quarantine", n)
		}
		if err := o.Close(); err != nil {
			t.Logf("close: %v", err)
		}
	}
}
