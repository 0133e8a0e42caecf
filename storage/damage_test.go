package storage_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/storage"
	"github.com/weir-edge/weir/storage/storagetest"
)

// damages are what can happen to a file.
var damages = []struct {
	name string
	do   func(b []byte) []byte // nil: the file is removed
}{
	{"removed", func([]byte) []byte { return nil }},
	{"empty", func([]byte) []byte { return []byte{} }},
	{"cut in half", func(b []byte) []byte { return b[:len(b)/2] }},
	{"cut by one", func(b []byte) []byte { return b[:max(0, len(b)-1)] }},
	{"first byte flipped", flip(0)},
	{"flipped at a tenth", flip(0.1)},
	{"flipped in the middle", flip(0.5)},
	{"flipped at nine tenths", flip(0.9)},
	{"last byte flipped", flip(1)},
	{"4 KiB zero", func(b []byte) []byte {
		from := len(b) / 3
		clear(b[from:min(len(b), from+4096)])
		return b
	}},
	{"all zero", func(b []byte) []byte { clear(b); return b }},
	{"longer", func(b []byte) []byte { return append(b, "some bytes that nobody knows"...) }},
}

func flip(at float64) func(b []byte) []byte {
	return func(b []byte) []byte {
		if len(b) > 0 {
			b[int(float64(len(b)-1)*at)] ^= 0x10
		}
		return b
	}
}

// original is a store, and what is in it.
type original struct {
	dir   string
	owed  map[core.Seq]*core.Message
	state map[string]core.Change
}

// makeOriginal fills a store with segments, some of them partly paid, and
// leaves it as Close does or as a kill does.
func makeOriginal(t *testing.T, killed bool) original { return makeOriginalOf(t, killed, 16<<10) }

func makeOriginalOf(t *testing.T, killed bool, segment int64) original {
	cfg, clone := storage.Crashable(storage.SmallSegments(storage.Config{Dir: scratch(t)}, segment))
	o := storagetest.NewOwner(t, open(t, cfg))
	a := original{dir: cfg.Dir, owed: make(map[core.Seq]*core.Message), state: make(map[string]core.Change)}
	record := func(c core.Change) {
		a.state[fmt.Sprintf("%T %s", c, name(c))] = c
		o.Store.Record(c, false)
	}
	record(core.RuleSaved{Name: "uplink", Receiver: uplink})
	for i := range 50 {
		record(core.RetainedSaved{Message: &core.Message{Topic: fmt.Sprint("retained/", i), Payload: make([]byte, 50)}})
		record(core.SubscriptionSaved{Subscription: core.Subscription{Receiver: uplink, Filter: fmt.Sprint("f/", i)}})
	}
	clock := core.NewClock()
	for i := range 3000 {
		m := telemetry(i, clock)
		seq := o.Append(m, 0, core.Debt{Receiver: uplink})
		a.owed[seq] = m
		if i%50 == 49 {
			o.UntilSettled(seq)
		}
	}
	next, _ := o.Fetch(uplink, 60)
	for _, d := range next {
		o.Paid(uplink, d.Seq)
		delete(a.owed, d.Seq)
	}
	ticket := o.Store.Record(core.IncomingHeld{Owner: 1, PacketID: 1}, false)
	a.state[fmt.Sprintf("%T %s", core.IncomingHeld{}, "")] = core.IncomingHeld{Owner: 1, PacketID: 1}
	o.Until("the position", func() bool { return o.Synced >= ticket })
	if killed {
		a.dir = scratch(t)
		clone(t, a.dir)
	}
	if err := o.Reopened(t).Close(); err != nil { // the state has tables and journals now
		t.Fatal(err)
	}
	return a
}

func name(c core.Change) string {
	switch c := c.(type) {
	case core.RetainedSaved:
		return c.Message.Topic
	case core.SubscriptionSaved:
		return c.Subscription.Filter
	default:
		return ""
	}
}

// TestDamage damages each file in each way. The store always opens, never gives
// a wrong value, and says so when something is lost.
func TestDamage(t *testing.T) {
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprintf("killed=%v", killed), func(t *testing.T) {
			t.Parallel()
			a := makeOriginal(t, killed)
			lost, total := 0, 0
			for _, file := range a.files(t) {
				if file == "/LOCK" {
					continue
				}
				for _, d := range damages {
					n, _ := a.damage(t, file, d.name, d.do)
					lost, total = lost+n, total+len(a.owed)
					if t.Failed() {
						t.Fatalf("%s %s", file, d.name)
					}
				}
			}
			t.Logf("%.2f %% of the messages lost, by one damage each", 100*float64(lost)/float64(total))
		})
	}
}

