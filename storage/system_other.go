//go:build !linux

package storage

import (
	"os"
	"syscall"
)

// Elsewhere than on Linux the log works without the watermark, the allocation
// and the guard against a second process.

func allocate(*os.File, int64) error         { return nil }
func syncData(f *os.File) error              { return f.Sync() }
func brokenErrnos() []syscall.Errno          { return []syscall.Errno{syscall.EIO} }
func lockFile(*os.File) (ok bool, err error) { return true, nil }
func unlockFile(*os.File) error              { return nil }

// takeover is left out: Badger writes to its mappings.
type takeover struct{}

func takeOver(string) (*takeover, error) { return nil, nil }

func (*takeover) flush(*os.File, func(*os.File, []byte, int64) error) error { return nil }

func (*takeover) trim(*os.File) {}

type room struct{}

func (*room) of(string) (int64, error) { return 1 << 60, nil }
