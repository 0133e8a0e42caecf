package storage

import (
	"os"
	"path/filepath"
	"testing"
)

// TestAsidePath: a name from outside is that of a directory in quarantine, and of
// nothing above or below it.
func TestAsidePath(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"q-1/inner", "q-2"} {
		if err := os.MkdirAll(filepath.Join(dir, quarantineDir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, ok := range map[string]bool{
		"q-1": true, "q-3": false, "": false, ".": false, "..": false, "/": false, "//": false,
		"../q-1": false, "q-1/inner": false, "q-1/": false, "q-1/../q-2": false, "/etc": false, "q-1\x00": false,
	} {
		if path, err := asidePath(dir, name); (err == nil) != ok || ok && path != filepath.Join(dir, quarantineDir, name) {
			t.Errorf("%q: %q, %v", name, path, err)
		}
	}
}
