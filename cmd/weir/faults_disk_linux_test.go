package main

import (
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The faults of a disk of its own, which need root.
var (
	faultPower    = fault{"power", 0, 0, cutPower}
	faultFull     = fault{"full", 200 * time.Millisecond, 1500 * time.Millisecond, fillDisk}
	faultStall    = fault{"stall", 200 * time.Millisecond, 2 * time.Second, stallDisk}
	faultReadOnly = fault{"read-only", 200 * time.Millisecond, time.Second, startReadOnly}
)

// disk is a small ext4 file system in a file.
type disk struct {
	t     testing.TB
	image string
	mount string
}

// newDisk makes and mounts one until the end of the test. On a file system in
// memory a sync is fast, and still only what was synced survives a power cut.
func newDisk(t testing.TB, bytes int64, format ...string) *disk {
	t.Helper()
	need(t, "mkfs.ext4", "e2fsck", "fsfreeze")
	d := newImage(t, bytes)
	d.run("mkfs.ext4", append(format, "-q", "-F", d.image)...)
	d.attach()
	return d
}

// newImage makes the file, and a directory to mount it at.
func newImage(t testing.TB, bytes int64) *disk {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("a disk of its own needs root")
	}
	need(t, "losetup")
	home := t.TempDir()
	if dir, err := os.MkdirTemp("/dev/shm", "weir-disk-"); err == nil {
		home = dir
		t.Cleanup(func() { os.RemoveAll(dir) })
	}
	d := &disk{t: t, image: filepath.Join(home, "image"), mount: filepath.Join(home, "mnt")}
	err := errors.Join(os.WriteFile(d.image, nil, 0o600), os.Truncate(d.image, bytes), os.Mkdir(d.mount, 0o700))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// attach mounts it for the first time.
func (d *disk) attach() {
	d.t.Helper()
	if out, err := run(d.t, lookPeer("mount"), "-o", "loop", d.image, d.mount); err != nil {
		d.t.Skipf("no loop device to be had: %v %s", err, out)
	}
	at := d.mount
	d.t.Cleanup(func() { _ = unix.Unmount(at, 0) })
}

func (d *disk) run(name string, args ...string) {
	d.t.Helper()
	if out, err := run(d.t, lookPeer(name), args...); err != nil {
		d.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// The flag of EXT4_IOC_SHUTDOWN that drops the journal with all the rest.
const (
	ext4Shutdown     = 0x8004587D
	shutdownNoLogged = 2
)

// fail lets the file system forget all that is not synced, and refuse everything
// from then on.
func (d *disk) fail() error {
	f, err := os.Open(d.mount)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.IoctlSetPointerInt(int(f.Fd()), ext4Shutdown, shutdownNoLogged)
}

// remount brings it back as a boot does: check, mount. As long as another process has it
// mounted, in a name space of its own that it began meanwhile, what comes back is the file
// system that has failed.
func (d *disk) remount() {
	d.t.Helper()
	eventually(d.t, patience, "a file system that works", func() bool {
		eventually(d.t, patience, "unmounted", func() bool { return unix.Unmount(d.mount, 0) == nil })
		// e2fsck ends with 1 when it has repaired something.
		if out, err := run(d.t, lookPeer("e2fsck"), "-p", d.image); err != nil {
			d.t.Logf("e2fsck: %v %s", err, out)
		}
		d.run("mount", "-o", "loop", d.image, d.mount)
		probe := filepath.Join(d.mount, "probe")
		return os.WriteFile(probe, nil, 0o600) == nil && os.Remove(probe) == nil
	})
}

// cutPower takes the power away, in this order:
//
//  1. what has arrived upstream and what is acknowledged so far is noted;
//  2. the disk forgets what is not synced;
//  3. the process ends;
//  4. the upstream brings to an end what it has, because to its subscriber a message
//     of QoS 2 may take 40 ms: two acknowledgements that TCP delays;
//  5. what arrived or was acknowledged between 1 and 4 is in doubt, because a
//     sync that runs when the file system fails may end well and keep nothing: of one
//     that ended in the 2 to 4 ms of the second step nothing is kept in 1 of 20 cuts;
//  6. boot.
func cutPower(s *faultStage, _ time.Duration, _ *rand.Rand) {
	s.last()
	arrived, sure := s.arrivals(), s.acknowledged()
	if err := s.disk.fail(); err != nil {
		s.t.Fatalf("shut the file system down: %v", err)
	}
	s.g.kill()
	s.disk.remount()
	s.quiesce()
	addNew(s.doubt, sure, s.acknowledged())
	addNew(s.twice, arrived, s.arrivals())
	s.start()
	s.ready()
}

// acknowledged is a copy of what was acknowledged to each source.
func (s *faultStage) acknowledged() map[string]map[int]bool {
	all := make(map[string]map[int]bool)
	for prefix, src := range s.sources {
		src.mu.Lock()
		all[prefix] = maps.Clone(src.acked)
		src.mu.Unlock()
	}
	return all
}

// arrivals are the messages that have reached the upstream, of each source.
func (s *faultStage) arrivals() map[string]map[int]bool {
	s.upstream.count()
	all := newDoubt()
	for prefix, tally := range s.upstream.tallies {
		for n := range tally.times {
			all[prefix][n] = true
		}
	}
	return all
}

// addNew adds to doubt what is in after and not in before.
func addNew(doubt, before, after map[string]map[int]bool) {
	for prefix, numbers := range after {
		for n := range numbers {
			if !before[prefix][n] {
				doubt[prefix][n] = true
			}
		}
	}
}

// fillDisk is another program that writes until nothing is left.
func fillDisk(s *faultStage, d time.Duration, rng *rand.Rand) {
	path := filepath.Join(s.disk.mount, "other")
	f, err := os.Create(path)
	if err != nil {
		s.t.Fatal(err)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(s.disk.mount, &fs); err != nil {
		s.t.Fatal(err)
	}
	left := int64(rng.IntN(8)) << 20 // at times less, at times nothing
	if n := int64(fs.Bavail)*int64(fs.Bsize) - left; n > 0 {
		_ = unix.Fallocate(int(f.Fd()), 0, 0, n) // as much as there is
	}
	if left == 0 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, 64<<10))
		}
	}
	s.fills++
	time.Sleep(d)
	again := rng.IntN(2) == 0 // the gateway starts on it
	if again {
		s.last()
		s.g.kill()
		s.start()
		s.ready()
		time.Sleep(d)
	}
	if err := errors.Join(f.Close(), os.Remove(path)); err != nil {
		s.t.Fatal(err)
	}
	if again {
		s.ready()
	}
}

// stallDisk lets every write and sync wait, as a tired SD card does.
func stallDisk(s *faultStage, d time.Duration, _ *rand.Rand) {
	s.disk.run("fsfreeze", "-f", s.disk.mount)
	time.Sleep(d)
	s.disk.run("fsfreeze", "-u", s.disk.mount)
}

// startReadOnly starts the gateway on a disk that cannot be written, as a system
// does that found an error at its boot; then the disk can be written again.
func startReadOnly(s *faultStage, d time.Duration, _ *rand.Rand) {
	s.last()
	s.g.kill()
	s.disk.run("mount", "-o", "remount,ro", s.disk.mount)
	s.start()
	s.ready() // without its store
	time.Sleep(d)
	s.disk.run("mount", "-o", "remount,rw", s.disk.mount)
	s.ready()
}
