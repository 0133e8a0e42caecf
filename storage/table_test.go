package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/y"
)

var quiet = slog.New(slog.DiscardHandler)

// contents are all versions in a database, in order, a line each.
func contents(t *testing.T, db *badger.DB) (lines []string) {
	t.Helper()
	txn := db.NewTransactionAt(math.MaxUint64, false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{AllVersions: true})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		value, err := item.ValueCopy(nil)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("%x@%d %v %d:%x", item.Key(), item.Version(), item.IsDeletedOrExpired(), len(value), crc32.ChecksumIEEE(value)))
	}
	return lines
}

// writeJournal leaves a journal of random transactions in a directory: sets, deletes and
// values for the value log, as they are written to meta, or one page each.
func writeJournal(t *testing.T, dir string, rng *rand.Rand) {
	t.Helper()
	m := &metaDB{dir: dir, seam: newSeam(), log: quiet}
	if err := m.openDatabase(); err != nil {
		t.Fatal(err)
	}
	for range 1 + rng.IntN(30) {
		txn, bytes := m.journal.begin(), int64(0)
		entries := 1 + rng.IntN(8)
		for range entries {
			key := strconv.AppendInt([]byte{'k'}, rng.Int64N(40), 10)
			value := make([]byte, rng.IntN(3000))
			if rng.IntN(60) == 0 {
				value = make([]byte, metaThreshold+1)
			}
			err := txn.Set(key, value)
			if rng.IntN(6) == 0 {
				err = txn.Delete(key)
			}
			if err != nil {
				t.Fatal(err)
			}
			bytes += int64(len(key) + len(value))
		}
		if err := m.journal.commit(txn, entries, bytes); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.close(); err != nil {
		t.Fatal(err)
	}
}

// TestSettleAsBadgerDoes: of a journal, whole, cut off or damaged anywhere, settle makes
// what Badger itself makes of it: the same facts, in the same bytes.
func TestSettleAsBadgerDoes(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	rounds := 40
	if testing.Short() {
		rounds = 8
	}
	for round := range rounds {
		ours, theirs := filepath.Join(t.TempDir(), "d"), filepath.Join(t.TempDir(), "d")
		for range 1 + rng.IntN(3) { // the second settles what the first has left
			writeJournal(t, ours, rng)
		}
		harm := spoilJournal(t, filepath.Join(ours, "00001.mem"), round%4, rng)
		CloneStore(t, ours, theirs)

		o := metaOptions(ours, quiet)
		if err := settle(ours, 0, o, newSeam()); err != nil {
			t.Fatal(err)
		}
		if left, _ := filepath.Glob(filepath.Join(ours, "*.mem")); len(left) > 0 {
			t.Fatalf("%s: left %q", harm, left)
		}
		db, err := badger.OpenManaged(metaOptions(theirs, quiet))
		if err != nil {
			t.Fatal(err)
		}
		want, version := contents(t, db), db.MaxVersion()
		if err := db.Close(); err != nil { // makes its table
			t.Fatal(err)
		}
		db, err = badger.OpenManaged(o)
		if err != nil {
			t.Fatal(err)
		}
		if got := contents(t, db); !slices.Equal(got, want) || db.MaxVersion() != version {
			t.Errorf("%s: %d entries up to %d, Badger has %d up to %d", harm, len(got), db.MaxVersion(), len(want), version)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if a, b := tableBytes(t, ours), tableBytes(t, theirs); !bytes.Equal(a, b) {
			t.Errorf("%s: tables of %d bytes, Badger's have %d", harm, len(a), len(b))
		}
	}
}

// spoilJournal does nothing, cuts a journal off, turns a bit in it or clears a part of it.
func spoilJournal(t *testing.T, path string, kind int, rng *rand.Rand) (harm string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	end, _ := journalEnd(b, journalHeader)
	at := journalHeader + rng.IntN(end-journalHeader)
	switch kind {
	case 0:
		return "whole"
	case 1:
		b, harm = b[:at], "cut off"
	case 2:
		b[at] ^= 1 << rng.IntN(8)
		harm = "a bit turned"
	case 3:
		clear(b[at:min(len(b), at+4096)])
		harm = "a part cleared"
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s at %d of %d", harm, at, end)
}

// tableBytes are those of all tables, in order.
func tableBytes(t *testing.T, dir string) (all []byte) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}

// TestSettleFails: whichever call fails, the journal is there still, or its table is in
// the manifest; and the next try makes it whole. So it is where there is no manifest yet.
func TestSettleFails(t *testing.T) {
	from := filepath.Join(t.TempDir(), "d")
	writeJournal(t, from, rand.New(rand.NewPCG(1, 1)))
	t.Run("manifest", func(t *testing.T) { settleFails(t, from) })
	if err := os.Remove(filepath.Join(from, badger.ManifestFilename)); err != nil {
		t.Fatal(err)
	}
	t.Run("no manifest", func(t *testing.T) { settleFails(t, from) })
}

func settleFails(t *testing.T, from string) {
	db, err := badger.OpenManaged(metaOptions(copyOf(t, from), quiet))
	if err != nil {
		t.Fatal(err)
	}
	want := contents(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	failure := errors.New("no")
	for nth := 1; ; nth++ {
		dir, calls := copyOf(t, from), 0
		cfg := Faulty(Config{}, func(string) error {
			if calls++; calls == nth {
				return failure
			}
			return nil
		})
		err := settle(dir, 0, metaOptions(dir, quiet), cfg.seam)
		if calls < nth {
			if err != nil || nth < 12 {
				t.Errorf("%d calls, %v", calls, err)
			}
			return
		}
		if !errors.Is(err, errTransient) || !errors.Is(err, failure) {
			t.Errorf("call %d: %v", nth, err)
		}
		db, err := openChecked(dir, 0, metaOptions(dir, quiet), newSeam())
		if err != nil {
			t.Fatalf("behind call %d: %v", nth, err)
		}
		if got := contents(t, db); !slices.Equal(got, want) {
			t.Errorf("behind call %d: %d entries of %d", nth, len(got), len(want))
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSettleCanNotRemove: a journal that stays has one table, however often that is tried.
func TestSettleCanNotRemove(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	writeJournal(t, dir, rand.New(rand.NewPCG(3, 1)))
	stays := true
	cfg := Faulty(Config{}, func(call string) error {
		if stays && call == "remove file" {
			return syscall.EPERM
		}
		return nil
	})
	for range 3 {
		if err := settle(dir, 0, metaOptions(dir, quiet), cfg.seam); !errors.Is(err, syscall.EPERM) {
			t.Errorf("%v", err)
		}
	}
	stays = false
	if err := settle(dir, 0, metaOptions(dir, quiet), cfg.seam); err != nil {
		t.Error(err)
	}
	known, err := manifestTables(dir, metaOptions(dir, quiet), newSeam())
	if err != nil || len(known) != 1 {
		t.Errorf("tables %v, %v", known, err)
	}
}

func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "d")
	CloneStore(t, dir, to)
	return to
}

// TestSettleWithoutManifest: the journal is all that there is.
func TestSettleWithoutManifest(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	writeJournal(t, dir, rand.New(rand.NewPCG(2, 1)))
	path := filepath.Join(dir, badger.ManifestFilename)
	made, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := settle(dir, 0, metaOptions(dir, quiet), newSeam()); err != nil {
		t.Fatal(err)
	}
	begun, err := os.ReadFile(path)
	if err != nil || !bytes.HasPrefix(begun, made[:8]) {
		t.Errorf("%v; it begins with %q, Badger's with %q", err, begun[:min(8, len(begun))], made[:8])
	}
	known, err := manifestTables(dir, metaOptions(dir, quiet), newSeam())
	if err != nil || !known[1] || len(known) != 1 {
		t.Errorf("tables %v, %v", known, err)
	}
}

// TestOneJournal: whatever is written, Badger begins no second journal in a handle, and
// makes no table.
func TestOneJournal(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for _, largest := range []int{1, 60, 2000, 100_000, segmentThreshold} {
		if largest == 1 && testing.Short() {
			continue
		}
		s := newRing(t.TempDir(), newSeam(), quiet).newSegment(1)
		turns, tables := 0, 0
		s.seam.step = func(name string) {
			if name == "turn: closed" {
				turns++
			}
		}
		if err := s.openWriter(); err != nil {
			t.Fatal(err)
		}
		for n := uint64(1); turns < 3; n++ {
			if err := s.set(pageKey(n), make([]byte, rng.IntN(largest))); err != nil {
				t.Fatal(err)
			}
			journals, _ := filepath.Glob(filepath.Join(s.dir, "*.mem"))
			if tables = len(s.db.Tables()); len(journals) != 1 || tables != turns {
				t.Fatalf("values up to %d: %d journals, %d tables after %d turns", largest, len(journals), tables, turns)
			}
		}
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOneJournalOfMeta is the same for the state, with facts of all sizes.
func TestOneJournalOfMeta(t *testing.T) {
	for _, size := range []int{1, 300, 30_000, metaThreshold - 100, 3 << 20} {
		seam, turns := newSeam(), 0
		m := &metaDB{dir: filepath.Join(t.TempDir(), "d"), reads: formatVersion, seam: seam, log: quiet}
		seam.step = func(name string) {
			if name == "turn: closed" {
				turns++
			}
			journals, _ := filepath.Glob(filepath.Join(m.dir, "*.mem"))
			if len(journals) > 1 || m.db != nil && len(m.db.Tables()) != turns {
				t.Fatalf("%d bytes, at %q: %d journals, %d tables after %d turns", size, name, len(journals), len(m.db.Tables()), turns)
			}
		}
		if err := m.open(); !errors.Is(err, errEmpty) {
			t.Fatal(err)
		}
		facts := func(yield func(fact) bool) {
			for i := range min(20_000, 6<<20/size) {
				if !yield(fact{key: fmt.Appendf([]byte{keyRetained}, "%d", i), value: make([]byte, size)}) {
					return
				}
			}
		}
		for range 2 {
			if err := m.save(facts, checkpointRecord{Format: formatVersion, Page: 1}); err != nil {
				t.Fatal(err)
			}
		}
		if turns == 0 {
			t.Errorf("%d bytes: no turn", size)
		}
		if err := m.close(); err != nil {
			t.Fatal(err)
		}
		if err := m.open(); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if err := errors.Join(m.verify(), m.close()); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// TestDetachOtherVersion: a Badger with another inside is told, and not closed in half.
func TestDetachOtherVersion(t *testing.T) {
	type journal struct{ MmapFile io.Closer } // which is not as z.MmapFile
	type memtable struct{ Wal, wal *journal }
	without := &memtable{wal: &journal{}}
	without.Wal = without.wal
	for _, db := range []any{&struct{ mt *int }{new(int)}, &struct{ memtable int }{}, &struct{ mt *memtable }{without}} {
		if err := detach(db); err == nil || !strings.Contains(err.Error(), "version of Badger") {
			t.Errorf("%T: %v", db, err)
		}
	}
}

// FuzzJournalEntries: whatever the file holds, the entries are whole, and their sums right.
func FuzzJournalEntries(f *testing.F) {
	sum := func(entry ...byte) []byte {
		return binary.BigEndian.AppendUint32(entry, crc32.Checksum(entry, castagnoli))
	}
	key := string(y.KeyWithTs([]byte("k"), 7))
	set := sum(append([]byte{entryInTxn, 0, byte(len(key)), 2, 0}, key+"va"...)...)
	end := sum(append([]byte{entryEndsTxn, 0, 3, 1, 0}, "end7"...)...)
	f.Add(slices.Concat(make([]byte, journalHeader), set, end, make([]byte, 40)))
	f.Add(slices.Concat(make([]byte, journalHeader), set, set, end, set))
	f.Add([]byte("short"))
	const fuzzTag = 5
	page := func(n uint64, flags byte) []byte {
		head := append([]byte(pageMagic), pageVersion, 0, 0, flags)
		head = binary.BigEndian.AppendUint64(head, n)
		head = binary.BigEndian.AppendUint64(head, fuzzTag<<tagBits|n)
		head = append(head, make([]byte, pageHeader-len(head))...)
		key := string(y.KeyWithTs(pageKey(n), 7))
		return slices.Concat(sum(append([]byte{entryInTxn, 0, byte(len(key)), pageHeader, 0}, key+string(head)...)...), end)
	}
	f.Add(slices.Concat(make([]byte, journalHeader), page(1, 0), []byte("damage"), page(2, flagBehind), page(3, 0)))
	f.Add(slices.Concat(make([]byte, journalHeader), page(1, 0), []byte("torn"), page(2, 0), set))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, _ := journalEntries(b, fuzzTag)
		size := 0
		for _, e := range entries {
			size += len(e.key) + len(e.value) + entrySum
		}
		if size > len(b) {
			t.Errorf("%d bytes of entries in %d", size, len(b))
		}
		if len(entries) > 0 {
			buildTable(entries, metaOptions("x", quiet))
		}
	})
}

// TestReadBehindFailedTurn: a segment whose next journal finds no room is read all the
// same, and written on when there is some.
func TestReadBehindFailedTurn(t *testing.T) {
	for _, call := range []string{"write", "rename", "sync", "allocate", "openfile"} {
		full := false
		cfg := Faulty(Config{}, func(c string) error {
			if full && c == call {
				return syscall.ENOSPC
			}
			return nil
		})
		s := newRing(t.TempDir(), cfg.seam, quiet).newSegment(1)
		if err := s.openWriter(); err != nil {
			t.Fatal(err)
		}
		write := func(n uint64) error {
			page := make([]byte, 200_000)
			binary.BigEndian.PutUint64(page[8:], n)
			return s.write(n, page)
		}
		last := uint64(0)
		for s.journal.holds(1, 200_000+pageKeyLen-versionLen) {
			last++
			if err := write(last); err != nil {
				t.Fatal(err)
			}
		}
		full = true
		if err := write(last + 1); err == nil {
			t.Fatalf("%s: no error", call)
		}
		full = call == "write" || call == "rename" || call == "allocate" // to open files is needed to read
		for n := uint64(1); n <= last; n++ {
			page, err := s.read(n, nil)
			if err != nil || binary.BigEndian.Uint64(page[8:]) != n {
				t.Fatalf("%s: page %d: %v", call, n, err)
			}
		}
		full = false
		if err := s.openWriter(); err != nil {
			t.Fatalf("%s: %v", call, err)
		}
		if err := errors.Join(write(last+1), s.close()); err != nil {
			t.Errorf("%s: %v", call, err)
		}
	}
}
