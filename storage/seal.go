package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	sealFile   = "SEAL"
	sealFormat = 1
)

// seal ends a segment for good, in this order:
//
//  1. the database is closed, and its journal becomes a table (settle);
//  2. the directory's names are durable;
//  3. SEAL names the files with their sizes and sums, and what the segment holds.
//
// Before the third step the segment is opened for writing again after a crash.
// The caller has written the checkpoint before, so that a sealed segment holds
// no change that meta lacks.
func (s *segment) seal(r sealRecord) error {
	s.mu.Lock() // readers wait, and then open it read-only
	defer s.mu.Unlock()
	if err := s.closeLocked(); err != nil {
		return fmt.Errorf("close segment: %w", err)
	}
	if err := settle(s.dir, s.tag, segmentOptions(s.dir, s.log), s.seam); err != nil {
		return err
	}
	s.seam.step("seal: closed")
	if err := s.seam.syncDir(s.dir); err != nil {
		return err
	}
	files, err := sealedFiles(s.dir, s.seam)
	if err != nil {
		return err
	}
	r.Format, r.Files = sealFormat, files
	b, err := r.MarshalMsg(nil)
	if err != nil {
		return fmt.Errorf("encode seal: %w", err)
	}
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if err := s.seam.replaceFile(filepath.Join(s.dir, sealFile), b); err != nil {
		return fmt.Errorf("write seal: %w", err)
	}
	s.sealed = true
	s.seam.step("seal: written")
	return nil
}

// sealedFiles describes the files that matter and removes Badger's others: the
// value log, which is empty, and its statistics.
func sealedFiles(dir string, s *seam) ([]fileRecord, error) {
	names, err := s.readDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list segment: %w", err)
	}
	var files []fileRecord
	for _, f := range names {
		path := filepath.Join(dir, f.Name())
		switch filepath.Ext(f.Name()) {
		case ".mem":
			return nil, errors.New("closed segment still has a journal")
		case ".vlog":
			err = s.remove(path)
		case ".sst":
			files, err = appendFile(files, path, s)
		default:
			switch f.Name() {
			case "MANIFEST":
				files, err = appendFile(files, path, s)
			case "DISCARD":
				err = s.remove(path)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

func appendFile(files []fileRecord, path string, s *seam) ([]fileRecord, error) {
	size, sum, err := sumFile(path, s)
	if err != nil {
		return nil, err
	}
	return append(files, fileRecord{Name: filepath.Base(path), Size: size, CRC: sum}), nil
}

func sumFile(path string, s *seam) (size int64, sum uint32, err error) {
	f, err := s.openFile(path, os.O_RDONLY)
	if err != nil {
		return 0, 0, fmt.Errorf("open file: %w", err)
	}
	defer f.Close()
	hash := crc32.New(castagnoli)
	if size, err = io.Copy(hash, f); err != nil {
		return 0, 0, fmt.Errorf("read file: %w", err)
	}
	return size, hash.Sum32(), nil
}

// readSeal reads the seal of a segment. A segment without one, or with one that is
// torn or that the disk does not give, was not sealed: ok is false.
func readSeal(dir string, s *seam) (r sealRecord, ok bool, err error) {
	b, err := s.readFile(filepath.Join(dir, sealFile))
	if unreadable(err) {
		b, err = s.readFile(filepath.Join(dir, sealFile))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !unreadable(err) {
		return r, false, transient(fmt.Errorf("read seal: %w", err))
	}
	if err != nil || len(b) < 4 {
		return r, false, nil
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return r, false, nil
	}
	rest, err := r.UnmarshalMsg(body)
	return r, err == nil && len(rest) == 0 && r.Format <= sealFormat, nil
}

// checkSeal compares the files with the seal: sizes, and the sum of the manifest
// (of which a lost tail would make Badger delete tables). The tables' own sums
// are looked at when they are opened, and each page has its own. A disk that errs is
// asked twice, because what it does not give is damage.
func checkSeal(dir string, r sealRecord, s *seam) error {
	err := checkSealOnce(dir, r, s)
	if unreadable(err) {
		err = checkSealOnce(dir, r, s)
	}
	return err
}

func checkSealOnce(dir string, r sealRecord, s *seam) error {
	for _, f := range r.Files {
		path := filepath.Join(dir, f.Name)
		info, err := os.Stat(path)
		if err != nil {
			return missingOrRefused(err)
		}
		if info.Size() != f.Size {
			return fmt.Errorf("sealed file %s has %d bytes instead of %d", f.Name, info.Size(), f.Size)
		}
		if f.Name != "MANIFEST" {
			continue
		}
		_, sum, err := sumFile(path, s)
		if err != nil {
			return missingOrRefused(err)
		}
		if sum != f.CRC {
			return fmt.Errorf("sealed file %s is damaged", f.Name)
		}
	}
	return nil
}

// missingOrRefused: a file that is gone, or that the disk does not give, is damage, and
// a system that has no more files or memory is not.
func missingOrRefused(err error) error {
	err = fmt.Errorf("sealed file: %w", err)
	if errors.Is(err, fs.ErrNotExist) || unreadable(err) {
		return err
	}
	return transient(err)
}
