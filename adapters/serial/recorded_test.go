package serial

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// recorded is a file of recorded device output, which lies beside the repository.
func recorded(t testing.TB, kind, name string) []byte {
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
