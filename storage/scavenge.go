package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"

	"github.com/weir-edge/weir/core"
)

// scavenge finds the pages in the files of a damaged segment: in what can be read of its
// journals and tables, and elsewhere by their magic. unread tells of what the disk does not
// give at all: of some files, or of the directory.
func scavenge(dir string, s *seam, dec *codec) (pages map[uint64][]byte, unread, err error) {
	files, err := s.readDir(dir)
	if err != nil {
		err = s.blame(dir, fmt.Errorf("list damaged segment: %w", err))
		if errors.Is(err, errTransient) {
			return nil, nil, err
		}
		return nil, err, nil
	}
	found := finds{dec: dec, chunks: make(chunks), tags: make(map[uint64]bool)}
	for _, f := range files {
		ext := filepath.Ext(f.Name())
		switch ext {
		case ".sst", memSuffix, ".orphan", damagedSuffix:
		default:
			continue
		}
		b, err := readAround(filepath.Join(dir, f.Name()), s)
		if unreadable(err) {
			unread = errors.Join(unread, err)
			continue
		}
		if err != nil {
			return nil, nil, transient(fmt.Errorf("read damaged segment: %w", err))
		}
		found.search(b, ext == memSuffix || ext == damagedSuffix)
	}
	return found.pages(), unread, nil
}

// finds is what was found in the files of a segment.
type finds struct {
	dec    *codec
	chunks chunks          // in their places
	tags   map[uint64]bool // of those
	loose  []loosePage     // by their magic
}

type loosePage struct {
	pageInfo
	b []byte
}

func (f *finds) search(b []byte, journal bool) {
	if journal {
		entries, _ := journalEntries(b, tagUnknown)
		f.chunks.addJournal(entries)
	} else {
		f.chunks.addTable(b)
	}
	for b, p := range pagesIn(b, f.dec) {
		f.loose = append(f.loose, loosePage{p.pageInfo, bytes.Clone(b)})
	}
}

// pages gives what was found of each. What has the magic of a page may be in a payload:
// so where all pages that are in their places have one tag, it has to have that as well.
// The groups of older programs have none.
func (f *finds) pages() map[uint64][]byte {
	pages, marks := make(map[uint64][]byte), make(map[uint64]core.Seq)
	take := func(b []byte, p pageInfo) {
		// A group that failed was written again, later, under the same number.
		if old, ok := marks[p.page]; !ok || core.Seq(p.mark) > old {
			pages[p.page], marks[p.page] = b, core.Seq(p.mark)
		}
	}
	for b := range f.chunks.pages() {
		if p, err := f.dec.parsePage(b); err == nil {
			f.tags[tagOf(p.group)] = true
			take(b, p.pageInfo)
		}
	}
	for _, p := range f.loose {
		if len(f.tags) != 1 || f.tags[tagOf(p.group)] {
			take(p.b, p.pageInfo)
		}
	}
	return pages
}

// readAround reads a file, with zeros in place of what the disk does not give any more.
// It fails where it gives nothing of it: an inode, asked for twice.
func readAround(path string, s *seam) ([]byte, error) {
	b, err := s.readFile(path)
	if !unreadable(err) {
		return b, err
	}
	f, err := s.openFile(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b = make([]byte, info.Size())
	const sector = 4096
	for at := 0; at < len(b); at += sector {
		part := b[at:min(len(b), at+sector)]
		if _, err := f.ReadAt(part, int64(at)); err != nil {
			clear(part)
		}
	}
	return b, nil
}

// pagesIn finds whole pages in bytes.
func pagesIn(b []byte, dec *codec) func(yield func([]byte, *page) bool) {
	return func(yield func([]byte, *page) bool) {
		for {
			i := bytes.Index(b, []byte(pageMagic))
			if i < 0 || len(b)-i < pageHeader {
				return
			}
			b = b[i:]
			size := pageHeader + uint64(binary.BigEndian.Uint32(b[48:])) + uint64(binary.BigEndian.Uint32(b[56:]))
			if size > uint64(len(b)) || binary.BigEndian.Uint32(b[68:]) > 0 {
				b = b[len(pageMagic):]
				continue
			}
			p, err := dec.parsePage(b[:size])
			if err != nil {
				b = b[len(pageMagic):]
				continue
			}
			if !yield(b[:size], &p) {
				return
			}
			b = b[size:]
		}
	}
}

// chunks are pages, or the heads of pages, and what these were cut into, by their keys. Of
// what was written twice the later version counts.
type chunks map[string]versioned

type versioned struct {
	version uint64
	value   []byte
}

func (c chunks) add(key, value []byte) {
	name, version := string(y.ParseKey(key)), y.ParseTs(key)
	isHead := len(key) == pageKeyLen && len(value) >= pageHeader
	if !isHead && len(key) != chunkKeyLen || key[0] != pageKeyKind {
		return
	}
	if old, ok := c[name]; !ok || old.version < version {
		c[name] = versioned{version, bytes.Clone(value)}
	}
}

func (c chunks) addJournal(entries []journalEntry) {
	for _, e := range entries {
		c.add(e.key, e.value)
	}
}

// addTable takes what can be read of a table, up to a block that is damaged.
func (c chunks) addTable(b []byte) {
	_ = guarded(func() error {
		t, err := table.OpenInMemoryTable(b, 0, &table.Options{Compression: options.None, ChkMode: options.OnBlockRead})
		if err != nil {
			return err
		}
		entries := t.NewIterator(table.NOCACHE)
		defer entries.Close()
		for entries.Rewind(); entries.Valid(); entries.Next() {
			c.add(entries.Key(), entries.Value().Value)
		}
		return nil
	})
}

// pages puts together those of which no chunk is missing.
func (c chunks) pages() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for name, head := range c {
			if len(name) != pageKeyLen-versionLen {
				continue
			}
			if page := c.whole(binary.BigEndian.Uint64([]byte(name)[1:]), head.value); page != nil && !yield(page) {
				return
			}
		}
	}
}

func (c chunks) whole(n uint64, head []byte) []byte {
	page := bytes.Clone(head)
	for i := range binary.BigEndian.Uint32(head[68:]) {
		chunk, ok := c[string(chunkKey(n, i+1))]
		if !ok {
			return nil
		}
		page = append(page, chunk.value...)
	}
	return page
}
