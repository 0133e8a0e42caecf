package storage

import (
	"bytes"
	"log/slog"
	"math/rand/v2"
	"testing"
)

// TestTables fills tables with values that can not be compressed, of the sizes
// that make Badger's table builder waste most, and reads them back. On 32-bit
// machines the builder loses them where it has too little room (see buildTable).
func TestTables(t *testing.T) {
	for _, size := range []int{900, 33_000, 66_000, 131_000, 140_000, 249_999, 700_000, 2_300_000} {
		s := newRing(t.TempDir(), newSeam(), slog.New(slog.DiscardHandler)).newSegment(1)
		if err := s.openWriter(); err != nil {
			t.Fatal(err)
		}
		pages := make(map[uint64][]byte)
		rng := rand.NewChaCha8([32]byte{byte(size)})
		for n, total := uint64(1), 0; total < 5<<20; n++ {
			page := make([]byte, max(pageHeader, size-int(n%7)*100))
			rng.Read(page)
			clear(page[68:pageHeader])
			pages[n] = page
			total += len(page)
			if err := s.write(n, bytes.Clone(page)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.seal(sealRecord{First: 1}); err != nil {
			t.Fatal(err)
		}
		for n, want := range pages {
			got, err := s.read(n, nil)
			if err != nil {
				t.Fatalf("pages of %d bytes: page %d of %d: %v", size, n, len(pages), err)
			}
			clear(got[68:pageHeader])
			if !bytes.Equal(got, want) {
				t.Fatalf("pages of %d bytes: page %d of %d is wrong", size, n, len(pages))
			}
		}
		s.rest()
	}
}
