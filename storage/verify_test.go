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

// TestQuarantinedWhileRemoved lists what is being removed meanwhile.
func TestQuarantinedWhileRemoved(t *testing.T) {
	dir := t.TempDir()
	aside := filepath.Join(dir, "quarantine", "20261122T100000.000000000-q")
	stop, stopped := make(chan struct{}), make(chan struct{})
	if err := os.MkdirAll(filepath.Join(dir, "q"), 0o700); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(stopped)
		for {
			_ = os.MkdirAll(filepath.Join(aside, "deeper"), 0o700)
			_ = os.WriteFile(filepath.Join(aside, "file"), nil, 0o600)
			_ = os.RemoveAll(aside)
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	for range 3000 {
		if _, err := Quarantined(dir); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	<-stopped
}
