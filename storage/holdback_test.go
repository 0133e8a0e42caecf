package storage_test

import (
	"slices"
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

// TestRepeatsAfterKill: how much a kill makes come again although it was paid; and
// everything that had been handed out is marked.
func TestRepeatsAfterKill(t *testing.T) {
	const usual, messages = 10, 1500
	for _, c := range []struct {
		name     string
		inflight int // 0: not told
		rule     bool
		window   int // under way
		repeats  int // held back for
	}{
		{"session", 0, false, usual, usual},
		{"uplink, not told", 0, true, usual, usual},
		{"uplink with a smaller window", 3, true, 3, usual},
		{"uplink with a larger one", 200, true, 200, 50},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, clone := storage.Crashable(storage.Config{Dir: scratch(t), MaxInflight: usual})
			o := storagetest.NewOwner(t, open(t, cfg))
			if c.rule {
				o.Store.Record(core.RuleSaved{Name: "uplink", Receiver: uplink}, false)
			} else {
				o.Store.Record(core.SessionSaved{Session: core.Session{ClientID: "a", Receiver: uplink}}, false)
			}
			if c.inflight > 0 {
				o.Store.SetInflight(uplink, c.inflight)
			}
			var seqs []core.Seq
			clock := core.NewClock()
			for i := range messages {
				seqs = append(seqs, o.Append(telemetry(i, clock), 0, core.Debt{Receiver: uplink}))
			}
			o.UntilSettled(seqs...)
			repeated, paid, handed := 0, 0, 0
			for cut := 1; cut < 8; cut++ {
				for handed < cut*messages/8 { // as a link does: a window under way
					next, _ := o.Fetch(uplink, c.window)
					handed += len(next)
					for ; paid < handed-c.window/2; paid++ {
						o.Store.Paid(uplink, seqs[paid])
						o.Store.Turn(time.Now())
					}
				}
				dir := scratch(t)
				clone(t, dir)
				again := storagetest.NewOwner(t, open(t, storage.Config{Dir: dir, MaxInflight: usual}))
				for _, d := range again.FetchAll(uplink, messages) {
					i, _ := slices.BinarySearch(seqs, d.Seq)
					if i < paid {
						repeated = max(repeated, paid-i)
					}
					if i < handed && !d.Again {
						t.Errorf("message %d was handed out (up to %d) and is not marked", i, handed)
						return
					}
				}
				again.Close()
			}
			if repeated > c.repeats+c.window {
				t.Errorf("%d came again although they were paid, want at most %d and what was under way, %d", repeated, c.repeats, c.window)
			}
			if c.repeats > usual && repeated < 2*usual {
				t.Errorf("positions are written as often as if the window were %d", usual)
			}
		})
	}
}