// TestDamagedJournal damages the journal of a store that was killed, at any place. What is
// behind the damage is delivered, and what is lost is told, but for the end of the journal:
// that can be torn as well. The journal is kept.
func TestDamagedJournal(t *testing.T) {
	t.Parallel()
	a := makeOriginalOf(t, true, 8<<20)
	const path = "/q/00000000000000000001/00001.mem"
	b, err := os.ReadFile(a.dir + path)
	if err != nil {
		t.Fatal(err)
	}
	end := len(bytes.TrimRight(b, "\x00"))
	seed := rand.Uint64()
	t.Logf("seed %d, %d bytes", seed, end)
	rng := rand.New(rand.NewPCG(seed, 1))
	const groups, inGroup, rounds = 60, 50, 24
	const from = 8 << 10 // before that is the rule, without which nothing is owed to it
	told := 0
	for i := range rounds {
		at := from + rng.IntN(end-from)
		how, do := "a bit flipped", func(b []byte) { b[at] ^= 1 << rng.IntN(8) }
		if i%2 == 0 {
			how, do = "4 KiB zero", func(b []byte) { clear(b[at:min(end, at+4096)]) }
		}
		spoil := func(b []byte) []byte { do(b); return b }
		lost, silent := a.damage(t, path, fmt.Sprintf("%s at %d", how, at), spoil)
		if !silent {
			told++
		}
		if silent && lost > 0 && at+4096 < end-2*end/groups {
			t.Errorf("%s at %d of %d: %d messages are lost without a word", how, at, end, lost)
		}
		if most := (4 + 4096*groups/end) * inGroup; lost > most {
			t.Errorf("%s at %d of %d: %d messages are lost", how, at, end, lost)
		}
		if t.Failed() {
			return
		}
	}
	if told < rounds/2 {
		t.Errorf("only %d times something was told", told)
	}
}

func (a original) files(t *testing.T) (files []string) {
	t.Helper()
	segments, err := os.ReadDir(filepath.Join(a.dir, "q"))
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(a.dir, func(path string, d os.DirEntry, err error) error {
		for i, s := range segments {
			if i != 1 && i != len(segments)-1 && d.Name() == s.Name() {
				return filepath.SkipDir // one sealed segment is like another
			}
		}
		if err == nil && !d.IsDir() {
			files = append(files, strings.TrimPrefix(path, a.dir))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// damage damages one file of a copy, and looks at what is left. It gives the
// number of messages that are lost; silent says that nothing tells of that.
func (a original) damage(t *testing.T, file, how string, do func([]byte) []byte) (lost int, silent bool) {
	dir := scratch(t)
	defer os.RemoveAll(dir)
	storage.CloneStore(t, a.dir, dir)
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	if b = do(b); b == nil {
		err = os.Remove(filepath.Join(dir, file))
	} else {
		err = os.WriteFile(filepath.Join(dir, file), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	o, ok := tryOpen(t, storage.Config{Dir: dir})
	if !ok {
		t.Errorf("%s %s: does not open", file, how)
		return 0, false
	}
	defer func() {
		if err := o.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	quarantined := func() bool { return o.Store.Status().Quarantined > 0 }
	journal := filepath.Ext(file) == ".mem" && strings.HasPrefix(file, "/q") // the state has two
	a.compareState(t, o, quarantined() || journal)
	found := make(map[core.Seq]bool)
	var last core.Seq
	for _, d := range o.Drain(uplink, 200) {
		want := a.owed[d.Seq]
		if want == nil && !d.Again || d.Seq <= last {
			t.Errorf("message %d after %d, owed %v", d.Seq, last, want != nil)
		}
		if want != nil && !reflect.DeepEqual(want, d.Message) {
			t.Errorf("message %d: %s", d.Seq, cmp.Diff(want, d.Message))
		}
		last = d.Seq
		found[d.Seq] = true
	}
	for seq := range a.owed {
		if !found[seq] {
			lost++
		}
	}
	silent = o.Dropped[core.DroppedUnreadable] == 0 && !quarantined()
	if lost > 0 && silent && !journal { // whose end can not be told from a torn one
		t.Errorf("%s %s: %d messages are lost without a word", file, how, lost)
	}
	if n := o.Store.Owed(uplink); n > 0 {
		t.Errorf("%s %s: %d messages stay owed", file, how, n)
	}
	return lost, silent
}

func (a original) compareState(t *testing.T, o *storagetest.Owner, excused bool) {
	got := make(map[string]core.Change)
	if err := o.Store.Load(func(c core.Change) { got[fmt.Sprintf("%T %s", c, name(c))] = c }); err != nil {
		t.Errorf("load: %v", err)
	}
	for k, c := range got {
		if !reflect.DeepEqual(a.state[k], c) {
			t.Errorf("state %s: %s", k, cmp.Diff(a.state[k], c))
		}
	}
	if len(got) < len(a.state) && !excused {
		t.Errorf("%d of %d facts are lost", len(a.state)-len(got), len(a.state))
	}
}
