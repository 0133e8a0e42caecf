package topic

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestTree(t *testing.T) {
	var tree Tree[string, int]
	if tree.Insert("a/+", "x", 1) {
		t.Error("first insert replaced something")
	}
	tree.Insert("a/b", "x", 2)
	tree.Insert("a/b", "y", 3)
	tree.Insert("#", "z", 4)
	if !tree.Insert("a/+", "x", 5) {
		t.Error("second insert replaced nothing")
	}
	want := []string{"x 2", "x 5", "y 3", "z 4"}
	if diff := cmp.Diff(want, matches(&tree, "a/b")); diff != "" {
		t.Error(diff)
	}
	if v, ok := tree.Get("a/+", "x"); !ok || v != 5 {
		t.Errorf("Get: %v, %v", v, ok)
	}
	if _, ok := tree.Get("a/c", "x"); ok {
		t.Error("Get found what + matches")
	}
	for _, absent := range []string{"a", "a/c", "b/b", "+/b", "a/b/c", "a/#"} {
		if tree.Remove(absent, "x") {
			t.Errorf("removed %s", absent)
		}
	}
	if !tree.Remove("a/b", "x") || tree.Remove("a/b", "x") {
		t.Error("Remove of a/b is wrong")
	}
	if tree.Len() != 3 {
		t.Errorf("Len: %d", tree.Len())
	}
}

func matches(tree *Tree[string, int], name string) (found []string) {
	tree.Match(name, func(k string, v int) { found = append(found, fmt.Sprint(k, " ", v)) })
	slices.Sort(found)
	return found
}

func TestTreeMatchWithinMatch(t *testing.T) {
	var tree Tree[string, int]
	tree.Insert("+/+", "x", 1)
	tree.Insert("a/#", "y", 2)
	var got []string
	tree.Match("a/b", func(outer string, _ int) {
		tree.Match("a/c/d", func(inner string, _ int) { got = append(got, outer+inner) })
	})
	slices.Sort(got)
	if diff := cmp.Diff([]string{"xy", "yy"}, got); diff != "" {
		t.Error(diff)
	}
}

// Many subscribers of one filter take another form; the change must not show.
func TestTreeManySubscribers(t *testing.T) {
	var tree Tree[int, int]
	const n = 3 * smallSet
	for i := 1; i <= n; i++ {
		tree.Insert("a", i, i)
	}
	for i := 2; i <= n; i += 2 {
		if !tree.Remove("a", i) || tree.Remove("a", i) {
			t.Fatalf("Remove of %d is wrong", i)
		}
	}
	for i := 1; i <= n; i++ {
		if v, ok := tree.Get("a", i); ok != (i%2 == 1) || ok && v != i {
			t.Fatalf("Get of %d: %d, %v", i, v, ok)
		}
	}
	for i := 1; i <= n; i += 2 {
		tree.Remove("a", i)
	}
	if tree.Len() != 0 {
		t.Errorf("Len: %d", tree.Len())
	}
}

// The tree against a plain map and the naive matcher, through any history.
func TestTreeAsModel(t *testing.T) {
	type sub struct {
		filter string
		key    int
	}
	rapid.Check(t, func(t *rapid.T) {
		var tree Tree[int, int]
		model := map[sub]int{}
		draw := func(t *rapid.T) sub {
			return sub{filterGen().Draw(t, "filter"), rapid.IntRange(1, 30).Draw(t, "key")}
		}
		t.Repeat(map[string]func(*rapid.T){
			"insert": func(t *rapid.T) {
				s, v := draw(t), rapid.Int().Draw(t, "value")
				_, had := model[s]
				model[s] = v
				if tree.Insert(s.filter, s.key, v) != had {
					t.Fatal("replaced is wrong")
				}
			},
			"crowd": func(t *rapid.T) {
				filter := filterGen().Draw(t, "filter")
				for i := range rapid.IntRange(1, 30).Draw(t, "keys") {
					key := i + 1
					model[sub{filter, key}] = key
					tree.Insert(filter, key, key)
				}
			},
			"remove": func(t *rapid.T) {
				s := draw(t)
				if len(model) > 0 && rapid.Bool().Draw(t, "one that is there") {
					keys := slices.SortedFunc(maps.Keys(model), func(a, b sub) int {
						return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
					})
					s = rapid.SampledFrom(keys).Draw(t, "subscription")
				}
				_, had := model[s]
				delete(model, s)
				if tree.Remove(s.filter, s.key) != had {
					t.Fatal("removed is wrong")
				}
			},
			"": func(t *rapid.T) {
				name := nameGen().Draw(t, "name")
				want := map[sub]int{}
				for s, v := range model {
					if naive(s.filter, name) {
						want[s] = v
					}
				}
				var wantList, got []string
				for s, v := range want {
					wantList = append(wantList, fmt.Sprint(s.key, v))
				}
				tree.Match(name, func(k, v int) { got = append(got, fmt.Sprint(k, v)) })
				slices.Sort(wantList)
				slices.Sort(got)
				if diff := cmp.Diff(wantList, got); diff != "" {
					t.Fatalf("match of %q: %s", name, diff)
				}
				checkTidy(t, &tree, len(model))
			},
		})
	})
}

