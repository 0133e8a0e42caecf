package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestHomeFile: a server is kept, and after a failure none is, rather than a wrong one.
func TestHomeFile(t *testing.T) {
	h := homeFile{t.TempDir(), "a/b"}
	if got := h.read(); got != "" {
		t.Errorf("at first %q", got)
	}
	for _, server := range []string{"mqtt://main:1883", "mqtt://spare:1883"} {
		if err := h.keep(server); err != nil {
			t.Fatal(err)
		}
		if got := h.read(); got != server {
			t.Errorf("kept %q, want %q", got, server)
		}
	}
	if err := os.RemoveAll(filepath.Dir(h.path())); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Dir(h.path()), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.keep("mqtt://main:1883"); err == nil || h.read() != "" {
		t.Errorf("%v, kept %q", err, h.read())
	}
}
