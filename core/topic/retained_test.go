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

func TestRetained(t *testing.T) {
	var r Retained[int]
	if r.Set("a", 1) || !r.Set("a", 2) {
		t.Error("replaced is wrong")
	}
	if v, ok := r.Get("a"); !ok || v != 2 {
		t.Errorf("Get: %v, %v", v, ok)
	}
	if _, ok := r.Get("b"); ok {
		t.Error("Get found what is not there")
	}
	if r.Delete("b") || !r.Delete("a") || r.Delete("a") {
		t.Error("Delete is wrong")
	}
	if r.Len() != 0 {
		t.Errorf("Len: %d", r.Len())
	}
}

func TestRetainedMatches(t *testing.T) {
	var r Retained[int]
	names := []string{"a", "a-b", "a/", "a/b", "a/b/c", "a/c", "a/c/c", "b", "b/b", "$SYS/x", "c//d"}
	for i, name := range names {
		r.Set(name, i)
	}
	tests := map[string][]string{
		"#":      {"a", "a-b", "a/", "a/b", "a/b/c", "a/c", "a/c/c", "b", "b/b", "c//d"},
		"+":      {"a", "a-b", "b"},
		"a":      {"a"},
		"a/#":    {"a", "a/", "a/b", "a/b/c", "a/c", "a/c/c"},
		"a/+":    {"a/", "a/b", "a/c"},
		"+/b":    {"a/b", "b/b"},
		"a/+/c":  {"a/b/c", "a/c/c"},
		"+/+/c":  {"a/b/c", "a/c/c"},
		"+/b/#":  {"a/b", "a/b/c", "b/b"},
		"$SYS/#": {"$SYS/x"},
		"c//+":   {"c//d"},
		"z/#":    nil,
		"a/z":    nil,
	}
	for filter, want := range tests {
		t.Run(filter, func(t *testing.T) {
			var got []string
			for name, v := range r.Matches(filter) {
				got = append(got, name)
				if names[v] != name {
					t.Errorf("%s has value %d", name, v)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The index against a plain map, through any history.
func TestRetainedAsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r Retained[int]
		model := map[string]int{}
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				name, v := nameGen().Draw(t, "name"), rapid.Int().Draw(t, "value")
				_, had := model[name]
				model[name] = v
				if r.Set(name, v) != had {
					t.Fatal("replaced is wrong")
				}
			},
			"many": func(t *rapid.T) {
				prefix := nameGen().Draw(t, "name")
				for i := range rapid.IntRange(1, 600).Draw(t, "names") {
					name := fmt.Sprint(prefix, "/", i)
					model[name] = i
					r.Set(name, i)
				}
			},
			"delete below": func(t *rapid.T) {
				prefix := nameGen().Draw(t, "name")
				for name := range maps.Clone(model) {
					if strings.HasPrefix(name, prefix) {
						delete(model, name)
						if !r.Delete(name) {
							t.Fatalf("%q was not there", name)
						}
					}
				}
			},
			"": func(t *rapid.T) {
				filter := filterGen().Draw(t, "filter")
				want := slices.DeleteFunc(slices.Sorted(maps.Keys(model)), func(name string) bool { return !naive(filter, name) })
				got := []string{}
				for name, v := range r.Matches(filter) {
					got = append(got, name)
					if model[name] != v {
						t.Fatalf("%q has value %d, want %d", name, v, model[name])
					}
				}
				if !slices.Equal(want, got) {
					t.Fatalf("matches of %q: %s", filter, cmp.Diff(want, got))
				}
				checkBlocks(t, &r, len(model))
			},
		})
	})
}

func checkBlocks(t *rapid.T, r *Retained[int], names int) {
	last, n := "", 0
	for i, block := range r.order {
		if len(block) == 0 || len(block) > maxBlock {
			t.Fatalf("block %d has %d names", i, len(block))
		}
		for _, id := range block {
			s := r.rows.at(id)
			if n > 0 && s.name <= last {
				t.Fatalf("%q stands behind %q", s.name, last)
			}
			last = s.name
			n++
		}
	}
	if n != names || r.Len() != names {
		t.Fatalf("%d names, Len %d, want %d", n, r.Len(), names)
	}
}