// checkTidy: no node or edge outlives what it was made for.
func checkTidy(t *rapid.T, tree *Tree[int, int], subs int) {
	if tree.Len() != subs {
		t.Fatalf("Len is %d, want %d", tree.Len(), subs)
	}
	live, exact, long := 0, 0, 0
	for id := uint32(root); id < tree.nodes.used; id++ {
		if slices.Contains(tree.nodes.free, id) {
			continue
		}
		live++
		n := tree.nodes.at(id)
		exact += int(n.kids)
		if n.level.size == longLabel {
			long++
		}
		if id != root && n.subs.len() == 0 && n.plus == 0 && n.hash == 0 && n.kids == 0 {
			t.Fatalf("node %d leads nowhere", id)
		}
	}
	if long != len(tree.long) {
		t.Fatalf("%d long levels, %d kept", long, len(tree.long))
	}
	filled := 0
	for _, s := range tree.kids.seats {
		if s.row != 0 {
			filled++
		}
	}
	if exact != tree.kids.used || exact != filled {
		t.Fatalf("%d children, %d said to be in the table, %d there", exact, tree.kids.used, filled)
	}
}

func TestTreeMatchAllocs(t *testing.T) {
	tree := bigTree(1000)
	n := 0
	yield := func(*session, options) { n++ }
	tree.Match("plant/line7/device7/temperature", yield) // the scratch grows once
	allocs := testing.AllocsPerRun(100, func() { tree.Match("plant/line7/device7/temperature", yield) })
	if allocs != 0 {
		t.Errorf("%v allocations a match", allocs)
	}
	if n == 0 {
		t.Error("nothing matched")
	}
}

func TestTreeMemory(t *testing.T) {
	const subs, limit = 100_000, 300
	shapes := map[string]func(i int) string{
		"own leaf":       func(i int) string { return fmt.Sprintf("plant/line%d/device%d", i%50, i) },
		"own middle":     func(i int) string { return fmt.Sprintf("plant/device%d/cmd", i) },
		"shared filters": func(i int) string { return fmt.Sprintf("plant/line%d/+/alarm", i%100) },
	}
	for name, filter := range shapes {
		t.Run(name, func(t *testing.T) {
			var tree Tree[*session, options]
			s := new(session)
			perItem := heapPerItem(subs, func(i int) {
				if i%100 == 0 {
					s = new(session)
				}
				tree.Insert(filter(i), s, options{})
			})
			t.Logf("%d bytes a subscription", perItem)
			if perItem > limit {
				t.Errorf("%d bytes a subscription, want at most %d", perItem, limit)
			}
			runtime.KeepAlive(&tree)
		})
	}
}

// heapPerItem is how much the heap grew for each of n calls.
func heapPerItem(n int, do func(i int)) int64 {
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for i := range n {
		do(i)
	}
	return (heap() - before) / int64(n)
}

// What a broker keeps for a subscription.
type (
	session struct{ name string }
	options struct{ _ [8]byte }
)

// bigTree has n exact filters and a tenth as many with wildcards, as a plant may.
func bigTree(n int) *Tree[*session, options] {
	var tree Tree[*session, options]
	sessions := make([]*session, 100)
	for i := range sessions {
		sessions[i] = &session{fmt.Sprint("client", i)}
	}
	for i := range n {
		s := sessions[i%len(sessions)]
		tree.Insert(fmt.Sprintf("plant/line%d/device%d/temperature", i%1000, i), s, options{})
		if i%10 == 0 {
			tree.Insert(fmt.Sprintf("plant/+/device%d/#", i), s, options{})
		}
	}
	return &tree
}

func BenchmarkTreeMatch(b *testing.B) {
	for _, n := range []int{1000, 10_000, 100_000} {
		tree := bigTree(n)
		names := make([]string, 1024)
		for i := range names {
			d := i * (n / 1000) % n
			names[i] = fmt.Sprintf("plant/line%d/device%d/temperature", d%1000, d)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			matched := 0
			yield := func(*session, options) { matched++ }
			i := 0
			for b.Loop() {
				tree.Match(names[i&1023], yield)
				i++
			}
			b.ReportMetric(float64(matched)/float64(i), "matches/op")
		})
	}
}

func BenchmarkTreeInsertRemove(b *testing.B) {
	tree := bigTree(100_000)
	s := new(session)
	b.ReportAllocs()
	for b.Loop() {
		tree.Insert("plant/line1/device-new/humidity", s, options{})
		tree.Remove("plant/line1/device-new/humidity", s)
	}
}

func BenchmarkMatch(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Match("plant/+/device7/#", "plant/line7/device7/temperature")
	}
}

func BenchmarkValidName(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if ValidName("plant/line7/device7/temperature") != nil {
			b.Fatal("invalid")
		}
	}
}
