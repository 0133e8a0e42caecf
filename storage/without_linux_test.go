package storage_test

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/weir-edge/weir/storage"
)

// TestShortOfFiles: a store that can not be opened because the system is short of
// descriptors or memory may be opened later. Each call of the system is the one that
// fails, from then on.
func TestShortOfFiles(t *testing.T) {
	a := makeOriginal(t, true)
	for _, short := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		t.Run(short.Error(), func(t *testing.T) {
			t.Parallel()
			refused := make(map[string]bool)
			f := &faults{fired: 1}
			for n := 1; f.fired > 0; n += 2 {
				f = &faults{nth: n, sticky: true, err: short}
				dir := scratch(t)
				storage.CloneStore(t, a.dir, dir)
				cfg := storage.SmallSegments(storage.Config{Dir: dir}, 16<<10)
				l, err := storage.Open(storage.Faulty(cfg, f.fail))
				f.end()
				switch {
				case err == nil:
					err = l.Close()
				case !storage.MayHeal(err):
					t.Errorf("call %d, %s: may not heal: %v", n, f.kind, err)
				default:
					refused[f.kind], err = true, nil
				}
				if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
					t.Fatal(err)
				}
			}
			if !refused["openfile"] || !refused["open"] {
				t.Errorf("calls that were refused: %v", refused)
			}
		})
	}
}

// TestNoDescriptorsLeft: the same without the seam. The store opens once there are some.
func TestNoDescriptorsLeft(t *testing.T) {
	a := makeOriginal(t, true)
	var hogs []*os.File
	free := func() {
		for _, f := range hogs {
			f.Close()
		}
		hogs = nil
	}
	defer free()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	limit := old
	limit.Cur = min(old.Cur, 512)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old) }()
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		hogs = append(hogs, f)
	}
	for spare := 0; ; spare += 3 {
		for range min(3, len(hogs)) {
			hogs[0].Close()
			hogs = hogs[1:]
		}
		l, err := storage.Open(storage.SmallSegments(storage.Config{Dir: a.dir}, 16<<10))
		if err == nil {
			if spare == 0 {
				t.Error("opens without a descriptor")
			}
			if n := l.Status().Quarantined; n > 0 {
				t.Errorf("%d set aside because descriptors were short", n)
			}
			free()
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			return
		}
		if !storage.MayHeal(err) {
			t.Fatal(fmt.Errorf("with %d descriptors, may not heal: %w", spare, err))
		}
	}
}
