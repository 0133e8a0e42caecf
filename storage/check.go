package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"
)

// openChecked opens a Badger directory behind the checks that Badger lacks: it
// panics in goroutines of its own on a truncated table, deletes tables that no
// manifest names, and fails on files of length zero. A marker counts attempts,
// so that a directory that ends the process is not tried a third time.
//
// Its errors other than errTransient mean that the directory is damaged.
func openChecked(dir string, o badger.Options, s *seam) (*badger.DB, error) {
	if err := guardTables(o); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, transient(fmt.Errorf("make directory: %w", err))
	}
	if err := checkFiles(dir); err != nil {
		return nil, err
	}
	done, err := markOpening(dir)
	if err != nil {
		return nil, err
	}
	db, err := s.open(o)
	done()
	if err != nil {
		err = fmt.Errorf("open %s: %w", filepath.Base(dir), err)
		if systemRefused(err) {
			return nil, transient(err)
		}
		return nil, err
	}
	return db, nil
}

// systemRefused says whether an error tells about the system, not about what is
// in a file. Badger flattens errors, so that their text must do.
func systemRefused(err error) bool {
	for _, e := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOSPC, syscall.EDQUOT,
		syscall.EROFS, syscall.EIO, syscall.EACCES, syscall.EPERM, syscall.EAGAIN,
	} {
		if strings.Contains(err.Error(), e.Error()) {
			return true
		}
	}
	return false
}

// errTransient: not the directory is to blame but the system. Try again later.
var errTransient = errors.New("the system refused")

func transient(err error) error { return fmt.Errorf("%w: %w", errTransient, err) }

const (
	openingFile  = "opening"
	openAttempts = 2
)

// markOpening counts an attempt until done is called. It need not be synced: it
// is against panics of Badger's, which leave the page cache as it is.
func markOpening(dir string) (done func(), err error) {
	name := filepath.Join(dir, openingFile)
	attempts := 0
	if b, err := os.ReadFile(name); err == nil {
		attempts, _ = strconv.Atoi(strings.TrimSpace(string(b)))
	}
	if attempts >= openAttempts {
		return nil, fmt.Errorf("opening %s has ended the process %d times", filepath.Base(dir), attempts)
	}
	if err := os.WriteFile(name, []byte(strconv.Itoa(attempts+1)), 0o600); err != nil {
		return nil, transient(fmt.Errorf("mark opening: %w", err))
	}
	return func() { os.Remove(name) }, nil
}

// checkFiles looks at the files of a Badger directory.
func checkFiles(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return transient(fmt.Errorf("list directory: %w", err))
	}
	tables, manifest := 0, false
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		switch filepath.Ext(f.Name()) {
		case ".mem", ".vlog":
			err = removeEmpty(path)
		case ".sst":
			tables++
			err = checkTable(path)
		default:
			manifest = manifest || f.Name() == badger.ManifestFilename
		}
		if err != nil {
			return err
		}
	}
	if tables > 0 && !manifest {
		return fmt.Errorf("%s has tables but no manifest", filepath.Base(dir))
	}
	return nil
}

// removeEmpty removes a file of length zero: a crash came between its creation
// and its first byte, or between its truncation and its removal.
func removeEmpty(path string) error {
	info, err := os.Stat(path)
	if err != nil || info.Size() > 0 {
		return err
	}
	return os.Remove(path)
}

// checkTable verifies the footer, the index and the last block of a table, which
// Badger reads when it opens one, and on whose damage it panics.
func checkTable(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return transient(fmt.Errorf("read table: %w", err))
	}
	if err := verifyTable(b, false); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return nil
}

// verifyTable reads a table from its end:
//
//	blocks | index | index length u32 | checksum | checksum length u32
func verifyTable(b []byte, all bool) (err error) {
	defer func() { // the index is a flatbuffer: what lies about its lengths panics
		if r := recover(); r != nil {
			err = fmt.Errorf("table is damaged: %v", r)
		}
	}()
	rest, sum, err := cutChecksum(b)
	if err != nil {
		return err
	}
	rest, index, err := cutTail(rest)
	if err != nil {
		return err
	}
	if err := y.VerifyChecksum(index, sum); err != nil {
		return fmt.Errorf("table index: %w", err)
	}
	root := fb.GetRootAsTableIndex(index, 0)
	first := max(0, root.OffsetsLength()-1)
	if all {
		first = 0
	}
	for i := first; i < root.OffsetsLength(); i++ {
		var block fb.BlockOffset
		if !root.Offsets(&block, i) {
			return errors.New("table index has holes")
		}
		from, n := uint64(block.Offset()), uint64(block.Len())
		if from+n > uint64(len(rest)) {
			return errors.New("block is out of the table")
		}
		data, sum, err := cutChecksum(rest[from : from+n])
		if err != nil {
			return err
		}
		if err := y.VerifyChecksum(data, sum); err != nil {
			return fmt.Errorf("block %d: %w", i, err)
		}
	}
	return nil
}

// cutTail cuts a part off the end of b whose length stands behind it.
func cutTail(b []byte) (rest, tail []byte, err error) {
	if len(b) < 4 {
		return nil, nil, errors.New("table is too short")
	}
	n := uint64(binary.BigEndian.Uint32(b[len(b)-4:]))
	b = b[:len(b)-4]
	if n > uint64(len(b)) {
		return nil, nil, errors.New("table is cut off")
	}
	return b[:uint64(len(b))-n], b[uint64(len(b))-n:], nil
}

func cutChecksum(b []byte) (rest []byte, sum *pb.Checksum, err error) {
	rest, tail, err := cutTail(b)
	if err != nil {
		return nil, nil, err
	}
	sum = new(pb.Checksum)
	if err := proto.Unmarshal(tail, sum); err != nil {
		return nil, nil, fmt.Errorf("checksum: %w", err)
	}
	return rest, sum, nil
}
