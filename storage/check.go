package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"
)

// openChecked opens a Badger directory, of a segment with this tag or none, behind the
// checks that Badger lacks: it panics in goroutines of its own on a truncated table, deletes
// tables that no manifest names, and fails on files of length zero. A marker counts
// attempts, so that a directory that ends the process is not tried for ever.
//
// Its errors other than errTransient mean that the directory is damaged. Behind errKept,
// which is transient, it can be opened.
func openChecked(dir string, tag uint64, o badger.Options, s *seam) (*badger.DB, error) {
	if !o.ReadOnly {
		if err := s.makeDir(dir); err != nil {
			return nil, s.blame(dir, err)
		}
	}
	if err := checkFiles(dir, o, s); err != nil {
		return nil, err
	}
	if !o.ReadOnly {
		if err := settle(dir, tag, o, s); err != nil {
			return nil, err
		}
	}
	if err := enoughFiles(dir); err != nil {
		return nil, s.blame(dir, err)
	}
	done, err := markOpening(dir, s)
	if err != nil && !(o.ReadOnly && errors.Is(err, syscall.ENOSPC)) { // a full disk has to be drained
		return nil, err
	}
	db, err := openGuarded(o, s)
	if errors.Is(err, errFault) {
		if s.fills(dir) { // else it may be damage, and was an attempt
			done()
		}
		return nil, transient(fmt.Errorf("open %s: %w", filepath.Base(dir), errFault))
	}
	done()
	if err != nil {
		err = fmt.Errorf("open %s: %w", filepath.Base(dir), err)
		if unreadable(err) || systemRefused(err) {
			return nil, s.blameFiles(dir, err)
		}
		return nil, err
	}
	return db, nil
}

// openGuarded opens a database, which begins some files through mappings, in this
// goroutine. A fault of one is an error; what was open of the database by then is lost to
// the process, since Badger gives it to nobody: a few descriptors and megabytes.
func openGuarded(o badger.Options, s *seam) (db *badger.DB, err error) {
	err = guarded(func() (err error) {
		db, err = s.open(o)
		return err
	})
	return db, err
}

// fills says whether the disk is so full that it may have refused a page.
func (s *seam) fills(dir string) bool {
	free, err := s.free(dir)
	return err == nil && free < watermark
}

// enoughFiles sees whether as many descriptors are left as Badger takes for a directory:
// it ends the process when one is missing while it lists its files, and the marker would
// take that for damage.
func enoughFiles(dir string) error {
	const besides = 16 // manifest, locks, journals, statistics, and what others take meanwhile
	names, err := os.ReadDir(dir)
	for range besides + len(names) {
		var f *os.File
		if f, err = os.Open(dir); err != nil {
			break
		}
		defer f.Close()
	}
	if err != nil {
		return fmt.Errorf("descriptors for %s: %w", filepath.Base(dir), err)
	}
	return nil
}

// systemRefused says whether an error tells about the system, not about what is
// in a file.
func systemRefused(err error) bool {
	return mentions(err, []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOSPC, syscall.EDQUOT,
		syscall.EROFS, syscall.EACCES, syscall.EPERM, syscall.EAGAIN,
	})
}

// errTransient: not the directory is to blame but the system. Try again later.
var errTransient = errors.New("the system refused")

func transient(err error) error { return fmt.Errorf("%w: %w", errTransient, err) }

// openAttempts is how often opening a directory may end the process before it is
// set aside. A kill or a power cut may fall into an opening as well, even twice;
// hardly that often in a row.
const (
	openingFile  = "opening"
	openAttempts = 4
)

// markOpening counts an attempt until done is called. It need not be synced: it
// is against panics of Badger's, which leave the page cache as it is.
func markOpening(dir string, s *seam) (done func(), err error) {
	name := filepath.Join(dir, openingFile)
	attempts := 0
	if b, err := s.readFile(name); err == nil {
		attempts, _ = strconv.Atoi(strings.TrimSpace(string(b)))
	}
	mark := func(n int) error {
		return s.writeFile(name, []byte(strconv.Itoa(n)), func(*os.File) error { return nil })
	}
	done = func() {
		if s.remove(name) != nil {
			_ = mark(0) // else what went well would count
		}
	}
	if attempts >= openAttempts {
		return done, fmt.Errorf("opening %s has ended the process %d times", filepath.Base(dir), attempts)
	}
	if err := mark(attempts + 1); err != nil {
		return done, s.blame(name, fmt.Errorf("mark opening: %w", err))
	}
	return done, nil
}

