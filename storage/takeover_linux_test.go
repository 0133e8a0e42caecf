package storage

import (
	"bytes"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// TestTakeover: after each page the files alone, as a kill leaves them, have it and all
// before it, through several journals; and no journal is mapped any more, so that
// nobody waits for its disk in a page of it.
func TestTakeover(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	dir := t.TempDir()
	s := newRing(dir, newSeam(), log).newSegment(1)
	if err := s.openWriter(); err != nil {
		t.Fatal(err)
	}
	pages := make(map[uint64][]byte)
	rng := rand.NewChaCha8([32]byte{1})
	for n, size := range []int{pageHeader, 4096 - 40, 100, 4096, 249_000, 249_000, 249_000, 200, 700_000, 249_000, 249_000, 249_000, 120, 120} {
		page := make([]byte, max(pageHeader, size))
		rng.Read(page)
		clear(page[68:pageHeader])
		if err := s.write(uint64(n+1), bytes.Clone(page)); err != nil {
			t.Fatal(err)
		}
		pages[uint64(n+1)] = page
		file := s.journal.dirty[len(s.journal.dirty)-1].Name()
		if from, _, err := mappingOf(file); err != nil || from != 0 {
			t.Fatalf("page %d: %s is mapped at %#x, %v", n+1, filepath.Base(file), from, err)
		}
		if n%3 == 0 || n > 10 {
			readBack(t, s.dir, pages, log)
		}
	}
	if s.journal.next < 3 {
		t.Errorf("only %d journals", s.journal.next)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
}

// readBack opens a copy of a segment and compares its pages.
func readBack(t *testing.T, dir string, pages map[uint64][]byte, log *slog.Logger) {
	t.Helper()
	to := newRing(t.TempDir(), newSeam(), log)
	s := to.newSegment(1)
	CloneStore(t, dir, s.dir)
	if err := s.openWriter(); err != nil {
		t.Fatal(err)
	}
	for n, want := range pages {
		got, err := s.read(n, nil)
		if err != nil {
			t.Fatalf("page %d of %d: %v", n, len(pages), err)
		}
		clear(got[68:pageHeader]) // the number of chunks
		if !bytes.Equal(got, want) {
			t.Fatalf("page %d of %d is another one", n, len(pages))
		}
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
}

// TestTakeoverOfSomethingElse: where there is no whole transaction of Badger's behind what
// was written, nothing is written.
func TestTakeoverOfSomethingElse(t *testing.T) {
	entry := func(meta byte) []byte { return append([]byte{meta, 0, 3, 2, 0}, "keyvaSUM!"...) }
	for _, c := range []struct {
		name    string
		journal []byte
		want    int // bytes, behind the header
	}{
		{"nothing", nil, 0},
		{"an entry of a transaction that does not end", entry(1 << 6), 0},
		{"a transaction", append(entry(1<<6), entry(entryEndsTxn)...), 28},
		{"one and a half", append(append(entry(1<<6), entry(entryEndsTxn)...), entry(1<<6)...), 0},
		{"an entry that is longer than the journal", []byte{1 << 7, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 0}, 0},
		{"a length without an end", bytes.Repeat([]byte{0xff}, 40), 0},
	} {
		journal := append(make([]byte, journalHeader), c.journal...)
		journal = append(journal, make([]byte, 64)...)
		end, whole := journalEnd(journal, journalHeader)
		if whole != (c.want > 0) || whole && end != journalHeader+c.want {
			t.Errorf("%s: %d, %v; want %d bytes", c.name, end-journalHeader, whole, c.want)
		}
	}
	var none *takeover
	if err := none.flush(nil, func(*os.File, []byte, int64) error { panic("written") }); err != nil {
		t.Error(err)
	}
}

// FuzzJournalEnd: whatever is in memory, the end that is found lies in it, and behind
// where it was looked for.
func FuzzJournalEnd(f *testing.F) {
	f.Add([]byte{1 << 7, 0, 3, 2, 0, 'k', 'e', 'y', 'v', 'a', 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		b = append(make([]byte, journalHeader), b...)
		if end, whole := journalEnd(b, journalHeader); end < journalHeader || end > len(b) || whole && end == journalHeader {
			t.Errorf("end %d of %d, %v", end, len(b), whole)
		}
	})
}
