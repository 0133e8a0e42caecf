package storage_test

import (
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/storage"
	"github.com/weir-edge/weir/storage/storagetest"
)

// TestForgottenPacketID: a message of QoS 2 is paid and its packet id forgotten, and
// that was the last that anybody was owed, so that its segment is removed; the active
// one is sealed before. Whatever moment of that is the last: where the message is owed,
// the packet id under which it was sent is there, or it would be sent as a new one.
func TestForgottenPacketID(t *testing.T) {
	for _, c := range []struct {
		name    string
		segment int64
	}{
		{"of a sealed segment", 64 << 10},
		{"of the active one", 4 << 20},
	} {
		t.Run(c.name, func(t *testing.T) { testForgottenPacketID(t, c.segment) })
	}
}

func testForgottenPacketID(t *testing.T, segment int64) {
	const pid = 7
	dir := scratch(t)
	var clones, names []string // the committer's, until it has ended
	var watching atomic.Bool
	cfg := storage.AtStep(storage.Config{Dir: dir}, func(name string) {
		if watching.Load() {
			to := scratch(t)
			storage.CloneStore(t, dir, to)
			clones, names = append(clones, to), append(names, name)
		}
	})
	o := storagetest.NewOwner(t, open(t, storage.SmallSegments(cfg, segment)))
	o.Store.Record(core.RuleSaved{Name: "uplink", Receiver: uplink}, false)
	var seqs []core.Seq
	for i := range 25 {
		seqs = append(seqs, o.Append(noise(i), 0, core.Debt{Receiver: uplink}))
	}
	o.UntilSettled(seqs...)
	last := seqs[len(seqs)-1]
	saved := core.Outgoing{Owner: uplink, PacketID: pid, Receiver: uplink, Seq: last, Released: true}
	ticket := o.Store.Record(core.OutgoingSaved{Outgoing: saved}, false)
	o.Until("the packet id to be on record", func() bool { return o.Synced >= ticket })
	watching.Store(true)
	for _, d := range o.FetchAll(uplink, len(seqs)) {
		o.Paid(uplink, d.Seq)
	}
	ticket = o.Store.Record(core.OutgoingDone{Owner: uplink, PacketID: pid}, false)
	o.Until("the packet id to be forgotten", func() bool { return o.Synced >= ticket })
	o.Until("the segment to be removed", func() bool { return o.Store.Status().Segments < 2 })
	o.Close()
	for i, clone := range clones {
		t.Run(strconv.Itoa(i)+" "+names[i], func(t *testing.T) { checkPacketID(t, clone, last) })
	}
}

// checkPacketID opens what a kill would have left.
func checkPacketID(t *testing.T, dir string, last core.Seq) {
	o := storagetest.NewOwner(t, open(t, storage.Config{Dir: dir}))
	known := false
	if err := o.Store.Load(func(c core.Change) {
		_, saved := c.(core.OutgoingSaved)
		known = known || saved
	}); err != nil {
		t.Fatal(err)
	}
	owed := false
	for _, d := range o.FetchAll(uplink, 1000) {
		owed = owed || d.Seq == last
	}
	if owed && !known {
		t.Error("the message is owed, and nobody knows under which packet id it was sent")
	}
	o.Close()
}
