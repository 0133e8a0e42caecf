package storage

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"
)

const (
	memSuffix     = ".mem"
	damagedSuffix = ".damaged"
)

// settle makes tables of the journals in a directory that nobody has open: those of a
// handle that was closed, or of a process that was killed. Badger would do that at its
// next opening, in a goroutine of its own and through a mapping, where a full disk is the
// end of the process; with system calls it is an error, and may be tried again.
//
// The order of effects, for each journal, oldest first:
//
//  1. the table, durable, under its name;
//  2. its line in the manifest, durable: from now on it counts;
//  3. the journal goes.
//
// A kill behind 1 leaves a table that no manifest names (see orphan), one behind 2 the
// journal and its table, which say the same: what is in both is there once.
//
// Of a segment, a journal that is damaged before its end, or of which the disk does not give
// a part, stays under another name, and is told (errKept).
func settle(dir string, tag uint64, o badger.Options, s *seam) error {
	journals, err := journalsIn(dir, s)
	if err != nil || len(journals) == 0 {
		return err
	}
	known, err := manifestTables(dir, o, s)
	if err != nil {
		return err
	}
	if known == nil { // before there is a table, which nobody would name after a kill
		if err := s.replaceFile(filepath.Join(dir, badger.ManifestFilename), []byte("Bdgr\x00\x00\x00\x08")); err != nil {
			return transient(fmt.Errorf("begin manifest: %w", err))
		}
	}
	var kept error
	next := uint64(1)
	for id := range known {
		next = max(next, id+1)
	}
	for _, path := range journals {
		entries, damaged, err := readJournal(path, tag, s)
		if err != nil {
			return err
		}
		if len(entries) > 0 {
			if err := addTable(dir, next, entries, o, s); err != nil {
				return err
			}
			next++
		}
		if damaged {
			kept = transient(fmt.Errorf("%w: %s", errKept, filepath.Base(path)))
			err = s.rename(path, path+"."+strconv.FormatInt(time.Now().UnixNano(), 10)+damagedSuffix)
		} else {
			err = s.remove(path)
		}
		if err != nil { // 3
			return transient(fmt.Errorf("put journal away: %w", err))
		}
	}
	return kept
}

// errKept: a journal was damaged. What can be read of it has its table, and it is out of
// the way of the next opening.
var errKept = errors.New("a journal is damaged")

// readJournal reads a journal: of a segment what can be read of it. The state has a second
// copy.
func readJournal(path string, tag uint64, s *seam) (entries []journalEntry, damaged bool, err error) {
	b, err := s.readFile(path)
	broken := err != nil
	if broken {
		if err = s.blame(path, fmt.Errorf("read journal: %w", err)); tag == tagNone || errors.Is(err, errTransient) {
			return nil, false, err
		}
		if b, err = readAround(path, s); err != nil {
			return nil, false, s.blame(path, fmt.Errorf("read journal: %w", err))
		}
	}
	entries, damaged = journalEntries(b, tag)
	return entries, damaged || broken, nil
}

// journalsIn lists the journals in a directory, oldest first.
func journalsIn(dir string, s *seam) (paths []string, err error) {
	files, err := s.readDir(dir)
	if err != nil {
		return nil, s.blame(dir, fmt.Errorf("list directory: %w", err))
	}
	number := func(path string) int {
		n, _ := strconv.Atoi(strings.TrimSuffix(filepath.Base(path), memSuffix))
		return n
	}
	for _, f := range files {
		if filepath.Ext(f.Name()) == memSuffix {
			paths = append(paths, filepath.Join(dir, f.Name()))
		}
	}
	slices.SortFunc(paths, func(a, b string) int { return cmp.Compare(number(a), number(b)) })
	return paths, nil
}

