package serialport

import (
	"math"

	"golang.org/x/sys/unix"
)

// closeOnExec keeps children from inheriting the line, which the library opens
// without O_CLOEXEC: they would keep it busy. Every descriptor of a Go program
// is meant to be closed on exec, so marking all of them is right and needs no
// number. (Linux before 5.11 can't; there a child inherits.)
func closeOnExec() {
	_ = unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC)
}

// exclusiveElsewhere says whether somebody set the line to exclusive mode.
func exclusiveElsewhere(fd int) bool {
	on, err := unix.IoctlGetInt(fd, unix.TIOCGEXCL)
	return err == nil && on != 0 && !isPTY(fd)
}

// releaseExclusive takes a pseudo-terminal out of exclusive mode. The mode ends
// when the last descriptor of the line is closed, which for a pseudo-terminal
// may be its maker's: after a crash of ours nobody could open it again.
func releaseExclusive(c *conn) {
	_ = c.control(func(fd int) error {
		if !isPTY(fd) {
			return nil
		}
		return unix.IoctlSetInt(fd, unix.TIOCNXCL, 0)
	})
}

// isPTY says whether fd is the slave of a Unix98 pseudo-terminal.
func isPTY(fd int) bool {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return false
	}
	major := unix.Major(uint64(st.Rdev))
	return major >= 136 && major <= 143
}
