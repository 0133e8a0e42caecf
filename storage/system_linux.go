package storage

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// fewFiles: with so few files left the disk counts as full. A new segment and a
// new copy of meta make a dozen.
const fewFiles = 64

// freeBytes is what may be written: what is free, none when no more files can be
// made, and no more than the quota allows.
//
// hidden says that the file system may have limits beyond that, which it does not tell.
func freeBytes(dir string) (free int64, hidden bool, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, false, fmt.Errorf("statfs: %w", err)
	}
	if st.Files > 0 && st.Ffree < fewFiles {
		return 0, false, nil
	}
	free = int64(st.Bavail) * int64(st.Bsize)
	if left, ok := quotaLeft(dir); ok {
		free = min(free, left)
	}
	return free, int64(st.Type) == unix.BTRFS_SUPER_MAGIC, nil
}

// allocate gives the first size bytes of f their blocks, so that a write to it does
// not meet a full disk, and its sync does not have to find them. File systems that
// can not do that are left to the watermark.
func allocate(f *os.File, size int64) error {
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("allocate %s: %w", f.Name(), err)
	}
	return nil
}

// syncData makes what was written to f durable, through its descriptor or
// through a mapping.
func syncData(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// brokenErrnos are what a disk says that does not give what is on it. The last two are
// of the file system: what it found makes no sense, or has a wrong sum.
func brokenErrnos() []syscall.Errno { return []syscall.Errno{unix.EIO, unix.EUCLEAN, unix.EBADMSG} }

// lockFile takes f for this process until it is closed. ok is false when another
// process has it.
func lockFile(f *os.File) (ok bool, err error) {
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// unlockFile gives it back at once. To close it is not enough: a program that is being
// started by another thread has it open, too, until it runs.
func unlockFile(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_UN) }
