// Package serialtest helps the tests of the serial adapter: it finds the
// recorded output of real devices, which lies beside the repository.
package serialtest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Recorded is a file of recorded device output; the test is skipped where the
// recordings are not there.
func Recorded(t testing.TB, kind, name string) []byte {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
	}
	path := filepath.Join(dir, "..", "shared", "data", kind, name)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("peer missing: recorded device data, %s/%s", kind, name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}
