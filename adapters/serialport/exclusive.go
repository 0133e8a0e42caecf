package serialport

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// openExclusive opens the device and locks it.
//
// The lock is flock, which obliges all who ask for it: other adapters of this
// process too, root too, and it is gone with the process however that ends.
// TIOCEXCL, which the library sets as well, keeps out those who don't ask, but
// not root.
func openExclusive(device string) (*conn, error) {
	c, err := openConn(device)
	switch {
	case errors.Is(err, unix.EBUSY):
		return nil, busy(device)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w%s", err, permissionHint(device))
	case err != nil:
		return nil, err
	}
	if err := lock(c); err != nil {
		c.close()
		if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EWOULDBLOCK) {
			return nil, busy(device)
		}
		return nil, fmt.Errorf("lock %s: %w", device, err)
	}
	return c, nil
}

// lock takes the lock, and refuses a line that another process has in exclusive
// mode, as the system itself does unless we are root.
func lock(c *conn) error {
	return c.control(func(fd int) error {
		if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
			return err
		}
		if exclusiveElsewhere(fd) {
			return unix.EBUSY
		}
		return nil
	})
}

// busy finds out who has the device, as far as /proc tells: who has locked it, else
// who has it open.
func busy(device string) error {
	e := &BusyError{Device: device}
	for _, u := range Users(device) {
		if u.PID == os.Getpid() {
			e.Self = e.Self || e.PID == 0 || u.Locked
			continue
		}
		if e.PID == 0 || u.Locked {
			e.PID, e.Process = u.PID, u.Process
			e.Self = e.Self && !u.Locked
		}
	}
	return e
}

// permissionHint tells the operator which group may use the device.
func permissionHint(device string) string {
	info, err := os.Stat(device)
	if err != nil {
		return ""
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.Mode().Perm()&0o060 != 0o060 {
		return ""
	}
	group, err := user.LookupGroupId(strconv.FormatUint(uint64(st.Gid), 10))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (add the gateway's user to the group %s)", group.Name)
}
