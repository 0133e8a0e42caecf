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
