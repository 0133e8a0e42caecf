package storage

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// unreadable says whether an error tells that the disk does not give what is on it: a
// sector, or a file or directory of which it makes no sense. What was refused once, and
// given when it was asked for again, is not.
func unreadable(err error) bool {
	return err != nil && !errors.Is(err, errTransient) && mentions(err, brokenErrnos())
}

// mentions says whether one of the numbers is in an error. Badger flattens errors, so
// that their text must do.
func mentions(err error, numbers []syscall.Errno) bool {
	for _, e := range numbers {
		if errors.Is(err, e) || strings.Contains(err.Error(), e.Error()) {
			return true
		}
	}
	return false
}

// blame finds out what is to blame for an error that was met at a path: the path, if
// the disk does not give it when it is asked again; else the system, which may do
// better later.
func (s *seam) blame(path string, err error) error {
	if unreadable(err) && unreadable(s.ask(path)) {
		return err
	}
	return transient(err)
}

// blameFiles is blame for an error that was met at some file of a directory.
func (s *seam) blameFiles(dir string, err error) error {
	if !unreadable(err) {
		return transient(err)
	}
	files, listed := s.readDir(dir)
	if unreadable(listed) {
		return err
	}
	for _, f := range files {
		if unreadable(s.ask(filepath.Join(dir, f.Name()))) {
			return err
		}
	}
	return transient(err)
}

// ask reads a file, or lists a directory, for the sake of the error.
func (s *seam) ask(path string) error {
	f, err := s.openFile(path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		_, err = s.readDir(path)
		return err
	}
	_, err = io.Copy(io.Discard, f)
	return err
}

// trialFile is written and read to see whether a disk does that at all.
const trialFile = "TRIAL"

// trial is nil for a disk that takes and gives files. One that does not is no reason to
// set anything aside: its next start may be in a better state.
func (s *seam) trial(dir string) error {
	name := filepath.Join(dir, trialFile)
	if err := s.replaceFile(name, []byte(trialFile)); err != nil {
		return transient(err)
	}
	if b, err := s.readFile(name); err != nil || string(b) != trialFile {
		return transient(fmt.Errorf("read %s: %q, %w", trialFile, b, err))
	}
	if _, err := s.readDir(dir); err != nil {
		return transient(err)
	}
	if err := s.remove(name); err != nil {
		return transient(err)
	}
	return nil
}

// errStays: a directory that can neither be read nor moved is left where it is.
var errStays = errors.New("it can neither be read nor moved")

// stay is for a directory that could not be moved. If that is because it can not be
// read, it is counted with those in quarantine, at each opening again, and nobody looks
// into it any more.
func (r *ring) stay(dir string, err error) error {
	if err = r.seam.blame(dir, err); errors.Is(err, errTransient) {
		return err
	}
	r.aside.Add(1)
	r.log.Error("left where it is what can neither be read nor moved; a check of the file system may bring it back", "directory", dir, "error", err)
	return fmt.Errorf("%w: %w", errStays, err)
}

// Numbers that may have been given out in what is lost, and are not known: of pages in
// one segment, and of messages, most of which never reach a disk.
const (
	lostPages = 1 << 32
	lostSeqs  = 1 << 40
)
