package topic

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestMatch(t *testing.T) {
	tests := []struct {
		filter, name string
		want         bool
	}{
		{"a/b", "a/b", true},
		{"a/b", "a/B", false},
		{"a/b", "a", false},
		{"a", "a/b", false},
		{"a", "/a", false},
		{"a/", "a", false},
		{"a/", "a/", true},
		{"#", "a", true},
		{"#", "/", true},
		{"#", "a/b/c", true},
		{"a/#", "a", true},
		{"a/#", "a/", true},
		{"a/#", "a/b/c", true},
		{"a/#", "ab", false},
		{"a/b/#", "a", false},
		{"+", "a", true},
		{"+", "/a", false},
		{"+/+", "/a", true},
		{"/+", "/a", true},
		{"a/+", "a/", true},
		{"a/+", "a", false},
		{"a/+", "a/b/c", false},
		{"a/+/c", "a/b/c", true},
		{"a/+/c", "a//c", true},
		{"+/b/#", "a/b", true},
		{"+/#", "a", true},
		{"+/+/#", "a", false},
		{"#", "$SYS", false},
		{"#", "$SYS/a", false},
		{"+/a", "$SYS/a", false},
		{"+/#", "$SYS/a", false},
		{"$SYS/#", "$SYS", true},
		{"$SYS/+", "$SYS/a", true},
		{"a/#", "a/$x", true},
		{"a/+", "a/$x", true},
	}
	for _, tt := range tests {
		t.Run(tt.filter+" "+tt.name, func(t *testing.T) {
			if got := Match(tt.filter, tt.name); got != tt.want {
				t.Errorf("Match: got %v", got)
			}
			if got := naive(tt.filter, tt.name); got != tt.want {
				t.Errorf("naive: got %v", got)
			}
			var tree Tree[int, int]
			tree.Insert(tt.filter, 1, 1)
			got := false
			tree.Match(tt.name, func(int, int) { got = true })
			if got != tt.want {
				t.Errorf("Tree: got %v", got)
			}
			var retained Retained[int]
			retained.Set(tt.name, 1)
			got = false
			for range retained.Matches(tt.filter) {
				got = true
			}
			if got != tt.want {
				t.Errorf("Retained: got %v", got)
			}
		})
	}
}

// naive matches as the standard words it, without any thought of speed.
func naive(filter, name string) bool {
	f, n := strings.Split(filter, "/"), strings.Split(name, "/")
	if name[0] == '$' && (f[0] == "#" || f[0] == "+") {
		return false
	}
	var levels func(f, n []string) bool
	levels = func(f, n []string) bool {
		switch {
		case len(f) == 0:
			return len(n) == 0
		case f[0] == "#":
			return true
		case len(n) == 0:
			return false
		}
		return (f[0] == "+" || f[0] == n[0]) && levels(f[1:], n[1:])
	}
	return levels(f, n)
}

// Few levels, so that names and filters meet; some of them sort around '/'.
var someLevels = []string{"", "a", "b", "a-", "a0", "$x", "a!b", "é", "fifteen letters", "sixteen letters!"}

func nameGen() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		levels := rapid.SliceOfN(rapid.SampledFrom(someLevels), 1, 4).Draw(t, "levels")
		return orSlash(strings.Join(levels, "/"))
	})
}

func filterGen() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		levels := rapid.SliceOfN(rapid.SampledFrom(append([]string{"+", "+"}, someLevels...)), 1, 4).Draw(t, "levels")
		if rapid.Bool().Draw(t, "all below") {
			levels[len(levels)-1] = "#"
		}
		return orSlash(strings.Join(levels, "/"))
	})
}

func orSlash(s string) string {
	if s == "" {
		return "/"
	}
	return s
}

func TestMatchAsNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		filter, name := filterGen().Draw(t, "filter"), nameGen().Draw(t, "name")
		if got, want := Match(filter, name), naive(filter, name); got != want {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func FuzzMatch(f *testing.F) {
	f.Add("a/+/#", "a/b/c")
	f.Add("+/#", "$SYS/x")
	f.Add("//+", "//")
	f.Fuzz(func(t *testing.T, filter, name string) {
		if ValidName(name) != nil || valid(filter, true) != nil {
			return
		}
		want := naive(filter, name)
		if got := Match(filter, name); got != want {
			t.Fatalf("Match: got %v, want %v", got, want)
		}
		var tree Tree[int, int]
		tree.Insert(filter, 1, 1)
		got := false
		tree.Match(name, func(int, int) { got = true })
		if got != want {
			t.Fatalf("Tree: got %v, want %v", got, want)
		}
		match, next := judge(filter, name)
		if match != want || next != "" && next < name {
			t.Fatalf("judge: got %v and %q, want %v", match, next, want)
		}
	})
}
