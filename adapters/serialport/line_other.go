//go:build !linux

package serialport

import "os"

// What these do on Linux has no counterpart elsewhere, or no need.

func closeOnExec() {}

func exclusiveElsewhere(int) bool { return false }

func releaseExclusive(*os.File) {}
