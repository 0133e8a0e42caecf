package storage

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"testing"
)

// TestSaveFails: wherever a checkpoint fails, once or twice in a row, the next one that does
// not is whole in both copies, and so is what there is after a kill before that.
func TestSaveFails(t *testing.T) {
	failure := errors.New("no")
	for _, twice := range []bool{false, true} {
		done := false
		for nth := 1; !done; nth += 13 {
			dir, calls, armed := t.TempDir(), 0, false
			cfg := Faulty(Config{}, func(string) error {
				if calls++; armed && (calls == nth || twice && calls == nth+17) {
					return failure
				}
				return nil
			})
			st := openTestState(t, dir, cfg.seam)
			change := func(round int) {
				for i := range 40 {
					size := 100
					if i%8 == 0 {
						size = 150_000
					}
					st.put(fmt.Sprintf("%c%d", keyRetained, i), change{value: append(make([]byte, size), byte(round))})
				}
			}
			change(1)
			if err := st.save(1, 1); err != nil {
				t.Fatal(err)
			}
			calls, armed = 0, true
			change(2)
			failed := 0
			for {
				err := st.save(2, 2)
				if err == nil {
					break
				}
				if failed++; failed > 3 {
					t.Fatalf("call %d: it does not come to an end: %v", nth, err)
				}
				killed := copyOf(t, dir)
				if got := stateRound(t, killed); got != 1 && got != 2 {
					t.Fatalf("call %d, killed: round %d", nth, got)
				}
			}
			done = calls < nth
			armed = false
			if err := st.close(); err != nil {
				t.Fatal(err)
			}
			if got := stateRound(t, dir); got != 2 {
				t.Errorf("call %d: round %d", nth, got)
			}
			for _, name := range metaNames {
				m := &metaDB{dir: filepath.Join(dir, name), reads: formatVersion, seam: newSeam(), log: quiet}
				if err := errors.Join(m.open(), m.verify(), m.close()); err != nil || m.checkpoint.Page != 2 {
					t.Errorf("call %d: %s is of page %d, %v", nth, name, m.checkpoint.Page, err)
				}
			}
		}
	}
}

func openTestState(t *testing.T, dir string, s *seam) *state {
	t.Helper()
	if _, err := newRing(dir, newSeam(), quiet).list(); err != nil { // it is where renew throws things
		t.Fatal(err)
	}
	st, lost, err := openState(dir, thisFormat(), s, quiet, func(dir string, why error) error {
		t.Errorf("set aside %s: %v", filepath.Base(dir), why)
		return newRing(filepath.Dir(dir), newSeam(), quiet).setAside(dir, why)
	})
	if err != nil || lost {
		t.Fatalf("%v, lost %v", err, lost)
	}
	return st
}

// stateRound opens a state and gives the round of its facts, which must all be of one.
func stateRound(t *testing.T, dir string) (round int) {
	t.Helper()
	st := openTestState(t, dir, newSeam())
	defer st.close()
	n := 0
	var failed error
	var facts iter.Seq[fact] = st.all(&failed)
	for f := range facts {
		last := int(f.value[len(f.value)-1])
		if n++; n > 1 && last != round {
			t.Fatalf("facts of rounds %d and %d: %s %d", round, last, f.key, len(f.value))
		}
		round = last
	}
	if failed != nil || n != 40 {
		t.Fatalf("%d facts, %v", n, failed)
	}
	return round
}

// TestRenewWithTrash: a copy that an earlier try could not remove is not in the way of the
// next one.
func TestRenewWithTrash(t *testing.T) {
	dir := t.TempDir()
	st := openTestState(t, dir, newSeam())
	defer st.close()
	for _, name := range metaNames {
		trash := filepath.Join(dir, ringDir, trashPrefix+name)
		if err := os.MkdirAll(trash, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(trash, "MANIFEST"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	st.put(string(keyRetained)+"a", change{value: []byte{1}})
	if err := st.save(1, 1); err != nil {
		t.Error(err)
	}
}

// TestUnfinishedCheckpoint: a copy in which a checkpoint was begun is not damaged, but all
// that there is of it is kept where the other copy is lost.
func TestUnfinishedCheckpoint(t *testing.T) {
	dir := t.TempDir()
	cfg := AtStep(Config{}, func(string) {})
	st := openTestState(t, dir, cfg.seam)
	renew := func(round byte) {
		for i := range 3 {
			st.put(fmt.Sprintf("%c%d", keyRetained, i), change{value: append(make([]byte, 150_000), round)})
		}
	}
	renew(1)
	if err := st.save(1, 1); err != nil {
		t.Fatal(err)
	}
	var killed string
	cfg.seam.step = func(name string) {
		if name == "checkpoint: facts written" && killed == "" {
			killed = copyOf(t, dir)
		}
	}
	renew(2)
	if err := errors.Join(st.save(2, 2), st.close()); err != nil {
		t.Fatal(err)
	}
	for _, without := range []bool{false, true} {
		dir := copyOf(t, killed)
		begun := &metaDB{dir: filepath.Join(dir, metaNames[0]), reads: formatVersion, seam: newSeam(), log: quiet}
		if err := begun.open(); !errors.Is(err, errEmpty) || !begun.begun {
			t.Fatalf("%v, begun %v", err, begun.begun)
		}
		if err := begun.close(); err != nil {
			t.Fatal(err)
		}
		if without {
			if err := os.RemoveAll(filepath.Join(dir, metaNames[1])); err != nil {
				t.Fatal(err)
			}
		}
		var aside []string
		st, lost, err := openState(dir, thisFormat(), newSeam(), quiet, func(dir string, _ error) error {
			aside = append(aside, filepath.Base(dir))
			return os.Rename(dir, dir+"-aside")
		})
		if err != nil || lost != without || (len(aside) > 0) != without {
			t.Fatalf("without the other %v: lost %v, aside %q, %v", without, lost, aside, err)
		}
		if err := st.save(3, 3); err != nil {
			t.Error(err)
		}
		if err := st.close(); err != nil {
			t.Error(err)
		}
	}
}
