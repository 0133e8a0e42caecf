package storage_test

import (
	"flag"
	"os"
	"testing"

	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/storage"
	"github.com/weir-edge/weir/storage/storagetest"
)

var (
	_ broker.Store = (*storage.Log)(nil)
	_ broker.Store = (*storagetest.Memory)(nil)
)

// open opens a store in dir for the conformance suite.
func open(t testing.TB, cfg storage.Config) storagetest.Opened {
	t.Helper()
	var wake <-chan struct{}
	cfg.Notify, wake = storagetest.Waker()
	l, err := storage.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return storagetest.Opened{Store: l, Wake: wake, Close: l.Close, Restart: func(t testing.TB) storagetest.Opened {
		if err := l.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
		return open(t, cfg)
	}}
}

func TestConformance(t *testing.T) {
	for _, promise := range []storage.Promise{storage.Synced, storage.Written, storage.Memory} {
		t.Run(string(promise), func(t *testing.T) {
			storagetest.Run(t, func(t testing.TB) storagetest.Opened {
				return open(t, storage.Config{Dir: scratch(t), Promise: promise})
			})
		})
	}
}

// scratch is a directory in memory where the system has such, so that tests which
// are not about the disk do not wait for it.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "weir-storage-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func openModel(t testing.TB, cfg storage.Config) storagetest.Opened {
	cfg, clone := storage.Crashable(storage.SmallSegments(cfg, 32<<10))
	o := open(t, cfg)
	again := func(t testing.TB, dir string) storagetest.Opened {
		if err := o.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
		return openModel(t, storage.Config{Dir: dir})
	}
	o.Restart = func(t testing.TB) storagetest.Opened { return again(t, cfg.Dir) }
	o.Crash = func(t testing.TB) storagetest.Opened {
		dir := scratch(t)
		clone(t, dir)
		return again(t, dir)
	}
	return o
}

// modelChecks keeps the random walks short; -rapid.checks takes longer ones.
const modelChecks = "20"

func TestModel(t *testing.T) {
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		if err := f.Value.Set(modelChecks); err != nil {
			t.Fatal(err)
		}
	}
	storagetest.RunModel(t, func(t testing.TB) storagetest.Opened {
		return openModel(t, storage.Config{Dir: scratch(t)})
	})
}
