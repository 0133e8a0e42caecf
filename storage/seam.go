package storage

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
)

// seam is our own I/O and the named points between its steps, so that a test can
// fail each call and stop at each point. It is static after Open.
type seam struct {
	free      func(dir string) (int64, error)    // room on the file system
	allocate  func(f *os.File, size int64) error // gives f its blocks
	write     func(f *os.File, b []byte, at int64) error
	syncData  func(f *os.File) error                  // fdatasync
	syncDir   func(dir string) error                  //
	rename    func(from, to string) error             //
	remove    func(name string) error                 // of a file
	mkdir     func(dir string) error                  //
	readDir   func(dir string) ([]os.DirEntry, error) //
	readFile  func(name string) ([]byte, error)       //
	openFile  func(name string, flag int) (*os.File, error)
	removeAll func(dir string) error                   //
	open      func(badger.Options) (*badger.DB, error) //
	commit    func(*badger.Txn, uint64) error          // under this version
	step      func(name string)                        // between two steps of an order of effects
}

// The steps around a job of the committer.
const (
	stepBegin = "job: begin"
	stepEnd   = "job: end"
)

func newSeam() *seam {
	return &seam{
		free:      new(room).of,
		allocate:  allocate,
		write:     writeAt,
		syncData:  syncData,
		syncDir:   syncDir,
		rename:    os.Rename,
		remove:    os.Remove,
		mkdir:     func(dir string) error { return os.Mkdir(dir, 0o700) },
		readDir:   os.ReadDir,
		readFile:  os.ReadFile,
		openFile:  func(name string, flag int) (*os.File, error) { return os.OpenFile(name, flag, 0o600) },
		removeAll: os.RemoveAll,
		open:      badger.OpenManaged,
		commit:    func(txn *badger.Txn, version uint64) error { return txn.CommitAt(version, nil) },
		step:      func(string) {},
	}
}

func writeAt(f *os.File, b []byte, at int64) error {
	_, err := f.WriteAt(b, at)
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}

// makeDir makes a directory and those above it, as far as they are missing, and
// makes their names durable.
func (s *seam) makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	above := filepath.Dir(dir)
	if above != dir {
		if err := s.makeDir(above); err != nil {
			return err
		}
	}
	if err := s.mkdir(dir); err != nil && !os.IsExist(err) {
		return fmt.Errorf("make directory: %w", err)
	}
	return s.syncDir(above)
}

// replaceFile puts data under name, whole or not at all.
func (s *seam) replaceFile(name string, data []byte) error {
	temp := name + ".new"
	err := s.writeFile(temp, data, s.syncData) // 1. the bytes, durable,
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(temp), err)
	}
	if err := s.rename(temp, name); err != nil { // 2. under their name,
		return fmt.Errorf("rename %s: %w", filepath.Base(temp), err)
	}
	return s.syncDir(filepath.Dir(name)) // 3. durably.
}

// writeFile makes a file of data.
func (s *seam) writeFile(name string, data []byte, then func(*os.File) error) error {
	f, err := s.openFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY)
	if err != nil {
		return err
	}
	err = s.write(f, data, 0)
	if err == nil {
		err = then(f)
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}
