package storage_test

import (
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
				return open(t, storage.Config{Dir: t.TempDir(), Promise: promise})
			})
		})
	}
}
