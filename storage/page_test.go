package storage

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weir-edge/weir/core"
)

// examples are groups that together use everything a page can hold.
func examples() []*group {
	stamp := core.Stamp{Wall: 1_700_000_000_000_000_000, Mono: 42_000_000_000, Boot: 7, Synced: true}
	later := stamp
	later.Mono, later.Wall = later.Mono+5, later.Wall+6
	full := &core.Message{
		Topic: "a/b", Payload: []byte("payload"), QoS: 2, Retain: true, Publisher: "adapter:x",
		Received: later, Expiry: 3e9, Hops: 2,
		Properties: &core.Properties{
			UTF8Payload: true, ContentType: "t", ResponseTopic: "r", CorrelationData: []byte{1, 2},
			User: []core.UserProperty{{Name: "n", Value: "v"}},
		},
	}
	long := &group{mark: 5000}
	for i := range 2500 {
		long.entries = append(long.entries, entry{
			seq: core.Seq(2*i + 1), owed: []core.ReceiverID{1, core.ReceiverID(2 + i%3)},
			m: &core.Message{Topic: "t", Payload: fmt.Appendf(nil, "%d", i), QoS: 1, Received: stamp},
		})
	}
	return []*group{
		{mark: 1, changes: []core.Change{core.RuleSaved{Name: "x", Receiver: 9}}},
		{mark: 12, entries: []entry{
			{seq: 10, m: &core.Message{Topic: "t", QoS: 1, Received: stamp}, owed: []core.ReceiverID{1}},
			{seq: 12, m: full, owed: []core.ReceiverID{2, 1}},
		}, ops: []op{reservation(12)}},
		long,
	}
}

