package storage

import (
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
			r := newRing(filepath.Join(t.TempDir(), "q"), newSeam(), quiet)
			if _, err := r.list(); err != nil {
				t.Fatal(err)
			}
			s := r.newSegment(1)
			if err := s.openWriter(); err != nil {
				t.Fatal(err)
			}
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
