package storage

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	"github.com/weir-edge/weir/core"
)

// TestUpgradeLargeFacts: a store of format 1 has large facts in one value each, those of
// 100 kB and more in the value log. They are there behind the upgrade, which leaves no
// value log in the copy that is made anew; and the program before refuses.
func TestUpgradeLargeFacts(t *testing.T) {
	dir := t.TempDir()
	sizes := map[string]int{"small": 100, "middle": 80_000, "large": 600_000}
	for _, name := range metaNames {
		writeFormat1(t, filepath.Join(dir, name), sizes)
	}
	for range 2 {
		l, err := Open(Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		err = l.Load(func(c core.Change) {
			m := c.(core.RetainedSaved).Message
			if found++; !bytes.Equal(m.Payload, bytes.Repeat([]byte{7}, sizes[m.Topic])) {
				t.Errorf("%s has %d bytes", m.Topic, len(m.Payload))
			}
		})
		if err != nil || found != len(sizes) {
			t.Errorf("%d facts, %v", found, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Open(Config{Dir: dir, formats: formats{version: 1}})
	if !errors.Is(err, errNewer) {
		t.Errorf("a program of format 1: %v", err)
	}
	var lengths []int
	m := &metaDB{dir: filepath.Join(dir, "meta-b"), reads: formatVersion, seam: newSeam(), log: quiet}
	if err := m.open(); err != nil {
		t.Fatal(err)
	}
	defer m.close()
	txn := m.journal.begin()
	defer txn.Discard()
	for topic := range sizes {
		head, err := getEntry(txn, textKey(keyRetained, topic), nil)
		if err != nil {
			t.Fatal(err)
		}
		lengths = append(lengths, len(head))
	}
	for _, n := range lengths {
		if n > 200 {
			t.Errorf("values of %v bytes", lengths)
			break
		}
	}
}

// writeFormat1 makes a copy of the state as a program of format 1 did.
func writeFormat1(t *testing.T, dir string, sizes map[string]int) {
	t.Helper()
	m := &metaDB{dir: dir, reads: formatVersion, seam: newSeam(), log: quiet}
	if err := m.open(); !errors.Is(err, errEmpty) {
		t.Fatal(err)
	}
	var d digest
	write := func(key, value []byte) {
		txn := m.journal.begin()
		defer txn.Discard()
		if err := txn.Set(key, frame(key, value, 0)); err != nil {
			t.Fatal(err)
		}
		if err := m.journal.commit(txn, 1, int64(len(value))); err != nil {
			t.Fatal(err)
		}
	}
	for topic, size := range sizes {
		r := toRecord(0, 0, &core.Message{Topic: topic, Payload: bytes.Repeat([]byte{7}, size), Retain: true}, stampRecord{})
		o := set(textKey(keyRetained, topic), &r)
		d.add(1, o.Key, o.Value)
		write(o.Key, o.Value)
	}
	c := set([]byte{keyCheckpoint}, &checkpointRecord{Format: 1, Page: 1, Count: d.count, Digest: d.sum})
	write(c.Key, c.Value)
	if err := errors.Join(m.journal.sync(), m.close()); err != nil {
		t.Fatal(err)
	}
}
