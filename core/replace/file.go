package replace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Secret writes a file that nobody can read but its owner, and the group that it was
// made for.
func Secret(file string, data []byte) error { return replace(file, data, 0o600) }

// Public writes a file that everybody may read.
func Public(file string, data []byte) error { return replace(file, data, 0o644) }

// replace writes a file beside the one that is there, if any, syncs it and puts it in
// its place, for the same owner.
func replace(file string, data []byte, mode fs.FileMode) error {
	if link, err := filepath.EvalSymlinks(file); err == nil {
		file = link
	}
	temp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // in vain, once it has its name
	err = keepOwner(temp, file, mode)
	if err == nil {
		_, err = temp.Write(data)
	}
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if err := os.Rename(temp.Name(), file); err != nil {
		return err
	}
	return syncFolder(file)
}

// Remove removes a file, if it is there, for good.
func Remove(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncFolder(file)
}

// syncFolder keeps what was done with a file in its folder through a power cut.
func syncFolder(file string) error {
	d, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// keepOwner gives a file the owner of the one that it replaces, and lets its group
// read it if it could before. A new one that root makes in the folder of a group,
// such as /etc/weir, is for that group to read.
func keepOwner(f *os.File, replaced string, mode fs.FileMode) error {
	before, err := os.Stat(replaced)
	isNew := errors.Is(err, fs.ErrNotExist)
	if isNew {
		before, err = os.Stat(filepath.Dir(f.Name()))
	}
	if err != nil {
		return err
	}
	owner, ok := before.Sys().(*syscall.Stat_t)
	switch {
	case !isNew:
		mode |= before.Mode().Perm() & 0o040
	case ok && os.Geteuid() == 0 && owner.Gid != 0:
		mode |= 0o040
	}
	if ok && os.Geteuid() == 0 {
		if err := f.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
	}
	return f.Chmod(mode)
}
