package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestBufferAsRoot: whoever looks into a store as root leaves it to its owner.
func TestBufferAsRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	const nobody = 65534
	data := t.TempDir()
	g := startGateway(t, strings.Replace(bufferConfig, "%DATA%", data, 1))
	g.stop()
	store := filepath.Join(data, "store")
	if err := filepath.Walk(store, func(path string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, nobody, nobody)
	}); err != nil {
		t.Fatal(err)
	}
	if out, code := weir(t, "buffer", "verify", "--config", g.config); code != 0 {
		t.Fatalf("verify: %d %s", code, out)
	}
	if err := filepath.Walk(store, func(path string, f os.FileInfo, err error) error {
		if err == nil && f.Sys().(*syscall.Stat_t).Uid != nobody {
			t.Errorf("%s has another owner now", path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
