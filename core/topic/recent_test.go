package topic

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// manyMore fills a tree so that it remembers names.
func manyMore(tree *Tree[int, int]) {
	for i := range manyFilters {
		tree.Insert(fmt.Sprint("filler/", i), 1, 1)
	}
}

// TestRecentAsModel: what is remembered is what the tree says, through any history.
func TestRecentAsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tree Tree[int, int]
		manyMore(&tree)
		t.Repeat(map[string]func(*rapid.T){
			"insert": func(t *rapid.T) {
				tree.Insert(filterGen().Draw(t, "filter"), rapid.IntRange(1, 3).Draw(t, "key"), rapid.Int().Draw(t, "value"))
			},
			"crowd": func(t *rapid.T) {
				filter := filterGen().Draw(t, "filter")
				for key := range 2 * maxFound {
					tree.Insert(filter, key+1, 1)
				}
			},
			"remove": func(t *rapid.T) {
				tree.Remove(filterGen().Draw(t, "filter"), rapid.IntRange(1, 3).Draw(t, "key"))
			},
			"": func(t *rapid.T) {
				for range 4 {
					name := nameGen().Draw(t, "name")
					for range rapid.IntRange(1, 3).Draw(t, "times") {
						if diff := cmp.Diff(gather(tree.walk, name), gather(tree.Match, name)); diff != "" {
							t.Fatalf("%q: %s", name, diff)
						}
					}
				}
			},
		})
	})
}

func gather(match func(string, func(int, int)), name string) (found []string) {
	match(name, func(k, v int) { found = append(found, fmt.Sprint(k, " ", v)) })
	slices.Sort(found)
	return found
}

// TestRecentNames: a name is kept from the second time on, whatever else comes once,
// and no longer than the tree stays as it is.
func TestRecentNames(t *testing.T) {
	var tree Tree[int, int]
	manyMore(&tree)
	tree.Insert("a/#", 7, 7)
	known := func(name string) bool {
		return slices.ContainsFunc(tree.recent.slots, func(m memory[int, int]) bool { return m.name == name })
	}
	ask := func(name string) { gather(tree.Match, name) }
	if ask("a/b"); known("a/b") {
		t.Error("kept at once")
	}
	if ask("a/b"); !known("a/b") {
		t.Error("not kept")
	}
	for i := range 10 * recentSlots {
		ask(fmt.Sprint("once/", i))
		ask("a/b")
	}
	if !known("a/b") {
		t.Error("names that come once have pushed it out")
	}
	if n := testing.AllocsPerRun(100, func() { tree.Match("a/b", func(int, int) {}) }); n != 0 {
		t.Errorf("%v allocations for a name that is known", n)
	}
	if tree.Insert("other", 1, 1); known("a/b") {
		t.Error("kept although the tree has changed")
	}
	ask("a/b")
	ask("a/b")
	if tree.Remove("other", 1); known("a/b") {
		t.Error("kept although the tree has changed")
	}
	for i := range 10 * recentSlots { // all of them twice: no more than there is room for
		ask(fmt.Sprint("twice/", i))
		ask(fmt.Sprint("twice/", i))
	}
	if n := len(tree.recent.filled); n > recentSlots {
		t.Errorf("%d places noted", n)
	}
}

// TestRecentMatchWithinMatch: what is being yielded may be forgotten meanwhile.
func TestRecentMatchWithinMatch(t *testing.T) {
	var tree Tree[int, int]
	manyMore(&tree)
	tree.Insert("a/#", 1, 1)
	tree.Insert("a/+", 2, 2)
	gather(tree.Match, "a/b")
	gather(tree.Match, "a/b")
	n := 0
	tree.Match("a/b", func(int, int) {
		n++
		for i := range 3 * recentSlots {
			gather(tree.Match, fmt.Sprint("x/", i/2))
		}
	})
	if n != 2 {
		t.Errorf("%d matches", n)
	}
}
