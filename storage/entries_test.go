package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// TestTornOrDamaged: what is behind a hole in a journal counts where a group that was begun
// when all before it was durable is behind it, too; else the hole may be of a power cut.
func TestTornOrDamaged(t *testing.T) {
	const behind, first, hole = 1, 2, 4 // of a group
	for _, c := range []struct {
		name    string
		pages   []int
		want    []uint64
		damaged bool
	}{
		{"whole", []int{first, first | behind, first | behind}, []uint64{1, 2, 3}, false},
		{"nothing behind the hole", []int{first, hole}, []uint64{1}, false},
		{"torn, in a group", []int{first, first | behind | hole, behind}, []uint64{1}, false},
		{"torn, with a group that knew that what is before it is not durable", []int{first, hole, first}, []uint64{1}, false},
		{"damaged", []int{first, first | hole, first | behind}, []uint64{1, 3}, true},
		{"damaged at the begin", []int{hole, hole, first | behind, behind}, []uint64{3, 4}, true},
		{"damaged twice", []int{first, hole, first | behind, hole, first | behind, first}, []uint64{1, 3, 5, 6}, true},
		{"damaged, and torn behind", []int{first, hole, first, first | behind, hole, first}, []uint64{1, 3, 4}, true},
	} {
		for _, large := range []bool{false, true} {
			dir := filepath.Join(t.TempDir(), segmentName(1))
			s := newRing(filepath.Dir(dir), newSeam(), quiet).newSegment(1)
			s.dir = dir
			if err := s.openWriter(); err != nil {
				t.Fatal(err)
			}
			size := pageHeader + 100
			if large {
				size = segmentThreshold + 100 // in chunks
			}
			from := []int{}
			for i, p := range c.pages {
				page := make([]byte, size)
				copy(page, pageMagic)
				if p&behind != 0 {
					page[7] = flagBehind
				}
				if p&first == 0 {
					page[27] = 1 // its place
				}
				from = append(from, s.journal.taken.at)
				if err := s.write(uint64(i+1), page); err != nil {
					t.Fatal(err)
				}
			}
			from = append(from, s.journal.taken.at)
			journal := s.journal.file.Name()
			if err := s.close(); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(journal)
			if err != nil {
				t.Fatal(err)
			}
			for i, p := range c.pages {
				if p&hole != 0 {
					clear(b[from[i]+10 : from[i+1]-10])
				}
			}
			entries, damaged := journalEntries(b)
			var got []uint64
			for _, e := range entries {
				if len(e.key) == pageKeyLen {
					got = append(got, binary.BigEndian.Uint64(e.key[1:]))
				}
			}
			if !slices.Equal(got, c.want) || damaged != c.damaged {
				t.Errorf("%s, large %v: pages %v, damaged %v", c.name, large, got, damaged)
			}
		}
	}
}

// TestNextPageIsBounded: a journal in which each byte could be the begin of a large entry.
func TestNextPageIsBounded(t *testing.T) {
	head := binary.AppendUvarint([]byte{entryInTxn, 0, pageKeyLen}, segmentThreshold-1)
	head = append(head, 0, pageKeyKind)
	if b := nextPage(bytes.Repeat(head, 3<<20/len(head))); b != nil {
		t.Error("it has found something")
	}
}

// TestUnreadableJournal: a segment goes on without a journal that the disk does not give,
// which is kept.
func TestUnreadableJournal(t *testing.T) {
	dir := t.TempDir()
	cfg := Faulty(Config{}, func(string) error { return nil })
	r := newRing(filepath.Join(dir, "q"), cfg.seam, quiet)
	if _, err := r.list(); err != nil {
		t.Fatal(err)
	}
	s := r.newSegment(1)
	var journal string
	for n := uint64(1); n <= 2; n++ { // the first has a table by then
		if err := s.openWriter(); err != nil {
			t.Fatal(err)
		}
		journal = s.journal.file.Name()
		if err := errors.Join(s.write(n, make([]byte, 5000)), s.close()); err != nil {
			t.Fatal(err)
		}
	}
	readFile, openFile := cfg.seam.readFile, cfg.seam.openFile
	cfg.seam.readFile = func(name string) ([]byte, error) {
		if name == journal {
			return nil, syscall.EIO
		}
		return readFile(name)
	}
	cfg.seam.openFile = func(name string, flag int) (*os.File, error) {
		if name == journal && flag == os.O_RDONLY {
			name = "/proc/self/mem" // at 0 nothing is mapped, which is an EIO
		}
		return openFile(name, flag)
	}
	if err := s.openWriter(); err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := r.keepDamaged(s); err != nil {
		t.Fatal(err)
	}
	if _, err := s.read(1, nil); err != nil {
		t.Errorf("page 1: %v", err)
	}
	if _, err := s.read(2, nil); !errors.Is(err, errMissing) {
		t.Errorf("page 2: %v", err)
	}
	if kept, _ := filepath.Glob(filepath.Join(r.quarantine, "*", filepath.Base(journal))); len(kept) != 1 || r.aside.Load() != 1 {
		t.Errorf("kept %q, %d", kept, r.aside.Load())
	}
}
