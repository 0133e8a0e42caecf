package storage

import (
	"bytes"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// TestTakeover: after each page, and between any two steps of the way from one journal to
// the next, the files alone, as a kill leaves them, have it and all before it; and no
// journal is mapped, so that nobody waits for its disk in a page of it.
func TestTakeover(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	pages := make(map[uint64][]byte)
	at := make(map[string]int)
	seam := newSeam()
	r := newRing(t.TempDir(), seam, log)
	s := r.newSegment(1)
	seam.step = func(name string) {
		if at[name]++; name != "commit: chunk written" {
			readBack(t, s.dir, pages, log)
		}
	}
	if err := s.openWriter(); err != nil {
		t.Fatal(err)
	}
	rng := rand.NewChaCha8([32]byte{1})
	sizes := []int{pageHeader, 4096 - 40, 100, 4096, 249_000, 249_000, 249_000, 200, 700_000, 249_000, 249_000, 249_000, 120, 2_300_000, 120}
	for n, size := range sizes {
		page := make([]byte, max(pageHeader, size))
		rng.Read(page)
		clear(page[68:pageHeader])
		if err := s.write(uint64(n+1), bytes.Clone(page)); err != nil {
			t.Fatal(err)
		}
		pages[uint64(n+1)] = page
		file := s.journal.file.Name()
		if from, _, err := mappingOf(file); err != nil || from != 0 {
			t.Fatalf("page %d: %s is mapped at %#x, %v", n+1, filepath.Base(file), from, err)
		}
		if n%3 == 0 || n > 10 {
			readBack(t, s.dir, pages, log)
		}
	}
	for _, step := range []string{"turn: closed", "table: made", "table: named"} {
		if at[step] < 2 {
			t.Errorf("%q %d times", step, at[step])
		}
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
