package storage_test

import (
	"testing"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/storage"
	"github.com/weir-edge/weir/storage/storagetest"
)

// TestClockBecomesKnown: what a machine without a clock has received in 1970 goes
// out with its right time once the clock is known, whether it comes from the disk
// or from memory; it has not become too old by the step, and order is as it was.
func TestClockBecomesKnown(t *testing.T) {
	clock := core.NewClock()
	o := storagetest.NewOwner(t, open(t, storage.Config{Dir: scratch(t), Clock: clock}))
	o.Store.Record(core.RuleSaved{Name: "uplink", Receiver: uplink}, false)
	const years = 30 * 365 * 24 * time.Hour // less than the step, more than any boot lasts
	o.Store.SetPolicy(uplink, core.Policy{MaxAge: years})
	at := func(wall int64, synced bool) core.Stamp {
		s := clock.Now()
		s.Wall, s.Synced = wall, synced
		return s
	}
	long := time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano() // beyond 32 bits
	elsewhere := at(5e9, false)
	elsewhere.Boot++
	stamps := []core.Stamp{at(3e9, false), at(2e9, false), elsewhere, at(long, true), at(1e9, false)}
	begun := time.Now()
	var kept []core.Seq
	for i, s := range stamps {
		m := telemetry(i, clock)
		m.Received, m.Expiry = s, years
		hold := time.Duration(0)
		if i == len(stamps)-1 { // in memory
			hold = time.Minute
		}
		kept = append(kept, o.Append(m, hold, core.Debt{Receiver: uplink, Live: i == len(stamps)-1}))
	}
	o.UntilSettled(kept[:len(kept)-1]...)
	clock.SetSynced(true)
	o.Store.Rewind(uplink)
	left := o.Drain(uplink, 64)
	if len(left) != len(stamps) {
		t.Fatalf("%d of %d messages, dropped %v", len(left), len(stamps), o.Dropped)
	}
	for i, d := range left {
		got := d.Message.Received
		switch {
		case d.Seq != kept[i]:
			t.Errorf("message %d is %d", kept[i], d.Seq)
		case stamps[i].Boot != clock.Now().Boot, stamps[i].Synced:
			if got != stamps[i] {
				t.Errorf("message %d: %+v was changed to %+v", i, stamps[i], got)
			}
		case !got.Synced || got.Time().Before(begun.Add(-time.Second)) || got.Time().After(time.Now()):
			t.Errorf("message %d: %v, synced %v", i, got.Time(), got.Synced)
		}
	}
}
