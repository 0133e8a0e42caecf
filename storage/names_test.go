package storage_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/storage"
	"github.com/weir-edge/weir/storage/storagetest"
)

// TestNamesAreDurable: what is settled is in files of which every name, and that of
// every directory above, was synced after it was made. A sync of the file alone does
// that on ext4; it is not promised by others.
func TestNamesAreDurable(t *testing.T) {
	base := scratch(t)
	var mu sync.Mutex
	durable := make(map[string]bool)
	cfg := storage.Syncs(storage.SmallSegments(storage.Config{Dir: filepath.Join(base, "new", "store")}, 256<<10), func(dir string) {
		mu.Lock()
		defer mu.Unlock()
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Error(err)
		}
		for _, f := range files {
			durable[filepath.Join(dir, f.Name())] = true
		}
	})
	o := storagetest.NewOwner(t, open(t, cfg))
	o.Store.Record(core.RuleSaved{Name: "uplink", Receiver: uplink}, false)
	for i := range 100 { // journals and segments come and go
		o.UntilSettled(o.Append(noise(i), 0, core.Debt{Receiver: uplink}))
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(base, func(path string, d os.DirEntry, err error) error {
		kept := d.IsDir() || d.Name() == "SEAL" || strings.HasSuffix(path, ".mem") // tables are Badger's to name
		if err == nil && path != base && kept && !durable[path] {
			t.Errorf("the name of %s was not synced", strings.TrimPrefix(path, base))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