// A cursor that is used in slices, while names come and go, gives those that stay
// exactly once and in order.
func TestCursorWhileNamesChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r Retained[int]
		stay := map[string]bool{}
		for _, name := range rapid.SliceOfN(nameGen(), 0, 60).Draw(t, "staying") {
			stay[name] = true
			r.Set(name, 1)
		}
		filter := filterGen().Draw(t, "filter")
		var got []string
		for c := r.Cursor(filter); !c.Done(); {
			for name := range c.Next(rapid.IntRange(1, 5).Draw(t, "slice")) {
				got = append(got, name)
				if rapid.Bool().Draw(t, "within") {
					change(t, &r, stay)
				}
				if rapid.IntRange(0, 4).Draw(t, "break") == 0 {
					break
				}
			}
			change(t, &r, stay)
		}
		if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Fatalf("out of order or twice: %q", got)
		}
		for name := range stay {
			if naive(filter, name) != slices.Contains(got, name) {
				t.Fatalf("%q: got %q", name, got)
			}
		}
	})
}

// change sets or deletes a name that need not stay.
func change(t *rapid.T, r *Retained[int], stay map[string]bool) {
	name := nameGen().Draw(t, "changed")
	switch {
	case stay[name]:
		r.Set(name, 2)
	case rapid.Bool().Draw(t, "set"):
		r.Set(name, 1)
	default:
		r.Delete(name)
	}
}

// A slice looks at a bounded number of names, even if none of them matches.
func TestCursorIsBounded(t *testing.T) {
	var r Retained[int]
	for i := range 1000 {
		r.Set(fmt.Sprintf("a/%d", i), i)
	}
	c, slices, found := r.Cursor("+/+/x"), 0, 0
	for ; !c.Done(); slices++ {
		for range c.Next(10) {
			found++
		}
	}
	if found != 0 || slices < 100 {
		t.Errorf("%d slices, %d found", slices, found)
	}
}

// A filter that asks for one name in each of many trees does not look at the rest.
func TestCursorSkips(t *testing.T) {
	var r Retained[int]
	for i := range 20 {
		for j := range 500 {
			r.Set(fmt.Sprintf("device%d/value%d", i, j), j)
		}
		r.Set(fmt.Sprintf("device%d/status", i), i)
	}
	c, looked, found := r.Cursor("+/status"), 0, 0
	for ; !c.Done(); looked++ {
		for range c.Next(1) {
			found++
		}
	}
	if found != 20 || looked > 100 {
		t.Errorf("%d found, %d names looked at", found, looked)
	}
}

func TestRetainedMemory(t *testing.T) {
	const names, limit = 100_000, 450
	// As big as core.Message, which this package may not import.
	type message struct {
		topic   string
		payload []byte
		_       [72]byte
	}
	var r Retained[*message]
	perItem := heapPerItem(names, func(i int) {
		m := &message{topic: fmt.Sprintf("plant/line%d/device%d/temperature", i%50, i), payload: make([]byte, 100)}
		r.Set(m.topic, m)
	})
	t.Logf("%d bytes a retained message of 100 bytes", perItem)
	if perItem > limit {
		t.Errorf("%d bytes a retained message, want at most %d", perItem, limit)
	}
	runtime.KeepAlive(&r)
}

func BenchmarkRetained(b *testing.B) {
	var r Retained[int]
	names := make([]string, 100_000)
	for i := range names {
		names[i] = fmt.Sprintf("plant/line%d/device%d/temperature", i%50, i)
		r.Set(names[i], i)
	}
	b.Run("replace", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			r.Set(names[i%len(names)], i)
			i++
		}
	})
	b.Run("insert and delete", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.Set("plant/line25/new", 1)
			r.Delete("plant/line25/new")
		}
	})
	for _, filter := range []string{"#", "plant/line7/#", "plant/+/device7/+", "plant/line7/device7/temperature"} {
		b.Run("match "+filter, func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				for range r.Matches(filter) {
					n++
				}
			}
			b.ReportMetric(float64(n)/float64(b.N), "names/op")
		})
	}
}
