package storage

import (
	"fmt"
	"os"
	"path/filepath"
)

// The spare is a file of allocated blocks. While the store runs, the watermark
// keeps room for what Badger has to write; but somebody else may fill the disk
// while it does not, and opening a database writes through mappings as well. So
// Open gives the spare up when the room is short, and it is made again when
// there is plenty.
const (
	spareFile = "SPARE"
	spareSize = 16 << 20
)

// useSpare gives up the spare where it is needed to open or close databases.
// Without room neither may be done, because it would end the process.
func useSpare(dir string, s *seam) error {
	free, err := s.free(dir)
	if err != nil {
		return fmt.Errorf("measure room: %w", err)
	}
	if free >= watermark {
		return nil
	}
	if err := os.Remove(filepath.Join(dir, spareFile)); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("give up spare room: %w", err)
	}
	if free, err = s.free(dir); err != nil {
		return fmt.Errorf("measure room: %w", err)
	}
	if free < watermark {
		return fmt.Errorf("%w: %d MiB are free, %d MiB are needed", errFullDisk, free>>20, watermark>>20)
	}
	return nil
}

// keepSpare makes the spare when it is not there and the room is not short. That
// it fails is of no matter now.
func keepSpare(dir string, s *seam) {
	name := filepath.Join(dir, spareFile)
	if info, err := os.Stat(name); err == nil && info.Size() == spareSize {
		return
	}
	if free, err := s.free(dir); err != nil || free < 2*watermark+2*spareSize {
		return
	}
	f, err := os.Create(name)
	if err != nil {
		return
	}
	defer f.Close()
	if s.allocate(f, spareSize) != nil || f.Truncate(spareSize) != nil {
		os.Remove(name)
	}
}