func addTable(dir string, id uint64, entries []journalEntry, o badger.Options, s *seam) error {
	made := buildTable(entries, o)
	if id > 1 && holdsSame(table.NewFilename(id-1, dir), made, s) {
		return nil // its journal could not be removed the last time
	}
	if err := s.replaceFile(table.NewFilename(id, dir), made); err != nil { // 1
		return transient(fmt.Errorf("make table: %w", err))
	}
	s.step("table: made")
	if err := addToManifest(dir, id, o, s); err != nil { // 2
		return err
	}
	s.step("table: named")
	return nil
}

// holdsSame says whether a file holds these bytes and nothing else.
func holdsSame(path string, want []byte, s *seam) bool {
	if info, err := os.Stat(path); err != nil || info.Size() != int64(len(want)) {
		return false
	}
	b, err := s.readFile(path)
	return err == nil && bytes.Equal(b, want)
}

// buildTable makes a table of Badger's.
//
// On 32-bit machines Badger's builder loses data where it needs more than the first part
// of its arena: the shift by which it goes on to a second one overflows, so that it begins
// anew with the first and overwrites what it has built. The first part is twice TableSize,
// and has to hold all blocks; and no entry may be larger than a block, because a block that
// grows is copied, and its old place is lost.
func buildTable(entries []journalEntry, o badger.Options) []byte {
	slices.SortStableFunc(entries, func(a, b journalEntry) int { return y.CompareKeys(a.key, b.key) })
	block := o.BlockSize
	for _, e := range entries {
		block = max(block, e.inBlock())
	}
	b := table.NewTableBuilder(table.Options{
		TableSize:          uint64(blocksFor(entries, block)*(block+blockPadding)+1) / 2,
		BlockSize:          block,
		BloomFalsePositive: o.BloomFalsePositive,
		ChkMode:            options.NoVerification,
		Compression:        o.Compression,
	})
	defer b.Close()
	for i, e := range entries {
		if i+1 < len(entries) && y.CompareKeys(e.key, entries[i+1].key) == 0 {
			continue // written again under the same version: the later one counts
		}
		b.Add(e.key, y.ValueStruct{Meta: e.meta, UserMeta: e.userMeta, ExpiresAt: e.expires, Value: e.value}, e.inValueLog())
	}
	return b.Finish()
}

// blocksFor is how many blocks the entries fill at most.
func blocksFor(entries []journalEntry, block int) (n int) {
	used := block
	for _, e := range entries {
		if size := e.inBlock(); used+size > block {
			n, used = n+1, size
		} else {
			used += size
		}
	}
	return n
}

const (
	blockOverhead = 64  // more than an entry takes in a block, beside its key and value
	blockPadding  = 256 // what Badger adds to a block
)

// inBlock is what the entry takes in a block at most.
func (e journalEntry) inBlock() int { return len(e.key) + len(e.value) + blockOverhead }

// addToManifest appends a line to the manifest of a database, behind its last whole one:
//
//	"Bdgr" | external version u16 | version u16 | for each line: length u32 | sum u32 | changes
func addToManifest(dir string, id uint64, o badger.Options, s *seam) error {
	line, err := manifestLine(id, o)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, badger.ManifestFilename)
	f, err := s.openFile(path, os.O_RDWR)
	if err != nil {
		return s.blame(path, fmt.Errorf("open manifest: %w", err))
	}
	_, end, err := badger.ReplayManifestFile(f, 0, o)
	if err == nil {
		err = f.Truncate(end)
	}
	if err == nil {
		err = s.write(f, line, end)
	}
	if err == nil {
		err = s.syncData(f)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return transient(fmt.Errorf("write manifest: %w", err))
	}
	return nil
}

func manifestLine(id uint64, o badger.Options) ([]byte, error) {
	changes, err := proto.Marshal(&pb.ManifestChangeSet{Changes: []*pb.ManifestChange{{
		Id: id, Op: pb.ManifestChange_CREATE, Compression: uint32(o.Compression),
	}}})
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	line := binary.BigEndian.AppendUint32(nil, uint32(len(changes)))
	line = binary.BigEndian.AppendUint32(line, crc32.Checksum(changes, castagnoli))
	return append(line, changes...), nil
}
