package storage_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/storage"
	"github.com/weir-edge/weir/storage/storagetest"
)

// TestManyRetained: the copies of the state are not made anew at each checkpoint
// when there is much in them.
func TestManyRetained(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	const topics = 100_000
	var anew atomic.Int32
	cfg := storage.AtStep(storage.Config{Dir: scratch(t)}, func(name string) {
		if name == "meta: begun anew" {
			anew.Add(1)
		}
	})
	o := storagetest.NewOwner(t, open(t, cfg))
	start := time.Now()
	payload := []byte(strings.Repeat("x", 150))
	for i := range topics {
		m := &core.Message{Topic: fmt.Sprintf("plant/area-%d/meter-%d/voltage", i%100, i), Payload: payload, QoS: 1, Retain: true}
		ticket := o.Store.Record(core.RetainedSaved{Message: m}, false)
		if i%100 == 99 {
			o.Until("a hundred to be synced", func() bool { return o.Synced >= ticket })
		}
	}
	t.Logf("%d retained messages in %v, the copies made anew %d times", topics, time.Since(start), anew.Load())
	if n := anew.Load(); n > 8 {
		t.Errorf("made anew %d times", n)
	}
	o = o.Reopened(t)
	loaded := 0
	if err := o.Store.Load(func(core.Change) { loaded++ }); err != nil || loaded != topics {
		t.Errorf("%d loaded, %v", loaded, err)
	}
}

// TestLargeRetained: retained messages of all sizes that a client may send are in the
// state, are replaced by larger and smaller ones, and go.
func TestLargeRetained(t *testing.T) {
	o := storagetest.NewOwner(t, open(t, storage.Config{Dir: scratch(t), MaxTail: 1 << 30}))
	want := make(map[string]*core.Message)
	record := func(topic string, size int) {
		m := &core.Message{Topic: topic, Payload: make([]byte, size), QoS: 1, Retain: true}
		for i := range m.Payload {
			m.Payload[i] = byte(i*i>>9) ^ byte(i>>3) ^ byte(size)
		}
		want[topic] = m
		o.Store.Record(core.RetainedSaved{Message: m}, false)
	}
	compare := func(when string) {
		t.Helper()
		ticket := o.Store.Record(core.IncomingReleased{Owner: 2, PacketID: 1}, false)
		o.Until("changes to be synced", func() bool { return o.Synced >= ticket })
		o = o.Reopened(t)
		loaded := 0
		err := o.Store.Load(func(c core.Change) {
			m := c.(core.RetainedSaved).Message
			if loaded++; want[m.Topic] == nil || !bytes.Equal(m.Payload, want[m.Topic].Payload) {
				t.Errorf("%s, %s: %d bytes", when, m.Topic[:min(20, len(m.Topic))], len(m.Payload))
			}
		})
		if st := o.Store.Status(); err != nil || loaded != len(want) || st.State != "ok" || st.Quarantined > 0 {
			t.Fatalf("%s: %d loaded of %d, %v, %+v", when, loaded, len(want), err, st)
		}
	}
	long := strings.Repeat("long/", 12_000)
	sizes := []int{0, 60_000, 64 << 10, 99_900, 100_000, 131_072, 700_000, 8<<20 + 1}
	for i, size := range sizes {
		record(fmt.Sprint("size/", i), size)
		record(long[:100*(i+1)*(i+1)*7%60_000], min(size, 200_000))
	}
	compare("made")
	for i := range sizes {
		record(fmt.Sprint("size/", i), sizes[len(sizes)-1-i]/2)
	}
	compare("replaced")
	for i := range sizes[:5] {
		topic := fmt.Sprint("size/", i)
		delete(want, topic)
		o.Store.Record(core.RetainedDropped{Topic: topic}, false)
	}
	compare("cleared")
	compare("opened again")
}
