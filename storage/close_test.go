package storage_test

import (
	"testing"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/storage"
	"github.com/weir-edge/weir/storage/storagetest"
)

// TestPaidAtTheEnd: the last of what is owed is paid, and the store is closed before the
// segment is removed that nobody needs any more. Nothing of it is owed again.
func TestPaidAtTheEnd(t *testing.T) {
	cfg := storage.Config{Dir: scratch(t)}
	o := storagetest.NewOwner(t, open(t, cfg))
	o.Store.Record(core.RuleSaved{Name: "uplink", Receiver: uplink}, false)
	var seqs []core.Seq
	for i := range 40 { // more than an idle segment may hold, and one segment
		seqs = append(seqs, o.Append(noise(i), 0, core.Debt{Receiver: uplink}))
	}
	o.UntilSettled(seqs...)
	for _, d := range o.FetchAll(uplink, 100) {
		o.Store.Paid(uplink, d.Seq)
	}
	if n := o.Store.Owed(uplink); n != 0 {
		t.Fatalf("%d messages are owed", n)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	o = storagetest.NewOwner(t, open(t, cfg))
	if n := o.Store.Owed(uplink); n != 0 {
		t.Errorf("%d messages are owed again", n)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
}