// checkFiles looks at the files of a Badger directory.
func checkFiles(dir string, o badger.Options, s *seam) error {
	files, err := s.readDir(dir)
	if err != nil {
		return s.blame(dir, fmt.Errorf("list directory: %w", err))
	}
	if err := checkRegistry(filepath.Join(dir, badger.KeyRegistryFileName), s); err != nil {
		return err
	}
	known, err := manifestTables(dir, o, s)
	if err != nil {
		return err
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		switch filepath.Ext(f.Name()) {
		case ".mem", ".vlog":
			err = removeEmpty(path, s)
		case ".sst":
			if id, ok := table.ParseFileID(f.Name()); known == nil {
				err = fmt.Errorf("%s has tables but no manifest", filepath.Base(dir))
			} else if ok && known[id] {
				err = checkTable(path, s)
			} else {
				err = orphan(path, s)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkRegistry removes a registry of encryption keys that is not an empty one.
// We have no such keys, and Badger believes whatever lengths it reads there.
func checkRegistry(path string, s *seam) error {
	const ivAndSanity, sanity = 28, "Hello Badger"
	b, err := s.readFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return s.blame(path, fmt.Errorf("read key registry: %w", err))
	}
	if len(b) == ivAndSanity && strings.HasSuffix(string(b), sanity) {
		return nil
	}
	if err := s.remove(path); err != nil {
		return transient(fmt.Errorf("remove key registry: %w", err))
	}
	return nil
}

// manifestTables gives the tables that the manifest names, nil when there is none.
func manifestTables(dir string, o badger.Options, s *seam) (map[uint64]bool, error) {
	path := filepath.Join(dir, badger.ManifestFilename)
	f, err := s.openFile(path, os.O_RDONLY)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, s.blame(path, fmt.Errorf("open manifest: %w", err))
	}
	defer f.Close()
	m, _, err := badger.ReplayManifestFile(f, 0, o)
	if err != nil {
		err = fmt.Errorf("read manifest: %w", err)
		if unreadable(err) {
			return nil, s.blame(path, err)
		}
		return nil, err
	}
	known := make(map[uint64]bool, len(m.Tables))
	for id := range m.Tables {
		known[id] = true
	}
	return known, nil
}

// orphan takes a table that no manifest names out of Badger's sight, which would
// delete it. A crash leaves one between the table and its line in the manifest,
// and then its journal is there as well; a manifest that lost its end leaves
// more. Should pages turn out to be missing, the segment goes to quarantine with it.
func orphan(path string, s *seam) error {
	if err := s.rename(path, path+".orphan"); err != nil {
		return s.blame(path, fmt.Errorf("put orphan aside: %w", err))
	}
	return nil
}

// removeEmpty removes a file of length zero: a crash came between its creation
// and its first byte, or between its truncation and its removal.
func removeEmpty(path string, s *seam) error {
	info, err := os.Stat(path)
	if err == nil && info.Size() == 0 {
		err = s.remove(path)
	}
	if err != nil {
		return s.blame(path, fmt.Errorf("remove empty file: %w", err))
	}
	return nil
}

// checkTable verifies the footer, the index and the last block of a table, which
// Badger reads when it opens one, and on whose damage it panics.
func checkTable(path string, s *seam) error {
	f, err := s.openFile(path, os.O_RDONLY)
	if err != nil {
		return s.blame(path, fmt.Errorf("open table: %w", err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return s.blame(path, fmt.Errorf("open table: %w", err))
	}
	err = verifyTable(f, info.Size())
	if unreadable(err) {
		err = verifyTable(f, info.Size())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return nil
}

// verifyTable reads a table from its end:
//
//	blocks | index | index length u32 | checksum | checksum length u32
func verifyTable(r io.ReaderAt, size int64) (err error) {
	defer func() { // the index is a flatbuffer: what lies about its lengths panics
		if r := recover(); r != nil {
			err = fmt.Errorf("table is damaged: %v", r)
		}
	}()
	sum, rest, err := readChecksum(r, size)
	if err != nil {
		return err
	}
	index, rest, err := readTail(r, rest)
	if err != nil {
		return err
	}
	if err := y.VerifyChecksum(index, sum); err != nil {
		return fmt.Errorf("table index: %w", err)
	}
	root := fb.GetRootAsTableIndex(index, 0)
	var block fb.BlockOffset
	if n := root.OffsetsLength(); n == 0 || !root.Offsets(&block, n-1) {
		return errors.New("table has no blocks")
	}
	from, end := int64(block.Offset()), int64(block.Offset())+int64(block.Len())
	if end > rest {
		return errors.New("table is cut off")
	}
	sum, rest, err = readChecksum(r, end)
	if err != nil {
		return err
	}
	data := make([]byte, max(0, rest-from))
	if _, err := r.ReadAt(data, from); err != nil {
		return fmt.Errorf("read block: %w", err)
	}
	if err := y.VerifyChecksum(data, sum); err != nil {
		return fmt.Errorf("last block: %w", err)
	}
	return nil
}

// readTail reads the part before end whose length stands last.
func readTail(r io.ReaderAt, end int64) (tail []byte, rest int64, err error) {
	var length [4]byte
	if end < int64(len(length)) {
		return nil, 0, errors.New("table is too short")
	}
	end -= int64(len(length))
	if _, err := r.ReadAt(length[:], end); err != nil {
		return nil, 0, fmt.Errorf("read table: %w", err)
	}
	n := int64(binary.BigEndian.Uint32(length[:]))
	if n > end {
		return nil, 0, errors.New("table is cut off")
	}
	tail = make([]byte, n)
	if _, err := r.ReadAt(tail, end-n); err != nil {
		return nil, 0, fmt.Errorf("read table: %w", err)
	}
	return tail, end - n, nil
}

func readChecksum(r io.ReaderAt, end int64) (sum *pb.Checksum, rest int64, err error) {
	tail, rest, err := readTail(r, end)
	if err != nil {
		return nil, 0, err
	}
	sum = new(pb.Checksum)
	if err := proto.Unmarshal(tail, sum); err != nil {
		return nil, 0, fmt.Errorf("checksum: %w", err)
	}
	return sum, rest, nil
}
