package main

import (
	"net/url"
	"os"
	"path/filepath"

	"github.com/weir-edge/weir/core/replace"
)

// homeFile remembers to which of several servers the packet ids of a bridge belong.
type homeFile struct{ dataDir, bridge string }

func (h homeFile) path() string {
	return filepath.Join(h.dataDir, "homes", url.PathEscape(h.bridge))
}

// read is "" where nothing is known.
func (h homeFile) read() string {
	server, err := os.ReadFile(h.path())
	if err != nil {
		return ""
	}
	return string(server)
}

func (h homeFile) keep(server string) error {
	if err := os.MkdirAll(filepath.Dir(h.path()), 0o700); err != nil {
		return err
	}
	return replace.Secret(h.path(), []byte(server))
}
