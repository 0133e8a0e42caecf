package storage_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/storage"
	"github.com/weir-edge/weir/storage/storagetest"
)

// TestTableFailsWhileOpen: the part of a table that the disk does not give any more is
// a fault of memory (SIGBUS), because Badger reads through mappings. It does not end the
// process: the page is lost and counted, and the others are delivered. A table that is
// cut off under its mapping does the same as a bad sector.
func TestTableFailsWhileOpen(t *testing.T) {
	a := makeOriginal(t, false)
	o := storagetest.NewOwner(t, open(t, storage.Config{Dir: a.dir}))
	if next, _ := o.Fetch(uplink, 10); len(next) == 0 {
		t.Fatal("nothing is owed")
	}
	tables, err := filepath.Glob(filepath.Join(a.dir, "q", "*", "*.sst"))
	if err != nil || len(tables) < 2 {
		t.Fatalf("%d tables, %v", len(tables), err)
	}
	if err := os.Truncate(tables[0], 4096); err != nil { // it is open
		t.Fatal(err)
	}
	o.Store.Rewind(uplink)
	found := 0
	for _, d := range o.Drain(uplink, 200) {
		if want := a.owed[d.Seq]; want == nil || !reflect.DeepEqual(want, d.Message) {
			t.Errorf("message %d is another one", d.Seq)
		}
		found++
	}
	lost := len(a.owed) - found
	if lost == 0 || found < len(a.owed)/2 {
		t.Errorf("%d of %d messages are lost", lost, len(a.owed))
	}
	if n := o.Dropped[core.DroppedUnreadable]; n != lost {
		t.Errorf("%d messages are lost, and %d counted", lost, n)
	}
	if n := o.Store.Owed(uplink); n > 0 {
		t.Errorf("%d messages stay owed", n)
	}
	if err := o.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// TestMetaFailsWhileOpen: the same in a copy of the state. The other one takes its part,
// nothing is lost, and the store goes on by itself.
func TestMetaFailsWhileOpen(t *testing.T) {
	for _, name := range []string{"meta-a", "meta-b"} {
		t.Run(name, func(t *testing.T) {
			a := makeOriginal(t, false)
			cfg := storage.SmallSegments(storage.Config{Dir: a.dir}, 16<<10)
			o := storagetest.NewOwner(t, open(t, cfg))
			tables, err := filepath.Glob(filepath.Join(a.dir, name, "*.sst"))
			if err != nil || len(tables) == 0 {
				t.Fatalf("%d tables, %v", len(tables), err)
			}
			for _, table := range tables {
				if err := os.Truncate(table, 0); err != nil {
					t.Fatal(err)
				}
			}
			clock := core.NewClock()
			for i := range 50 { // each reads in meta what it replaces
				c := core.RetainedSaved{Message: &core.Message{Topic: fmt.Sprint("retained/", i), Payload: []byte("new")}}
				a.state[fmt.Sprintf("%T %s", c, "retained/"+fmt.Sprint(i))] = c
				o.Store.Record(c, false)
			}
			for i := range 1500 { // enough to seal segments
				m := telemetry(i, clock)
				seq := o.Append(m, 0, core.Debt{Receiver: uplink})
				a.owed[seq] = m
				if i%50 == 49 {
					o.UntilSettled(seq)
				}
			}
			o.Until("health", func() bool { return o.Store.Status().State == "ok" })
			if err := o.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			o = storagetest.NewOwner(t, open(t, cfg))
			a.compareState(t, o, false)
			if n := len(o.Drain(uplink, 200)); n != len(a.owed) {
				t.Errorf("%d of %d messages", n, len(a.owed))
			}
			if err := o.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

// TestActiveSegmentIsDamaged: the segment that is written on can not be opened again
// after a failed write. What it holds is salvaged at once, not with the next start.
func TestActiveSegmentIsDamaged(t *testing.T) {
	dir, hit := scratch(t), false
	var damage atomic.Bool
	o := storagetest.NewOwner(t, open(t, storage.Faulty(storage.Config{Dir: dir}, func(call string) error {
		if call != "commit" || !damage.CompareAndSwap(true, false) {
			return nil
		}
		manifests, err := filepath.Glob(filepath.Join(dir, "q", "*", "MANIFEST"))
		if err != nil || len(manifests) != 1 {
			return fmt.Errorf("%d manifests, %w", len(manifests), err)
		}
		hit = true
		return errors.Join(os.WriteFile(manifests[0], []byte("what nobody can read"), 0o600), syscall.EIO)
	})))
	o.Store.Record(core.RuleSaved{Name: "uplink", Receiver: uplink}, false)
	clock := core.NewClock()
	fill := func(from, to int) {
		var seqs []core.Seq
		for i := from; i < to; i++ {
			seqs = append(seqs, o.Append(telemetry(i, clock), 0, core.Debt{Receiver: uplink}))
		}
		o.UntilSettled(seqs...)
	}
	fill(0, 300)
	damage.Store(true)
	fill(300, 400)
	if !hit || o.Store.Status().Quarantined != 1 {
		t.Errorf("hit %v, %d in quarantine", hit, o.Store.Status().Quarantined)
	}
	if n := len(o.Drain(uplink, 100)); n != 400 {
		t.Errorf("%d of 400 messages, dropped %v", n, o.Dropped)
	}
	if err := o.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}
