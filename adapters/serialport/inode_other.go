//go:build !linux

package serialport

// inodeOf: only Linux tells who has locked a file.
func inodeOf(string) (name string, ok bool) { return "", false }
