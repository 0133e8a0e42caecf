package storage

import (
	"errors"
	"fmt"
	"syscall"
)

// MayHeal says whether Open has failed because of the disk or the system, so that it
// may go well later without anybody changing a thing about us: no room, read-only, an
// error of the device, no descriptors or memory left. A store that another process has, or a newer version has
// written, is none of these.
func MayHeal(err error) bool {
	for _, cause := range []error{
		ErrNoRoom, errTransient, errFullDisk, syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS,
		syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM,
	} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return unreadable(err)
}

// OpenWithout makes a log that has no disk, for the time in which Open fails with
// why: what all receivers acknowledge in time passes through memory and keeps its
// promise, whatever needs the disk is refused, and no change ever becomes durable.
// It knows nothing of what the store on disk owes.
func OpenWithout(cfg Config, why error) *Log {
	l := newLog(cfg.withDefaults(), nil, newRing(cfg.Dir, newSeam(), cfg.withDefaults().Logger))
	l.without = true
	l.health.err = fmt.Errorf("the store can not be opened: %w", why)
	l.lock = func() error { return nil }
	return l
}
