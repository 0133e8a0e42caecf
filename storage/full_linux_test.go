package storage_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/storage"
	"github.com/weir-edge/weir/storage/storagetest"
)

// smallDisk mounts a file system of a few megabytes, where the test may.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("weir-test", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("mount a small tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// fillUp appends until the store refuses.
func fillUp(t *testing.T, o *storagetest.Owner, limit int) (taken []core.Seq) {
	t.Helper()
	for i := range limit {
		seq, _, err := o.Store.Append(noise(i), []core.Debt{{Receiver: uplink}}, 0)
		if errors.Is(err, core.ErrFull) {
			if o.Store.Status().State == "full" {
				return taken
			}
			o.Until("the tail to be written", func() bool {
				st := o.Store.Status()
				return st.Held < 10 || st.State == "full"
			})
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, seq)
		o.Turn()
	}
	t.Fatalf("%d messages and not full: %+v", limit, o.Store.Status())
	return nil
}

// hog takes all of the room that is left on the disk.
func hog(t *testing.T, dir string) (name string) {
	t.Helper()
	name = filepath.Join(dir, "hog")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	return name
}

// TestDiskFull fills a small disk, from within and from without. The process
// lives, what was settled is there, and all is well again when there is room.
func TestDiskFull(t *testing.T) {
	dir := smallDisk(t, "96m")
	store := filepath.Join(dir, "store")
	cfg := storage.Config{Dir: store}
	o := storagetest.NewOwner(t, open(t, cfg))
	ticket := o.Store.Record(core.RuleSaved{Name: "uplink", Receiver: uplink}, false)
	o.Until("the receiver to be known", func() bool { return o.Synced >= ticket })
	o.Store.SetPolicy(uplink, core.Policy{OnFull: core.Refuse})
	taken := fillUp(t, o, 3000)
	t.Logf("%d messages until full: %+v", len(taken), o.Store.Status())

	name := hog(t, dir)
	passThrough(t, o)
	settled := len(o.Settled)
	drained := 0
	for drained < 400 { // more than a segment
		next, _ := o.Fetch(uplink, 40)
		for _, d := range next {
			o.Paid(uplink, d.Seq)
		}
		drained += len(next)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	o.UntilSettled(taken...)
	t.Logf("%d of %d were settled while full; healed in %v", settled, len(taken), time.Since(start))

	name = hog(t, dir)
	o = o.Reopened(t) // with the spare
	o.Store.SetPolicy(uplink, core.Policy{OnFull: core.Refuse})
	passThrough(t, o)
	left := o.Drain(uplink, 64) // gives its room back as it goes
	if len(left) < len(taken)-drained || left[len(left)-1].Seq != taken[len(taken)-1] {
		t.Errorf("%d messages left of %d", len(left), len(taken)-drained)
	}
	o.Until("health", func() bool { return o.Store.Status().State == "ok" })
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	o.UntilSettled(o.Append(noise(0), 0, core.Debt{Receiver: uplink}))
}

// TestDiskFullOfOthers: a disk that others have filled costs nothing that is kept,
// although the receiver's policy is to drop the oldest: that is for the budget.
func TestDiskFullOfOthers(t *testing.T) {
	dir := smallDisk(t, "96m")
	o := storagetest.NewOwner(t, open(t, storage.Config{Dir: filepath.Join(dir, "store")}))
	o.Store.Record(core.RuleSaved{Name: "uplink", Receiver: uplink}, false)
	const kept = 300 // more than a segment
	for i := range kept {
		o.UntilSettled(o.Append(noise(i), 0, core.Debt{Receiver: uplink})) // drop-oldest
	}
	name := hog(t, dir)
	refused := false
	for i := 0; i < 400 && !refused; i++ {
		_, _, err := o.Store.Append(noise(i), []core.Debt{{Receiver: uplink}}, 0)
		refused = errors.Is(err, core.ErrFull)
		o.Turn()
	}
	if !o.Store.Refuses() {
		t.Error("it takes changes")
	}
	if !refused || o.Store.Owed(uplink) < kept || len(o.Dropped) > 0 {
		t.Errorf("refused %v, owed %d, dropped %v", refused, o.Store.Owed(uplink), o.Dropped)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	o.Until("room", func() bool { return o.Store.Status().State == "ok" && o.Store.Status().Held == 0 })
	if left := o.Drain(uplink, 20); string(left[0].Message.Payload) != string(noise(0).Payload) {
		t.Error("the oldest is lost")
	}
}

// passThrough: what all receivers acknowledge at once needs no disk.
func passThrough(t *testing.T, o *storagetest.Owner) {
	t.Helper()
	const healthy = uplink + 1
	for i := range 20 {
		seq := o.Append(noise(i), time.Minute, core.Debt{Receiver: healthy, Live: true})
		o.Turn()
		o.Paid(healthy, seq)
		if !o.Settled[seq] {
			t.Fatal("a message that everybody has is not settled while the disk is full")
		}
	}
}

// TestOwnBacklogFillsDisk: where the backlog itself fills a small disk, the policy
// holds although the configured budget is larger than the disk.
func TestOwnBacklogFillsDisk(t *testing.T) {
	dir := smallDisk(t, "96m")
	o := storagetest.NewOwner(t, open(t, storage.Config{Dir: filepath.Join(dir, "store")}))
	o.Store.Record(core.RuleSaved{Name: "uplink", Receiver: uplink}, false)
	for i := range 1500 { // 75 MB
		o.UntilSettled(o.Append(noise(i), 0, core.Debt{Receiver: uplink}))
	}
	st := o.Store.Status()
	if st.Dropped[core.DroppedStoreFull] == 0 || o.Store.Owed(uplink) < 400 || st.Budget > 96<<20 {
		t.Errorf("owed %d, %+v", o.Store.Owed(uplink), st)
	}
	left := o.Drain(uplink, 64)
	if last := left[len(left)-1].Message; string(last.Payload) != string(noise(1499).Payload) {
		t.Error("the newest is lost")
	}
}

// TestNoFilesLeft: a disk on which no more files can be made is full, whatever
// room it has.
func TestNoFilesLeft(t *testing.T) {
	dir := smallDisk(t, "96m,nr_inodes=300")
	o := storagetest.NewOwner(t, open(t, storage.Config{Dir: filepath.Join(dir, "store")}))
	o.Store.Record(core.RuleSaved{Name: "uplink", Receiver: uplink}, false)
	o.UntilSettled(o.Append(noise(0), 0, core.Debt{Receiver: uplink}))
	others := filepath.Join(dir, "others")
	if err := os.Mkdir(others, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		if err := os.WriteFile(filepath.Join(others, strconv.Itoa(i)), nil, 0o600); err != nil {
			break
		}
	}
	var waiting []core.Seq
	refused := false
	for i := 0; i < 1000 && !refused; i++ {
		seq, _, err := o.Store.Append(noise(i), []core.Debt{{Receiver: uplink}}, 0)
		if refused = errors.Is(err, core.ErrFull); !refused {
			waiting = append(waiting, seq)
		}
		o.Turn()
	}
	passThrough(t, o)
	if !refused || len(o.Dropped) > 0 {
		t.Errorf("refused %v, dropped %v, %+v", refused, o.Dropped, o.Store.Status())
	}
	if err := os.RemoveAll(others); err != nil {
		t.Fatal(err)
	}
	o.UntilSettled(waiting...)
	o.Until("health", func() bool { return o.Store.Status().State == "ok" })
}
