package bridge

import (
	"errors"
	"strconv"
	"testing"

	"github.com/weir-edge/weir/core"
)

func TestOverlap(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want bool
	}{
		{"a", "a", true},
		{"a", "b", false},
		{"#", "b/c", true},
		{"a/#", "a", true},
		{"a", "a/#", true},
		{"a/+", "a/b", true},
		{"a/+/c", "+/b/c", true},
		{"a/+/c", "+/b/d", false},
		{"a/b", "a", false},
		{"a/b/#", "a", false},
		{"site/plant/#", "cmd/#", false},
	} {
		if overlap(tc.a, tc.b) != tc.want || overlap(tc.b, tc.a) != tc.want {
			t.Errorf("%s and %s: not %v", tc.a, tc.b, tc.want)
		}
	}
}

func TestSeen(t *testing.T) {
	s := NewSeen()
	for i := range seenMost + 10 {
		s.add(strconv.Itoa(i))
		s.add(strconv.Itoa(i))
	}
	if len(s.ids) != seenMost || s.has("9") || !s.has("10") || !s.has(strconv.Itoa(seenMost+9)) || s.from("", "") {
		t.Errorf("%d ids", len(s.ids))
	}
}

func (s *Seen) has(id string) bool { return s.from(id, "") }

// Of copies that arrive together one is taken, and the others share its fate.
func TestSeenReserves(t *testing.T) {
	for name, outcome := range map[string]error{"taken": nil, "refused": core.ErrFull} {
		t.Run(name, func(t *testing.T) {
			s := NewSeen()
			told := 0
			wait := func(err error) {
				if told++; !errors.Is(err, outcome) {
					t.Errorf("told %v", err)
				}
			}
			if got := s.reserve("g/1", wait); got != first {
				t.Fatalf("first arrival: %v", got)
			}
			for range 2 {
				if got := s.reserve("g/1", wait); got != second {
					t.Errorf("a copy: %v", got)
				}
			}
			if s.from("g/1", "bridge:a") {
				t.Error("known before it is taken")
			}
			s.settle("g/1", "bridge:a", outcome)
			want := known
			if outcome != nil {
				want = first
			}
			if got := s.reserve("g/1", wait); got != want || told != 2 || s.from("g/1", "bridge:a") != (outcome == nil) || s.from("g/1", "bridge:b") {
				t.Errorf("afterwards %v, %d told", got, told)
			}
		})
	}
	s := NewSeen()
	for range 2 {
		if got := s.reserve("", nil); got != first {
			t.Errorf("without an id: %v", got)
		}
	}
}
