package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// The spare is a file of allocated blocks. While the store runs, the watermark
// keeps room for what has to be written; but somebody else may fill the disk
// while it does not, and it has to open there, to be drained, and to be closed. So
// the spare is given up for the moment of opening or closing, when the room is
// short, and what is left of it is taken back at once. Opening replaces journals
// by new ones, so that nearly all of it is left: it lasts for any number of
// starts on a full disk.
const (
	spareFile  = "SPARE"
	spareSize  = 16 << 20
	spareLeave = 1 << 20 // what taking the rest leaves to the file system
)

// ErrNoRoom: the disk is so full that the store can not even be opened. Try again when
// there is room.
var ErrNoRoom = errors.New("no room to open the store")

// useSpare gives up the spare where it is needed to have so many bytes free.
func useSpare(dir string, need int64, s *seam) error {
	free, err := s.free(dir)
	if err != nil {
		return fmt.Errorf("measure room: %w", err)
	}
	if free >= need {
		return nil
	}
	if err := s.remove(filepath.Join(dir, spareFile)); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("give up spare room: %w", err)
	}
	if free, err = s.free(dir); err != nil {
		return fmt.Errorf("measure room: %w", err)
	}
	if free < need {
		keepSpare(dir, s)
		return fmt.Errorf("%w: %d KiB are free, %d KiB are needed", ErrNoRoom, free>>10, need>>10)
	}
	return nil
}

// databases are the directories that Open opens for writing.
func databases(dir string) map[string]int64 {
	sizes := make(map[string]int64) // of their memtables
	for _, name := range metaNames {
		sizes[filepath.Join(dir, name)] = metaMemtable
	}
	segments, _ := filepath.Glob(filepath.Join(dir, ringDir, "[0-9]*"))
	for _, s := range segments {
		if _, err := os.Stat(filepath.Join(s, sealFile)); err != nil {
			sizes[s] = segmentMemtable
		}
	}
	return sizes
}

// roomToOpen is what opening writes: each database gets a new journal, and makes
// a table of the old one.
func roomToOpen(dir string) int64 {
	need := int64(spareLeave)
	for name, memtable := range databases(dir) {
		need += memtable + memtable/4
		if journals, _ := filepath.Glob(filepath.Join(name, "*.mem")); len(journals) > 0 {
			need += memtable + memtable/5
		}
	}
	return need
}

// roomToSeal is what the last checkpoint and seal write: each database may make a table
// of its journal.
func roomToSeal(dir string) int64 {
	need := int64(spareLeave)
	for _, memtable := range databases(dir) {
		need += memtable + memtable/5
	}
	return need
}

// keepSpare makes the spare, or takes back what is free of it. While the room is
// short nothing is written in any case; so the spare has it first. That it fails
// is of no matter now.
func keepSpare(dir string, s *seam) {
	free, err := s.free(dir)
	if err != nil {
		return
	}
	size := int64(0)
	if info, err := os.Stat(filepath.Join(dir, spareFile)); err == nil {
		size = info.Size()
	}
	if size >= spareSize || size == 0 && free >= watermark && free < 2*watermark+2*spareSize {
		return // it is there, or the disk is too small for one
	}
	grown := min(spareSize, size+free-spareLeave)
	if grown <= size {
		return
	}
	f, err := s.openFile(filepath.Join(dir, spareFile), os.O_CREATE|os.O_RDWR)
	if err != nil {
		return
	}
	defer f.Close()
	if err := s.allocate(f, grown); err == nil {
		_ = f.Truncate(grown)
	}
}
