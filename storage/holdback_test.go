package storage_test

import (
	"testing"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/storage"
	"github.com/weir-edge/weir/storage/storagetest"
)

// TestHoldBack: a receiver that has paid a window on disk gets nothing more from
// memory until that is written. Who appends is told, the message is fetched once,
// and from then on the receiver is live again.
func TestHoldBack(t *testing.T) {
	const window = 8
	o := storagetest.NewOwner(t, open(t, storage.Config{Dir: scratch(t), MaxInflight: window}))
	const away core.ReceiverID = 9
	clock := core.NewClock()
	give := func(i int, hold time.Duration) (core.Seq, bool) {
		debts := []core.Debt{{Receiver: uplink, Live: true}, {Receiver: away}}
		seq := o.Append(telemetry(i, clock), hold, debts...)
		return seq, debts[0].Live
	}
	var seqs []core.Seq
	for i := range window {
		seq, live := give(i, 0)
		if !live {
			t.Fatalf("message %d is not live", i)
		}
		seqs = append(seqs, seq)
	}
	o.UntilSettled(seqs...) // on disk, because of the one who is away
	for _, seq := range seqs {
		o.Store.Paid(uplink, seq)
	}
	held, live := give(window, 0)
	if live {
		t.Fatal("nobody says that the receiver is held back")
	}
	next := o.FetchAll(uplink, 100)
	if len(next) != 1 || next[0].Seq != held || next[0].Again {
		t.Fatalf("fetched %v", next)
	}
	o.Store.Paid(uplink, held)
	if _, live := give(window+1, 0); !live {
		t.Error("the receiver has caught up and is not live again")
	}
}
