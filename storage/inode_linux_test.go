package storage_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/storage"
)

// image is an ext4 file system in a file, whose inodes can be spoiled.
type image struct {
	file, dir string
}

func newImage(t *testing.T, format ...string) image {
	t.Helper()
	for _, tool := range []string{"mkfs.ext4", "debugfs", "mount"} {
		if _, err := exec.LookPath(tool); err != nil || os.Getuid() != 0 {
			t.Skipf("needs root and %s", tool)
		}
	}
	home := scratch(t)
	m := image{filepath.Join(home, "image"), filepath.Join(home, "mnt")}
	if err := errors.Join(os.WriteFile(m.file, nil, 0o600), os.Truncate(m.file, 192<<20), os.Mkdir(m.dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	m.run(t, "mkfs.ext4", append(format, "-q", "-F", m.file)...)
	m.mount(t)
	t.Cleanup(func() { _ = unix.Unmount(m.dir, unix.MNT_DETACH) })
	return m
}

func (m image) run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

func (m image) mount(t *testing.T) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "mount", "-o", "loop,errors=continue", m.file, m.dir).CombinedOutput(); err != nil {
		t.Skipf("no loop device to be had: %v %s", err, out)
	}
}

// unmount waits while another test starts a process: until that runs its own program, it
// has our files open, too.
func (m image) unmount(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Unmount(m.dir, 0)
		if err == nil {
			return
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// spoil clears the inodes of some paths, as nothing but a broken disk does.
func (m image) spoil(t *testing.T, paths ...string) {
	t.Helper()
	m.unmount(t)
	for _, path := range paths {
		m.run(t, "debugfs", "-w", "-R", "clri "+strings.TrimPrefix(path, m.dir), m.file)
	}
	m.mount(t)
	for _, path := range paths {
		if _, err := os.Stat(path); err == nil {
			t.Fatalf("%s can be read still", path)
		}
	}
}

// TestInodeUnreadable: the file system makes no sense of one file or directory of a
// store. The store opens, gives what can be read, and says what it lacks; and so it does
// when it is opened again, with what has come meanwhile.
func TestInodeUnreadable(t *testing.T) {
	for _, c := range []struct {
		name   string
		killed bool
		path   string // pattern
		nth    int    // of what matches; -1 is the last
		most   float64
		aside  int
	}{
		{"table", false, "q/*/*.sst", 1, 0.5, 1},
		{"manifest", false, "q/*/MANIFEST", 1, 0, 1},
		{"seal", false, "q/*/SEAL", 1, 0, 1},
		{"seal of the last", false, "q/*/SEAL", -1, 0, 1},
		{"key registry", false, "q/*/KEYREGISTRY", 0, 0, 1},
		{"journal", true, "q/*/*.mem", -1, 0.5, 1},
		{"manifest after a kill", true, "q/*/MANIFEST", -1, 0, 1},
		{"segment", false, "q/0*", 1, 0.5, 1},
		{"oldest segment", false, "q/0*", 0, 0.5, 1},
		{"last segment", false, "q/0*", -1, 0.5, 1},
		{"last segment after a kill", true, "q/0*", -1, 0.5, 1},
		{"table of the state", false, "meta-a/*.sst", 0, 0, 1},
		{"manifest of the state", false, "meta-b/MANIFEST", 0, 0, 1},
		{"first copy of the state", false, "meta-a", 0, 0, 1},
		{"second copy of the state", false, "meta-b", 0, 0, 1},
		{"copy of the state after a kill", true, "meta-a", 0, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := makeOriginal(t, c.killed)
			m := newImage(t)
			dir := filepath.Join(m.dir, "store")
			storage.CloneStore(t, a.dir, dir)
			match, err := filepath.Glob(filepath.Join(dir, c.path))
			if err != nil || len(match) == 0 {
				t.Fatalf("%d match, %v", len(match), err)
			}
			m.spoil(t, match[(c.nth+len(match))%len(match)])
			journal := c.killed && c.most > 0 // with changes that no checkpoint has
			given := a.openSpoiled(t, dir, journal, c.most, c.aside)
			if _, err := storage.Quarantined(dir); err != nil {
				t.Error(err)
			}
			m.spoil(t) // nothing more, but what is in memory is gone
			a.reopenSpoiled(t, dir, journal, given)
		})
	}
}

// openSpoiled looks at what is left, and appends a message, whose number it gives.
func (a original) openSpoiled(t *testing.T, dir string, journal bool, most float64, aside int) core.Seq {
	t.Helper()
	o, ok := tryOpen(t, storage.SmallSegments(storage.Config{Dir: dir}, 16<<10))
	if !ok {
		t.Fatal("does not open")
	}
	a.compareState(t, o, journal)
	found, newest := 0, core.Seq(0)
	for _, d := range o.Drain(uplink, 200) {
		newest = max(newest, d.Seq)
		switch want := a.owed[d.Seq]; {
		case want == nil && !d.Again:
			t.Errorf("message %d was not owed", d.Seq)
		case want != nil && !reflect.DeepEqual(want, d.Message):
			t.Errorf("message %d is another one", d.Seq)
		case want != nil:
			found++
		}
	}
	st := o.Store.Status()
	if st.Quarantined != aside || st.State != "ok" {
		t.Errorf("%d set aside, state %s %s", st.Quarantined, st.State, st.Error)
	}
	lost := len(a.owed) - found
	if lost < 0 || float64(lost) > most*float64(len(a.owed)) {
		t.Errorf("%d of %d messages are lost", lost, len(a.owed))
	}
	t.Logf("%d of %d messages are lost, dropped %v", lost, len(a.owed), st.Dropped)
	for seq := range a.owed {
		newest = max(newest, seq)
	}
	seq := o.Append(telemetry(0, core.NewClock()), 0, core.Debt{Receiver: uplink})
	if seq <= newest {
		t.Errorf("number %d is given out again after %d", seq, newest)
	}
	o.UntilSettled(seq)
	if err := o.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	return seq
}

// reopenSpoiled finds what came after the damage.
func (a original) reopenSpoiled(t *testing.T, dir string, journal bool, given core.Seq) {
	t.Helper()
	o, ok := tryOpen(t, storage.SmallSegments(storage.Config{Dir: dir}, 16<<10))
	if !ok {
		t.Fatal("does not open again")
	}
	a.compareState(t, o, journal)
	seqs := []string{}
	for _, d := range o.Drain(uplink, 200) {
		if a.owed[d.Seq] == nil {
			seqs = append(seqs, fmt.Sprint(d.Seq))
		}
	}
	if len(seqs) != 1 || seqs[0] != fmt.Sprint(given) {
		t.Errorf("%v are owed instead of %d", seqs, given)
	}
	if seq := o.Append(telemetry(1, core.NewClock()), 0, core.Debt{Receiver: uplink}); seq <= given {
		t.Errorf("number %d is given out again after %d", seq, given)
	}
	if err := o.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}
