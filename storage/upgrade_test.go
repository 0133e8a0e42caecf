package storage_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/storage"
	"github.com/weir-edge/weir/storage/storagetest"
)

// TestUpgrade kills the upgrade of a store, over two formats, between any two of its
// steps. The program of the new version always opens what that leaves, and has each
// step done once. That of the old version opens it with what it had, and leaves it so
// that the new one can go on; or it refuses, and changes nothing.
func TestUpgrade(t *testing.T) {
	base := scratch(t)
	cfg := storage.Config{Dir: filepath.Join(base, "live")}
	cfg, clone := storage.Crashable(cfg)
	o := storagetest.NewOwner(t, open(t, cfg))
	o.Store.Record(core.RuleSaved{Name: "uplink", Receiver: uplink}, false)
	owed := []core.Seq{}
	for i := range 20 {
		m := &core.Message{Topic: fmt.Sprintf("state/%d", i%5), Payload: []byte("old")}
		o.Store.Record(core.RetainedSaved{Message: m}, false)
		owed = append(owed, o.Append(noise(i), 0, core.Debt{Receiver: uplink}))
	}
	o.UntilSettled(owed...)
	old := filepath.Join(base, "old")
	clone(t, old) // not closed: there are pages above the checkpoint

	var steps, kills []string
	done := false
	work := filepath.Join(base, "upgraded")
	storage.CloneStore(t, old, work)
	later := storage.AtStep(storage.Config{Dir: work}, func(name string) {
		if done { // the workers have begun
			return
		}
		done = name == "upgrade: done"
		kills = append(kills, filepath.Join(base, fmt.Sprint("kill-", len(kills))))
		steps = append(steps, name)
		storage.CloneStore(t, work, kills[len(kills)-1])
	})
	log, err := storage.Open(storage.Upgraded(later, "+a", "+b"))
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}

	opened, refused := 0, 0
	for i, dir := range kills {
		t.Run(fmt.Sprintf("%d %s", i, steps[i]), func(t *testing.T) {
			back := filepath.Join(base, fmt.Sprint("back-", i))
			storage.CloneStore(t, dir, back)
			if opensOld(t, back, owed) {
				opened++
			} else {
				refused++
			}
			for _, dir := range []string{dir, back} {
				for range 2 { // and once more
					look(t, storage.Upgraded(storage.Config{Dir: dir}, "+a", "+b"), "old+a+b", owed)
				}
				if _, err := storage.Open(storage.Config{Dir: dir}); !errors.Is(err, storage.ErrNewer) || !strings.Contains(err.Error(), fmt.Sprint("format ", storage.FormatVersion+2)) {
					t.Errorf("an older program opens what is upgraded: %v", err)
				}
			}
		})
	}
	t.Logf("killed at %d points; the old version goes on at %d, refuses at %d", len(kills), opened, refused)
	if opened == 0 || refused == 0 {
		t.Error("not all of the upgrade was seen")
	}
}

// opensOld opens a store with the old version, if that does not refuse.
func opensOld(t *testing.T, dir string, owed []core.Seq) bool {
	t.Helper()
	if log, err := storage.Open(storage.Config{Dir: dir}); errors.Is(err, storage.ErrNewer) {
		return false
	} else if err != nil {
		t.Fatal(err)
	} else if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	look(t, storage.Config{Dir: dir}, "old", owed)
	return true
}

// look opens a store and holds it against what must be in it.
func look(t *testing.T, cfg storage.Config, retained string, owed []core.Seq) {
	t.Helper()
	found := 0
	o := storagetest.NewOwner(t, open(t, cfg))
	err := o.Store.Load(func(c core.Change) {
		if r, ok := c.(core.RetainedSaved); ok {
			if found++; string(r.Message.Payload) != retained {
				t.Errorf("%s is %q, not %q", r.Message.Topic, r.Message.Payload, retained)
			}
		}
	})
	if err != nil || found != 5 {
		t.Errorf("%d retained messages, %v", found, err)
	}
	var got []core.Seq
	for _, d := range o.FetchAll(uplink, 100) {
		got = append(got, d.Seq)
	}
	if !slices.Equal(got, owed) {
		t.Errorf("owed %v, not %v", got, owed)
	}
	if st := o.Store.Status(); st.Quarantined > 1 { // a copy of meta that was being written
		t.Errorf("%d in quarantine", st.Quarantined)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
}
