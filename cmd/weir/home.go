package main

import (
	"net/url"
	"os"
	"path/filepath"

	"github.com/weir-edge/weir/core/replace"
)

// homeFile remembers to which server the packet ids of a bridge belong.
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

// keep has it on the disk; where that fails nothing is known any more.
func (h homeFile) keep(server string) error {
	err := os.MkdirAll(filepath.Dir(h.path()), 0o700)
	if err == nil {
		err = replace.Secret(h.path(), []byte(server))
	}
	if err != nil {
		_ = os.Remove(h.path()) // it may not be there
	}
	return err
}
