package serialport

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// inodeOf is how /proc/locks names a file.
func inodeOf(path string) (name string, ok bool) {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return "", false
	}
	dev := uint64(st.Dev)
	return fmt.Sprintf("%02x:%02x:%d", unix.Major(dev), unix.Minor(dev), st.Ino), true
}
