package storage

import (
	"encoding/binary"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/weir-edge/weir/core"
)

// TestSalvageLargePages: pages that were cut into chunks are salvaged, too, from tables and
// journals, but for those of which a part is damaged.
func TestSalvageLargePages(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{1})
	for _, c := range []struct {
		name   string
		sealed bool
		harm   func(dir string) error
		want   []uint64
	}{
		{"no manifest", true, func(dir string) error { return os.Remove(filepath.Join(dir, "MANIFEST")) }, []uint64{1, 2, 3, 4}},
		{"a table is cut off", true, func(dir string) error { return os.Truncate(filepath.Join(dir, "000002.sst"), 1000) }, []uint64{1, 2}},
		{"a bit of a table", true, func(dir string) error { return flipBit(filepath.Join(dir, "000001.sst"), 700_000) }, []uint64{1, 3, 4}},
		{"a journal", false, func(dir string) error { return os.Remove(filepath.Join(dir, "MANIFEST")) }, []uint64{1, 2, 3, 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, s := openTestRing(t)
			payload := make([]byte, 600_000)
			for n := uint64(1); n <= 4; n++ {
				if n == 3 {
					if err := s.turn(); err != nil {
						t.Fatal(err)
					}
				}
				_, _ = rng.Read(payload)
				m := &core.Message{Topic: "t", Payload: slices.Clone(payload)}
				g := &group{mark: core.Seq(n), entries: []entry{{seq: core.Seq(n), m: m, owed: []core.ReceiverID{1}}}}
				if err := s.write(n, pagesOf(t, g, n)[0]); err != nil {
					t.Fatal(err)
				}
			}
			if c.sealed {
				if err := s.seal(sealRecord{First: 1, Last: 4}); err != nil {
					t.Fatal(err)
				}
			} else if err := s.close(); err != nil {
				t.Fatal(err)
			}
			if err := c.harm(s.dir); err != nil {
				t.Fatal(err)
			}
			dec, err := newDecoder()
			if err != nil {
				t.Fatal(err)
			}
			defer dec.close()
			found, unread, err := scavenge(s.dir, newSeam(), dec)
			if err = errors.Join(err, unread); err != nil {
				t.Fatal(err)
			}
			if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, c.want) {
				t.Errorf("found %v", got)
			}
			holds, ok, err := r.salvage(s, errDamaged)
			if err != nil || !ok || holds.Messages != uint64(len(c.want)) {
				t.Errorf("salvaged %d messages, %v, %v", holds.Messages, ok, err)
			}
		})
	}
}

func flipBit(path string, at int) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	b[at] ^= 4
	return os.WriteFile(path, b, 0o600)
}

// TestSalvageForgedPages: what a publisher has sent is not salvaged as a page, also not from
// a page that was cut into chunks.
func TestSalvageForgedPages(t *testing.T) {
	s := openTestSegment(t)
	large := testPage(pageInfo{page: 2, mark: 2, last: true}, s.tag, 600_000)
	for i, n := range []uint64{1, 50, 1 << 40} {
		copy(large[50_000+i*1000:], testPage(pageInfo{page: n, mark: 1 << 60, last: true}, s.tag+1, 500))
	}
	binary.BigEndian.PutUint32(large[64:], pageSum(large))
	for n, page := range [][]byte{testPage(pageInfo{page: 1, mark: 1, last: true}, s.tag, 10), large} {
		if err := s.write(uint64(n+1), page); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.seal(sealRecord{First: 1, Last: 2}); err != nil {
		t.Fatal(err)
	}
	dec, err := newDecoder()
	if err != nil {
		t.Fatal(err)
	}
	defer dec.close()
	pages, unread, err := scavenge(s.dir, s.seam, dec)
	if err = errors.Join(err, unread); err != nil || len(pages) != 2 || pages[1] == nil || len(pages[2]) != len(large) {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	if p, err := dec.parsePage(pages[1]); err != nil || p.mark != 1 {
		t.Errorf("page 1 has mark %d, %v", p.mark, err)
	}
}
