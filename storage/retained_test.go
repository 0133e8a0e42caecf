package storage_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/storage"
	"github.com/weir-edge/weir/storage/storagetest"
)

// TestManyRetained: the copies of the state are not made anew at each checkpoint
// when there is much in them.
func TestManyRetained(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	const topics = 100_000
	var anew atomic.Int32
	cfg := storage.AtStep(storage.Config{Dir: scratch(t)}, func(name string) {
		if name == "meta: begun anew" {
			anew.Add(1)
		}
	})
	o := storagetest.NewOwner(t, open(t, cfg))
	start := time.Now()
	payload := []byte(strings.Repeat("x", 150))
	for i := range topics {
		m := &core.Message{Topic: fmt.Sprintf("plant/area-%d/meter-%d/voltage", i%100, i), Payload: payload, QoS: 1, Retain: true}
		ticket := o.Store.Record(core.RetainedSaved{Message: m}, false)
		if i%100 == 99 {
			o.Until("a hundred to be synced", func() bool { return o.Synced >= ticket })
		}
	}
	t.Logf("%d retained messages in %v, the copies made anew %d times", topics, time.Since(start), anew.Load())
	if n := anew.Load(); n > 8 {
		t.Errorf("made anew %d times", n)
	}
	o = o.Reopened(t)
	loaded := 0
	if err := o.Store.Load(func(core.Change) { loaded++ }); err != nil || loaded != topics {
		t.Errorf("%d loaded, %v", loaded, err)
	}
}
