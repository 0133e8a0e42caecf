//go:build !linux

package pty

import (
	"errors"
	"os"
)

// New is available on Linux only.
func New() (master *os.File, slavePath string, err error) {
	return nil, "", errors.ErrUnsupported
}
