package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// testPage is page n of its group; its raw index section is empty but valid.
func testPage(info pageInfo, tag uint64, body int) []byte {
	info.group = tag<<tagBits | info.group
	index, err := (&indexRecord{}).MarshalMsg(nil)
	if err != nil {
		panic(err)
	}
	page := (&codec{}).appendPage(nil, info, index, nil)
	page = append(page, bytes.Repeat([]byte{1}, body)...) // a messages section that is not compressed
	binary.BigEndian.PutUint32(page[56:], uint32(body))
	binary.BigEndian.PutUint32(page[60:], uint32(body))
	binary.BigEndian.PutUint32(page[64:], pageSum(page))
	return page
}

// TestTornOrDamaged: what is behind a hole in a journal counts where a group that was begun
// when all before it was durable is behind it, too; else the hole may be of a power cut.
func TestTornOrDamaged(t *testing.T) {
	const behind, first, hole, block = 1, 2, 4, 8 // a hole is all of a page; or a block in its midst
	for _, c := range []struct {
		name    string
		pages   []int
		want    []uint64
		damaged bool
	}{
		{"whole", []int{first, first | behind, first | behind}, []uint64{1, 2, 3}, false},
		{"nothing behind the hole", []int{first, hole}, []uint64{1}, false},
		{"torn, in a group", []int{first, first | behind | hole, behind}, []uint64{1}, false},
		{"torn, in a page that is cut into chunks", []int{first, first | behind | block}, []uint64{1}, false},
		{"torn in the first page of a group", []int{first, first | behind | block, behind}, []uint64{1}, false},
		{"torn, with a group that knew that what is before it is not durable", []int{first, hole, first}, []uint64{1}, false},
		{"damaged", []int{first, first | hole, first | behind}, []uint64{1, 3}, true},
		{"damaged in a block", []int{first, first | behind | block, first | behind}, []uint64{1, 3}, true},
		{"damaged at the begin", []int{hole, hole, first | behind, behind}, []uint64{3, 4}, true},
		{"damaged twice", []int{first, hole, first | behind, hole, first | behind, first}, []uint64{1, 3, 5, 6}, true},
		{"damaged, and torn behind", []int{first, hole, first, first | behind, hole, first}, []uint64{1, 3, 4}, true},
	} {
		for _, size := range []int{10_000, segmentThreshold + 10_000} { // the second in chunks
			s := openTestSegment(t)
			from := []int{}
			for i, p := range c.pages {
				info := pageInfo{page: uint64(i + 1), behind: p&behind != 0}
				if p&first == 0 {
					info.place = 1
				}
				from = append(from, s.journal.taken.at)
				if err := s.write(info.page, testPage(info, s.tag, size)); err != nil {
					t.Fatal(err)
				}
			}
			from = append(from, s.journal.taken.at)
			b := closedJournal(t, s)
			for i, p := range c.pages {
				switch {
				case p&hole != 0:
					clear(b[from[i]+10 : from[i+1]-10])
				case p&block != 0:
					clear(b[from[i]+4096 : from[i]+8192])
				}
			}
			entries, damaged := journalEntries(b, s.tag)
			if got := pageNumbers(entries); !slices.Equal(got, c.want) || damaged != c.damaged {
				t.Errorf("%s, %d bytes: pages %v, damaged %v", c.name, size, got, damaged)
			}
		}
	}
}

func openTestSegment(t *testing.T) *segment {
	t.Helper()
	_, s := openTestRing(t)
	return s
}

// openTestRing makes a ring with one segment.
func openTestRing(t *testing.T) (*ring, *segment) {
	t.Helper()
	r := newRing(filepath.Join(t.TempDir(), "q"), newSeam(), quiet)
	if _, err := r.list(); err != nil {
		t.Fatal(err)
	}
	s := r.newSegment(1)
	if err := s.openWriter(); err != nil {
		t.Fatal(err)
	}
	if s.tag == 0 {
		t.Fatal("no tag")
	}
	return r, s
}

