package load

import (
	"math/bits"
	"time"
)

// histogram counts durations in buckets that are about 1.5 % wide, so that adding
// one costs a few instructions and nothing is allocated.
type histogram struct {
	counts [64 * perOctave]uint64
	n      uint64
}

// perOctave buckets lie between a power of two and the next.
const (
	octaveBits = 6
	perOctave  = 1 << octaveBits
)

func (h *histogram) add(ns int64) {
	h.counts[bucket(uint64(max(ns, 0)))]++
	h.n++
}

// bucket numbers the values below perOctave by themselves, the others by their
// highest bit and the octaveBits behind it.
func bucket(v uint64) int {
	if v < perOctave {
		return int(v)
	}
	shift := bits.Len64(v) - octaveBits - 1
	return (shift+1)*perOctave + int(v>>shift)&(perOctave-1)
}

// bound is the smallest value of a bucket.
func bound(i int) uint64 {
	if i < perOctave {
		return uint64(i)
	}
	shift := i/perOctave - 1
	return uint64(perOctave+i%perOctave) << shift
}

// quantile is the duration that the share q of all stays within.
func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(q * float64(h.n))
	var seen uint64
	for i, c := range h.counts {
		if seen += c; seen > rank {
			return time.Duration(bound(i))
		}
	}
	return 0
}

func (h *histogram) reset() { *h = histogram{} }
