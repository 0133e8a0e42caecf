//go:build !linux

package serialport

// What these do on Linux has no counterpart elsewhere, or no need.

func closeOnExec() {}

func exclusiveElsewhere(int) bool { return false }

func releaseExclusive(*conn) {}