// openTestCommitter opens a log whose committer is the test's.
func openTestCommitter(t *testing.T) *Log {
	t.Helper()
	l, err := Open(Faulty(Config{Dir: t.TempDir(), Logger: quiet, Notify: func() {}}, func(string) error { return nil }))
	if err != nil {
		t.Fatal(err)
	}
	l.committer.state.mu.Lock()
	t.Cleanup(func() {
		l.committer.state.mu.Unlock()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func closedJournal(t *testing.T, s *segment) []byte {
	t.Helper()
	name := s.journal.file.Name()
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func pageNumbers(entries []journalEntry) (n []uint64) {
	for _, e := range entries {
		if len(e.key) == pageKeyLen {
			n = append(n, binary.BigEndian.Uint64(e.key[1:]))
		}
	}
	return n
}

// TestForgedPage: what a publisher has sent is no page, however much it looks like one.
func TestForgedPage(t *testing.T) {
	other := openTestSegment(t)
	if err := other.write(2, testPage(pageInfo{page: 2, behind: true, last: true}, other.tag, 100)); err != nil {
		t.Fatal(err)
	}
	forged := closedJournal(t, other)[journalHeader:]
	s := openTestSegment(t)
	pages := [][]byte{
		testPage(pageInfo{page: 1, behind: true, last: true}, s.tag, 100),
		testPage(pageInfo{page: 2, behind: true, last: true}, s.tag, 20_000),
		testPage(pageInfo{page: 3, behind: true, last: true}, s.tag, 100),
	}
	copy(pages[1][9000:], forged)
	at := 0
	for i, page := range pages {
		if i == 1 {
			at = s.journal.taken.at
		}
		if err := s.write(uint64(i+1), page); err != nil {
			t.Fatal(err)
		}
	}
	b := closedJournal(t, s)
	clear(b[at : at+4096])
	if entries, damaged := journalEntries(b, s.tag); !slices.Equal(pageNumbers(entries), []uint64{1, 3}) || !damaged {
		t.Errorf("pages %v, damaged %v", pageNumbers(entries), damaged)
	}
}

// TestPageSearchIsBounded: a journal in which each byte could be the begin of a large entry
// is kept, because nobody knows what is in it.
func TestPageSearchIsBounded(t *testing.T) {
	head := binary.AppendUvarint([]byte{entryInTxn, 0, pageKeyLen}, segmentThreshold-1)
	head = append(head, 0, pageKeyKind)
	if entries, damaged := journalEntries(bytes.Repeat(head, 3<<20/len(head)), 1); len(entries) > 0 || !damaged {
		t.Errorf("%d entries, damaged %v", len(entries), damaged)
	}
}

// TestTurnOfUnreadableJournal: a group of which a part is in a journal that can't be read
// any more is not acknowledged. It is written again.
func TestTurnOfUnreadableJournal(t *testing.T) {
	l := openTestCommitter(t)
	c := l.committer
	rng := rand.NewChaCha8([32]byte{1})
	var ops []op
	for i := range 25 {
		v := make([]byte, 100_000)
		_, _ = rng.Read(v)
		ops = append(ops, op{Kind: opSet, Key: fmt.Appendf(nil, "%c%d", keyRetained, i), Value: v})
	}
	broken := true
	readFile, openFile := c.seam.readFile, c.seam.openFile
	journal := func(name string) bool {
		return broken && filepath.Ext(name) == memSuffix && strings.Contains(name, ringDir)
	}
	c.seam.readFile = func(name string) ([]byte, error) {
		if journal(name) {
			return nil, syscall.EIO
		}
		return readFile(name)
	}
	c.seam.openFile = func(name string, flag int) (*os.File, error) {
		if journal(name) && flag == os.O_RDONLY {
			name = "/proc/self/mem"
		}
		return openFile(name, flag)
	}
	for want := range 2 { // the second time it can be read
		c.commit(&group{ops: ops, sync: true})
		r := c.results.take()[0]
		if acknowledged := r.err == nil; acknowledged != (want == 1) || !acknowledged && !errors.Is(r.err, errKept) {
			t.Fatalf("try %d: %v", want, r.err)
		} else if acknowledged {
			for n := r.last + 1 - uint64(r.pages); n <= r.last; n++ {
				if _, err := c.active.read(n, nil); err != nil {
					t.Errorf("page %d: %v", n, err)
				}
			}
		}
		broken = false
	}
	if kept := l.ring.aside.Load(); kept != 1 {
		t.Errorf("%d journals kept", kept)
	}
}

// TestGroupThatEndsInItsMidst: what a group has written that found the disk full is not
// durable, and the next one does not say so.
func TestGroupThatEndsInItsMidst(t *testing.T) {
	c := openTestCommitter(t).committer
	free, full := c.seam.free, false
	c.seam.free = func(dir string) (int64, error) {
		if full {
			return 0, nil
		}
		return free(dir)
	}
	large := op{Kind: opSet, Key: []byte("tx"), Value: make([]byte, pageRaw)}
	small := op{Kind: opSet, Key: []byte("ty"), Value: []byte("v")}
	behind := func(n uint64) bool {
		t.Helper()
		b, err := c.active.read(n, nil)
		if err != nil {
			t.Fatal(err)
		}
		return b[7]&flagBehind != 0
	}
	c.commit(&group{ops: []op{small}, sync: true})
	first := c.next
	c.seam.step = func(name string) { full = full || name == "commit: page written" }
	c.commit(&group{ops: []op{large, large, large}, sync: true})
	if c.next != first || !behind(first) {
		t.Fatalf("the group was written, or did not say that what is before it is durable: %d", c.next)
	}
	c.seam.step, full = func(string) {}, false
	c.commit(&group{ops: []op{small}, sync: true})
	c.commit(&group{ops: []op{small}, sync: true})
	if behind(first) || !behind(first+1) {
		t.Errorf("the next group says that what is before it is durable %v, the one after %v", behind(first), behind(first+1))
	}
}

// TestDamagedPageOfUsedNumber: what is left of a group that was cut off does not hide that
// the page that has its number now can not be read.
func TestDamagedPageOfUsedNumber(t *testing.T) {
	left := pageInfo{page: 1, group: 1, mark: 5} // of two pages, of which the second is torn off
	end := pageInfo{page: 3, group: 4, mark: 9, behind: true, last: true}
	for name, now := range map[string][]pageInfo{
		"of two":      {{page: 1, group: 2, mark: 9, behind: true}, {page: 2, group: 2, mark: 9, behind: true, place: 1, last: true}, end},
		"a group":     {{page: 1, group: 2, mark: 5, behind: true, last: true}, {page: 2, group: 3, mark: 5, behind: true, last: true}, end},
		"another end": {{page: 1, group: 2, mark: 9, behind: true, last: true}, {page: 2, group: 3, mark: 9, behind: true}, {page: 3, group: 3, mark: 9, behind: true, place: 1, last: true}, {page: 4, group: 4, behind: true, last: true}},
	} {
		s := openTestSegment(t)
		write := func(info pageInfo) {
			t.Helper()
			if err := s.write(info.page, testPage(info, s.tag, 9000)); err != nil {
				t.Fatal(err)
			}
		}
		write(left)
		closedJournal(t, s)
		if err := s.openWriter(); err != nil {
			t.Fatal(err)
		}
		journal, at := s.journal.file.Name(), s.journal.taken.at
		var want []uint64
		for _, info := range now {
			write(info)
			want = append(want, info.page)
		}
		b := closedJournal(t, s)
		b[at+60] ^= 1
		if err := os.WriteFile(journal, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.openWriter(); err != nil {
			t.Fatal(err)
		}
		dec, err := newDecoder()
		if err != nil {
			t.Fatal(err)
		}
		var seen []uint64
		_, lost, err := scan(s, dec, 0, func(p *page) error { seen = append(seen, p.page); return nil })
		if err != nil || lost != 1 || !slices.Equal(seen, want[1:]) {
			t.Errorf("%s: pages %v, %d lost, %v", name, seen, lost, err)
		}
		dec.close()
		if err := s.close(); err != nil {
			t.Error(err)
		}
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
	if !r.keepDamaged(s) {
		t.Error("no damaged journal")
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
