package storage_test

import (
	"errors"
	"testing"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/storage"
	"github.com/weir-edge/weir/storage/storagetest"
)

// Receivers of the budget's tests.
const (
	bulk  core.ReceiverID = 31 // of low priority
	alarm core.ReceiverID = 32 // of high priority
)

const budget = 1 << 20

// openBudget opens a store of a megabyte, in segments of an eighth of it.
func openBudget(t *testing.T) *storagetest.Owner {
	t.Helper()
	cfg := storage.SmallSegments(storage.Config{Dir: scratch(t), Budget: budget}, budget/8)
	o := storagetest.NewOwner(t, open(t, cfg))
	for _, r := range []core.ReceiverID{bulk, alarm} {
		o.Store.Record(core.RuleSaved{Name: map[core.ReceiverID]string{bulk: "bulk", alarm: "alarm"}[r], Receiver: r}, false)
	}
	return o
}

// noise is a message that takes its room.
func noise(i int) *core.Message {
	m := &core.Message{Topic: "noise", Payload: make([]byte, 50_000), QoS: 1, Received: core.NewClock().Now()}
	x := uint64(i) + 1
	for k := range m.Payload {
		x = x*6364136223846793005 + 1442695040888963407
		m.Payload[k] = byte(x >> 56)
	}
	return m
}

// offer appends a message that takes its room, and says whether it was taken.
func offer(t *testing.T, o *storagetest.Owner, i int, debts ...core.Debt) bool {
	t.Helper()
	seq, settled, err := o.Store.Append(noise(i), debts, 0)
	if err != nil {
		if !errors.Is(err, core.ErrFull) {
			t.Fatal(err)
		}
		o.Turn()
		return false
	}
	o.Until("the message to be settled", func() bool { return settled || o.Settled[seq] })
	return true
}

func TestBudgetDropsOldest(t *testing.T) {
	o := openBudget(t)
	const n = 100 // five megabytes
	for i := range n {
		if !offer(t, o, i, core.Debt{Receiver: bulk}) {
			t.Fatalf("message %d is refused", i)
		}
	}
	st := o.Store.Status()
	if st.Bytes > budget+budget/4 {
		t.Errorf("%d bytes, budget %d", st.Bytes, budget)
	}
	owed := o.Store.Owed(bulk)
	if owed == n || owed < 5 {
		t.Errorf("%d of %d owed", owed, n)
	}
	if dropped := o.Dropped[core.DroppedStoreFull]; uint64(dropped) != n-owed {
		t.Errorf("%d dropped, %d owed, of %d", dropped, owed, n)
	}
	left := o.Drain(bulk, 10)
	if uint64(len(left)) != owed || string(left[len(left)-1].Message.Payload) != string(noise(n-1).Payload) {
		t.Errorf("%d messages left, %d owed", len(left), owed)
	}
}

func TestBudgetLowestPriorityFirst(t *testing.T) {
	o := openBudget(t)
	o.Store.SetPolicy(bulk, core.Policy{Priority: 1})
	o.Store.SetPolicy(alarm, core.Policy{Priority: 9})
	alarms := 0
	for i := range 60 {
		r := bulk
		if i%20 == 0 {
			r = alarm
			alarms++
		}
		if !offer(t, o, i, core.Debt{Receiver: r}) {
			t.Fatalf("message %d is refused", i)
		}
	}
	if got := o.Store.Owed(alarm); got != uint64(alarms) {
		t.Errorf("%d of %d alarms owed", got, alarms)
	}
	if o.Dropped[core.DroppedStoreFull] == 0 {
		t.Error("nothing was dropped")
	}
	if left := o.Drain(alarm, 10); len(left) != alarms {
		t.Errorf("%d of %d alarms left", len(left), alarms)
	}
}

func TestBudgetRefuses(t *testing.T) {
	o := openBudget(t)
	o.Store.SetPolicy(alarm, core.Policy{OnFull: core.Refuse})
	taken := 0
	for offer(t, o, taken, core.Debt{Receiver: alarm}) {
		if taken++; taken > 100 {
			t.Fatal("never full")
		}
	}
	if st := o.Store.Status(); st.State != "full" {
		t.Errorf("state %q", st.State)
	}
	seq := o.Append(noise(0), time.Hour, core.Debt{Receiver: alarm, Live: true})
	if offer(t, o, 1, core.Debt{Receiver: bulk}) {
		t.Error("another receiver's message is taken although nobody gives way")
	}
	o.Paid(alarm, seq)
	if left := o.Drain(alarm, 10); len(left) != taken {
		t.Errorf("%d of %d messages left", len(left), taken)
	}
	o.Until("room", func() bool { return offer(t, o, 2, core.Debt{Receiver: alarm}) })
}

func TestBudgetDropsNewest(t *testing.T) {
	o := openBudget(t)
	o.Store.SetPolicy(bulk, core.Policy{OnFull: core.DropNewest})
	for i := range 60 {
		if !offer(t, o, i, core.Debt{Receiver: bulk}) {
			t.Fatalf("message %d is refused", i)
		}
	}
	o.Turn()
	left := o.Drain(bulk, 10)
	if len(left)+o.Dropped[core.DroppedStoreFull] != 60 || o.Dropped[core.DroppedStoreFull] == 0 {
		t.Errorf("%d left, %d dropped", len(left), o.Dropped[core.DroppedStoreFull])
	}
	for i, d := range left {
		if string(d.Message.Payload) != string(noise(i).Payload) {
			t.Fatalf("message %d is not the oldest", i)
		}
	}
}

// TestRoomComesBack: what is paid is removed, the active segment included.
func TestRoomComesBack(t *testing.T) {
	o := openBudget(t)
	for i := range 15 {
		offer(t, o, i, core.Debt{Receiver: bulk})
	}
	o.Drain(bulk, 10)
	o.Until("the segments to go", func() bool { return o.Store.Status().Segments == 0 })
	o = o.Reopened(t)
	if st := o.Store.Status(); st.Bytes > 0 || st.Segments > 0 {
		t.Errorf("%d bytes in %d segments", st.Bytes, st.Segments)
	}
}