// pagesOf encodes a group.
func pagesOf(t testing.TB, g *group, first uint64) (pages [][]byte) {
	t.Helper()
	e, err := newGroupEncoder()
	if err != nil {
		t.Fatal(err)
	}
	defer e.codec.close()
	ops := g.ops
	for _, c := range g.changes {
		ops = appendOps(ops, c)
	}
	err = e.encode(g, ops, pageInfo{page: first, group: 0x1122334455667788}, func(n uint64, page []byte) error {
		if n != first+uint64(len(pages)) {
			t.Errorf("page %d after %d", n, len(pages))
		}
		pages = append(pages, bytes.Clone(page))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

func TestPageRoundTrip(t *testing.T) {
	dec, err := newDecoder()
	if err != nil {
		t.Fatal(err)
	}
	defer dec.close()
	for i, g := range examples() {
		var got []entry
		var ops []op
		pages := pagesOf(t, g, 100)
		for k, b := range pages {
			p, err := dec.parsePage(b)
			if err != nil {
				t.Fatalf("group %d, page %d: %v", i, k, err)
			}
			if p.page != uint64(100+k) || p.place != uint32(k) || p.last != (k == len(pages)-1) || p.mark != uint64(g.mark) {
				t.Errorf("group %d, page %d: %+v", i, k, p.pageInfo)
			}
			list, err := dec.messagesOf(&p)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, entriesIn(&p, list)...)
			ops = append(ops, p.index.Changes...)
		}
		if diff := cmp.Diff(g.entries, got, cmp.AllowUnexported(entry{}), cmpopts.EquateEmpty(),
			cmpopts.SortSlices(func(a, b core.ReceiverID) bool { return a < b })); diff != "" {
			t.Errorf("group %d (-want +got):\n%s", i, diff)
		}
		if want := len(g.ops) + len(g.changes); len(ops) != want {
			t.Errorf("group %d: %d changes, want %d", i, len(ops), want)
		}
	}
}

func entriesIn(p *page, list []stored) (entries []entry) {
	for i := range list {
		e := entry{seq: list[i].seq, m: list[i].m}
		for k, r := range p.index.Receivers {
			if list[i].owedTo(k) {
				e.owed = append(e.owed, core.ReceiverID(r.Receiver))
			}
		}
		entries = append(entries, e)
	}
	return entries
}

// TestPageGolden fixes the format: stores in the field have such pages.
func TestPageGolden(t *testing.T) {
	const want = "57455047010000010000000000000007112233445566778800000000000000020000000000000009000000000000000c0000" +
		"004b0000004b0000004700000047283b494c000000009494d317979cfe362a0000d300000009c765240007c394d317979cfe" +
		"362a0006d300000009c765240507c392950102cd01710a0c950201ccd00c0c919301c40171c408000000000010000c9c01a1" +
		"74c40009a00000000000c091009c03a3612f62c4077061796c6f61640ea9616461707465723a78050100d300000000b2d05e" +
		"000295c3a174a172c402010292a16ea17690"
	got := hex.EncodeToString(pagesOf(t, examples()[1], 7)[0])
	if got != want {
		t.Errorf("page\n%s, want\n%s", got, want)
	}
}

// TestPageDamage flips every bit of a page: the sum finds it.
func TestPageDamage(t *testing.T) {
	dec, err := newDecoder()
	if err != nil {
		t.Fatal(err)
	}
	defer dec.close()
	b := pagesOf(t, examples()[1], 7)[0]
	for i := range b {
		if i >= 68 && i < pageHeader { // the count of chunks belongs to the segment
			continue
		}
		for bit := range 8 {
			b[i] ^= 1 << bit
			if _, err := dec.parsePage(b); !errors.Is(err, errDamaged) {
				t.Fatalf("bit %d of byte %d flipped: %v", bit, i, err)
			}
			b[i] ^= 1 << bit
		}
	}
	for n := range b {
		if _, err := dec.parsePage(b[:n]); !errors.Is(err, errDamaged) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

// FuzzPage decodes pages whose sums are right and whose contents are not.
func FuzzPage(f *testing.F) {
	for _, g := range examples() {
		for _, p := range pagesOf(f, g, 1) {
			f.Add(p)
		}
	}
	dec, err := newDecoder()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.Clone(b)
		if len(b) >= pageHeader {
			sum := pageSum(b)
			b[64], b[65], b[66], b[67] = byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)
		}
		p, err := dec.parsePage(b)
		if err != nil {
			return
		}
		if _, err := dec.messagesOf(&p); err != nil {
			return
		}
		for _, o := range p.index.Changes {
			if o.Kind == opSet {
				_, _ = parseChange(o.Key, o.Value)
			}
		}
	})
}

// FuzzDecodeFact reads values of meta.
func FuzzDecodeFact(f *testing.F) {
	long := bytes.Repeat([]byte("k"), 2000)
	large := bytes.Repeat([]byte("large"), partSize/4)
	for _, c := range []fact{
		{key: []byte("tkey"), value: []byte("value")},
		{key: long, value: []byte("value")},
		{key: []byte("tkey"), value: large},
		{key: long, value: large},
	} {
		head, parts := encodeFact(c.key, c.value)
		f.Add(storedKey(c.key), head, bytes.Join(parts, nil))
	}
	f.Fuzz(func(t *testing.T, stored, head, parts []byte) {
		next := func([]byte) (part []byte, err error) {
			n := min(partSize+frameTail, len(parts))
			part, parts = parts[:n], parts[n:]
			return part, nil
		}
		key, value, n, err := decodeFact(stored, head, next)
		if err != nil || !bytes.Equal(storedKey(key), stored) {
			return
		}
		again, cut := encodeFact(key, value)
		if n == uint32(len(cut)) && !bytes.Equal(again, head) {
			t.Errorf("%q, %d bytes encoded is not %q", key, len(value), head)
		}
	})
}

// TestFactWithoutPart: a large fact of which a part is missing, or another's, is damaged.
func TestFactWithoutPart(t *testing.T) {
	key := []byte("ttopic")
	head, parts := encodeFact(key, make([]byte, 5*partSize/2))
	stored := map[string][]byte{}
	for n, part := range parts {
		stored[string(partKey(key, uint32(n)))] = part
	}
	read := func(key []byte) ([]byte, error) { return stored[string(key)], nil }
	if _, value, n, err := decodeFact(key, head, read); err != nil || len(value) != 5*partSize/2 || n != 3 {
		t.Fatalf("%d bytes in %d parts, %v", len(value), n, err)
	}
	for name, spoil := range map[string]func(){
		"two are exchanged": func() {
			a, b := string(partKey(key, 0)), string(partKey(key, 1))
			stored[a], stored[b] = stored[b], stored[a]
		},
		"one is missing": func() { delete(stored, string(partKey(key, 1))) },
	} {
		spoil()
		if _, _, _, err := decodeFact(key, head, read); !errors.Is(err, errDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
