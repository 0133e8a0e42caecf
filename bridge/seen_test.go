package bridge

import (
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
	message := func(i int) *core.Message {
		return &core.Message{Properties: &core.Properties{User: []core.UserProperty{{Name: propID, Value: strconv.Itoa(i)}}}}
	}
	for i := range seenMost + 10 {
		s.add(strconv.Itoa(i))
		s.add(strconv.Itoa(i))
	}
	if len(s.ids) != seenMost || s.has(message(9)) || !s.has(message(10)) || !s.has(message(seenMost+9)) || s.has(&core.Message{}) {
		t.Errorf("%d ids", len(s.ids))
	}
}

// TestSeenReserve: of two bridges that have a message at once one takes it, and the
// other one if that fails.
func TestSeenReserve(t *testing.T) {
	s, a, b := NewSeen(), new(Bridge), new(Bridge)
	m := &core.Message{Properties: &core.Properties{User: []core.UserProperty{{Name: propID, Value: "x/1"}}}}
	for _, step := range []struct {
		name string
		ok   bool
	}{
		{"the first", s.reserve(a, "x/1")},
		{"not the second", !s.reserve(b, "x/1")},
		{"the first on a new connection", s.reserve(a, "x/1")},
		{"nothing is taken yet", !s.has(m)},
	} {
		if !step.ok {
			t.Error(step.name)
		}
	}
	s.giveBack(b, "x/1") // is not its own
	if s.reserve(b, "x/1") {
		t.Error("given back by another")
	}
	s.giveBack(a, "x/1")
	if !s.reserve(b, "x/1") {
		t.Error("not given back")
	}
	s.add("x/1")
	s.giveBack(b, "x/1")
	if s.reserve(a, "x/1") || !s.has(m) || !s.Loops("g", m) {
		t.Error("taken for good, and taken again")
	}
	if !s.reserve(a, "") || !s.reserve(b, "") {
		t.Error("a message without an id is nobody's")
	}
}
