package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// giveBack gives what root has made in a store to whom the store belongs: else the
// gateway, which does not run as root, could not open it any more.
func giveBack(dir string) error {
	info, err := os.Stat(dir)
	if err != nil || os.Geteuid() != 0 {
		return nil // there is no store, or what was made has the right owner
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	err = filepath.WalkDir(dir, func(path string, f fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := f.Info()
		if err != nil {
			return err
		}
		if of := info.Sys().(*syscall.Stat_t); of.Uid == owner.Uid && of.Gid == owner.Gid {
			return nil
		}
		return os.Lchown(path, int(owner.Uid), int(owner.Gid))
	})
	if err != nil {
		return fmt.Errorf("give the store back to its owner: %w", err)
	}
	return nil
}
