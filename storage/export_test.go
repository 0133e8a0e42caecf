package storage

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// SmallSegments makes a store seal its segments early.
func SmallSegments(c Config, bytes int64) Config {
	c.segment = bytes
	return c
}

// AtStep has a function called between any two steps of the order of effects.
func AtStep(c Config, step func(name string)) Config {
	c.seam = newSeam()
	c.seam.step = step
	return c
}

// Crashable makes a store of which a copy can be made as a kill would leave it,
// with the committer standing between two of its steps.
func Crashable(c Config) (Config, func(t testing.TB, to string)) {
	var mu sync.Mutex // held by the committer while it does something
	inJob := false    // steps outside of jobs are Open's and Close's
	s := newSeam()
	s.step = func(name string) {
		switch {
		case name == stepBegin:
			mu.Lock()
			inJob = true
		case name == stepEnd:
			inJob = false
			mu.Unlock()
		case inJob:
			mu.Unlock()
			mu.Lock()
		}
	}
	c.seam = s
	return c, func(t testing.TB, to string) {
		mu.Lock()
		defer mu.Unlock()
		cloneStore(t, c.Dir, to)
	}
}

// cloneStore copies a store whose committer stands still. Badger may be turning
// journals into tables meanwhile (table, manifest, then the journal goes), so
// that journals are copied first, then manifests, then tables.
func cloneStore(t testing.TB, from, to string) {
	t.Helper()
	copied := make(map[string]bool)
	for _, pattern := range []string{"*.mem", "MANIFEST", "*.sst", "*"} {
		err := filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
			target := filepath.Join(to, strings.TrimPrefix(path, from))
			match, _ := filepath.Match(pattern, filepath.Base(path))
			switch {
			case errors.Is(err, os.ErrNotExist):
				return nil
			case err != nil:
				return err
			case d.IsDir():
				return os.MkdirAll(target, 0o700)
			case !match || copied[path]:
				return nil
			}
			copied[path] = true
			return copySparse(path, target)
		})
		if err != nil {
			t.Fatalf("copy store: %v", err)
		}
	}
}

// copySparse copies a file and leaves out what is zero. A file that goes while
// it is copied is not there.
func copySparse(from, to string) error {
	b, err := os.ReadFile(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(int64(len(b))); err != nil {
		return err
	}
	zero := make([]byte, 4096)
	for at := 0; at < len(b); at += len(zero) {
		part := b[at:min(at+len(zero), len(b))]
		if bytes.Equal(part, zero[:len(part)]) {
			continue
		}
		if _, err := f.WriteAt(part, int64(at)); err != nil {
			return err
		}
	}
	return nil
}
