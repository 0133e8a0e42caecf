package load

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestStream(t *testing.T) {
	type outcome struct {
		Missing         []span
		Late, Duplicate uint64
	}
	tests := []struct {
		name string
		in   []uint64
		want outcome
	}{
		{"in order", []uint64{0, 1, 2}, outcome{}},
		{"first is lost", []uint64{1, 2}, outcome{Missing: []span{{0, 1}}}},
		{"repeated at once", []uint64{0, 0, 1}, outcome{Duplicate: 1}},
		{"repeated later", []uint64{0, 1, 2, 0}, outcome{Duplicate: 1}},
		{"exchanged", []uint64{1, 0}, outcome{Late: 1}},
		{"late and repeated", []uint64{0, 3, 2, 2}, outcome{Missing: []span{{1, 2}}, Late: 1, Duplicate: 1}},
		{"a hole is split", []uint64{0, 9, 5}, outcome{Missing: []span{{1, 5}, {6, 9}}, Late: 1}},
		{"the end of a hole", []uint64{0, 4, 3, 1}, outcome{Missing: []span{{2, 3}}, Late: 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s stream
			for _, seq := range tt.in {
				s.take(seq)
			}
			got := outcome{Late: s.late, Duplicate: s.duplicate}
			got.Missing = append(got.Missing, s.missing...)
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(span{})); diff != "" {
				t.Errorf("wrong outcome (-want +got):\n%s", diff)
			}
		})
	}
}

// TestStreamModel holds a stream to a set of all that came.
func TestStreamModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s stream
		seen := make(map[uint64]bool)
		var fresh, highest uint64
		for _, seq := range rapid.SliceOf(rapid.Uint64Range(0, 50)).Draw(t, "sequence") {
			if s.take(seq) == seen[seq] {
				t.Fatalf("%d: fresh %v, seen before %v", seq, !seen[seq], seen[seq])
			}
			seen[seq] = true
			highest = max(highest, seq+1)
		}
		fresh = uint64(len(seen))
		var missing uint64
		for _, m := range s.missing {
			missing += m.end - m.first
		}
		if s.next != highest || fresh+missing != highest {
			t.Fatalf("next %d, fresh %d, missing %d, want them to add up to %d", s.next, fresh, missing, highest)
		}
	})
}

func TestStampRoundTrip(t *testing.T) {
	want := stamp{run: 1, publisher: 2, sequence: 1 << 40, time: -5}
	b := make([]byte, stampSize)
	want.put(b)
	if got, ok := readStamp(b); !ok || got != want {
		t.Errorf("got %v %v, want %v", got, ok, want)
	}
	if _, ok := readStamp(b[:stampSize-1]); ok {
		t.Error("a stamp was read from too few bytes")
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	for i := range 1000 {
		h.add(int64(i+1) * 1000)
	}
	for _, tt := range []struct {
		q    float64
		want time.Duration
	}{{0.5, 501 * time.Microsecond}, {0.99, 991 * time.Microsecond}, {0, time.Microsecond}} {
		got := h.quantile(tt.q)
		if got > tt.want || float64(got) < 0.98*float64(tt.want) {
			t.Errorf("quantile %v is %v, want about %v", tt.q, got, tt.want)
		}
	}
}

// TestBuckets: every value lies between the bounds of its bucket.
func TestBuckets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Uint64Range(0, 1<<62).Draw(t, "value")
		if i := bucket(v); bound(i) > v || bound(i+1) <= v {
			t.Fatalf("%d is in bucket %d, from %d to %d", v, i, bound(i), bound(i+1))
		}
	})
}
