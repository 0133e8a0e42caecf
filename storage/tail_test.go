package storage

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weir-edge/weir/core"
)

// tailOf makes a tail from lines like "due a b", "a! b", where a receiver with !
// was not there, and one with - has paid.
func tailOf(now time.Time, receivers map[string]*receiver, lines ...string) *tail {
	t := &tail{}
	for i, line := range lines {
		e := &held{seq: core.Seq(i + 1), m: &core.Message{}, due: now.Add(time.Hour)}
		for _, word := range strings.Fields(line) {
			if word == "due" {
				e.due = now
				continue
			}
			name := strings.TrimRight(word, "!-")
			if receivers[name] == nil {
				receivers[name] = &receiver{}
			}
			d := debt{r: receivers[name], live: !strings.HasSuffix(word, "!"), paid: strings.HasSuffix(word, "-")}
			if !d.paid {
				e.open++
			}
			e.debts = append(e.debts, d)
		}
		t.push(e)
	}
	return t
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		name string
		tail []string
		want []core.Seq
	}{
		{"nothing is due", []string{"a", "b"}, nil},
		{"what is due", []string{"due a", "b"}, []core.Seq{1}},
		{"what somebody absent waits for", []string{"a", "a! b", "c"}, []core.Seq{1, 2}},
		{"all earlier of a receiver", []string{"a", "b", "a", "due a"}, []core.Seq{1, 3, 4}},
		{"nothing later of a receiver", []string{"due a", "a"}, []core.Seq{1}},
		{"not of those who keep up", []string{"b", "due a", "b"}, []core.Seq{2}},
		{"through a chain of receivers", []string{"c", "b c", "a b", "d", "due a"}, []core.Seq{1, 2, 3, 5}},
		{"not through a debt that is paid", []string{"b", "due a b-"}, []core.Seq{2}},
		{"not what is paid by all", []string{"a-", "due a"}, []core.Seq{2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := time.Now()
			tail := tailOf(now, make(map[string]*receiver), c.tail...)
			var got []core.Seq
			for _, e := range tail.choose(now, 1) {
				got = append(got, e.seq)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("chosen (-want +got):\n%s", diff)
			}
			left := len(c.tail) > len(c.want)
			if left == tail.nextDue.IsZero() && c.name != "not what is paid by all" {
				t.Errorf("left %v, next due %v", left, tail.nextDue)
			}
		})
	}
}

// TestClosure checks the rule on random tails: whoever gets something written has
// nothing older left in the tail.
func TestClosure(t *testing.T) {
	words := rapid.SampledFrom([]string{"a", "b", "c", "d", "a!", "b-", "due"})
	lines := rapid.SliceOfN(rapid.SliceOfNDistinct(words, 1, 4, func(w string) byte { return w[0] }), 1, 30)
	rapid.Check(t, func(rt *rapid.T) {
		var tail []string
		for _, l := range lines.Draw(rt, "tail") {
			tail = append(tail, strings.Join(l, " "))
		}
		now := time.Now()
		tl := tailOf(now, make(map[string]*receiver), tail...)
		chosen := make(map[core.Seq]bool)
		for _, e := range tl.choose(now, 1) {
			chosen[e.seq] = true
		}
		left := make(map[*receiver]core.Seq) // the oldest that each still waits for
		for _, e := range tl.entries {
			for _, d := range e.debts {
				switch oldest, ok := left[d.r]; {
				case d.paid:
				case chosen[e.seq] && ok:
					rt.Fatalf("%d is written before %d", e.seq, oldest)
				case !chosen[e.seq] && !ok:
					left[d.r] = e.seq
				}
			}
		}
	})
}

func TestTailForgets(t *testing.T) {
	tl := &tail{}
	for i := range 1000 {
		tl.push(&held{seq: core.Seq(i + 1), m: &core.Message{Topic: "t"}})
	}
	for i := range 999 {
		e := tl.find(core.Seq(i + 1))
		if e == nil {
			t.Fatalf("entry %d is not found", i+1)
		}
		tl.remove(e)
		tl.remove(e)
	}
	if tl.live != 1 || len(tl.entries) > 64 {
		t.Errorf("%d live of %d entries", tl.live, len(tl.entries))
	}
	if tl.find(5) != nil || tl.find(1000) == nil {
		t.Error("find is confused")
	}
	if want := int64(tl.find(1000).m.Size()); tl.bytes != want {
		t.Errorf("%d bytes, want %d", tl.bytes, want)
	}
}
