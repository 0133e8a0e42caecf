package session_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/session"
)

const (
	owner = core.ReceiverID(7)
	rule  = core.ReceiverID(8)
)

func delivery(seq core.Seq, qos core.QoS) core.Delivery {
	return core.Delivery{Seq: seq, QoS: qos, Message: &core.Message{Topic: "t", QoS: qos}}
}

// connected is an Outbound with a first connection.
func connected(id core.ReceiverID, window int) *session.Outbound {
	o := session.NewOutbound(id)
	o.Connect(window, false)
	return o
}

func wantStarted(t *testing.T, got, want session.Started) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Start (-want +got):\n%s", diff)
	}
}

func TestOutboundSteps(t *testing.T) {
	t.Run("QoS 1 ends with PUBACK [MQTT-4.3.2-5]", func(t *testing.T) {
		o := connected(owner, 10)
		wantStarted(t, o.Start(rule, delivery(1, 1)), session.Started{PacketID: 1, QoS: 1})
		got, ok := o.Puback(1)
		if want := (session.Sent{Receiver: rule, Seq: 1, PacketID: 1}); got != want || !ok {
			t.Errorf("Puback = %v %v, want %v", got, ok, want)
		}
		if _, ok := o.Puback(1); ok {
			t.Error("a second PUBACK was taken")
		}
	})
	t.Run("QoS 2 without durable owner", func(t *testing.T) {
		o := connected(0, 10)
		wantStarted(t, o.Start(0, delivery(0, 2)), session.Started{PacketID: 1, QoS: 2})
		wantStep(t, o.Pubrec, 1, session.Release)
		if _, step := o.Pubrec(1, false); step != session.Repeat {
			t.Errorf("repeated PUBREC: %v", step)
		}
		if _, step := o.Pubcomp(1); step != session.Finish {
			t.Errorf("PUBCOMP: %v", step)
		}
		if o.Inflight() != 0 {
			t.Errorf("%d in flight", o.Inflight())
		}
	})
	t.Run("QoS 2 with durable owner waits for its records", func(t *testing.T) {
		o := connected(owner, 10)
		wantStarted(t, o.Start(rule, delivery(1, 2)), session.Started{PacketID: 1, QoS: 2, Save: true})
		wantStep(t, o.Pubrec, 1, session.Unknown) // nothing was sent yet
		o.Saved(1)
		wantStep(t, o.Pubrec, 1, session.Save)
		wantStep(t, o.Pubrec, 1, session.Wait)
		if _, step := o.Pubcomp(1); step != session.Unknown {
			t.Errorf("PUBCOMP before PUBREL: %v", step)
		}
		if !o.Released(1) || o.Released(1) {
			t.Error("Released must ask for PUBREL once")
		}
		sent, step := o.Pubcomp(1)
		if step != session.Finish || !sent.Saved {
			t.Errorf("PUBCOMP: %v %v", sent, step)
		}
	})
	t.Run("a PUBREC with an error ends the message [MQTT-4.3.3-4]", func(t *testing.T) {
		o := connected(0, 10)
		o.Start(rule, delivery(1, 2))
		if sent, step := o.Pubrec(1, true); step != session.Finish || sent.Seq != 1 {
			t.Errorf("Pubrec: %v %v", sent, step)
		}
		if _, step := o.Pubcomp(1); step != session.Unknown {
			t.Errorf("PUBCOMP afterwards: %v", step)
		}
	})
	t.Run("a PUBREC for QoS 1 is unknown", func(t *testing.T) {
		o := connected(0, 10)
		o.Start(rule, delivery(1, 1))
		wantStep(t, o.Pubrec, 1, session.Unknown)
	})
	t.Run("unknown ids", func(t *testing.T) {
		o := session.NewOutbound(owner)
		wantStep(t, o.Pubrec, 0, session.Unknown)
		wantStep(t, o.Pubrec, 9, session.Unknown)
		if _, ok := o.Puback(9); ok {
			t.Error("PUBACK for nothing was taken")
		}
	})
}

func wantStep(t *testing.T, f func(uint16, bool) (session.Sent, session.Step), pid uint16, want session.Step) {
	t.Helper()
	if _, got := f(pid, false); got != want {
		t.Errorf("step %v, want %v", got, want)
	}
}

func TestOutboundReconnect(t *testing.T) {
	t.Run("a resent message keeps its packet id and has DUP [MQTT-4.4.0-1] [MQTT-3.3.1-1]", func(t *testing.T) {
		o := connected(owner, 10)
		o.Start(rule, delivery(1, 1))
		o.Start(rule, delivery(2, 1))
		o.Puback(1)
		o.Connect(10, true)
		wantStarted(t, o.Start(rule, delivery(2, 1)), session.Started{PacketID: 2, QoS: 1, Dup: true, Known: true})
		wantStarted(t, o.Start(rule, delivery(3, 1)), session.Started{PacketID: 3, QoS: 1})
	})
	t.Run("without a session it is a new message", func(t *testing.T) {
		o := connected(owner, 10)
		o.Start(rule, delivery(1, 1))
		if lost := o.Connect(10, false); lost != nil {
			t.Errorf("forgotten %v", lost)
		}
		wantStarted(t, o.Start(rule, delivery(1, 1)), session.Started{PacketID: 2, QoS: 1})
	})
	t.Run("what was never sent has no DUP and is saved again", func(t *testing.T) {
		o := connected(owner, 10)
		o.Start(rule, delivery(1, 2))
		o.Connect(10, true)
		wantStarted(t, o.Start(rule, delivery(1, 2)), session.Started{PacketID: 1, QoS: 2, Save: true, Known: true})
	})
	t.Run("a release that is synced between two connections", func(t *testing.T) {
		o := connected(owner, 10)
		o.Start(rule, delivery(1, 2))
		o.Saved(1)
		o.Pubrec(1, false)
		o.Connect(10, true)
		if got := slices.Collect(o.Releases()); got != nil {
			t.Errorf("PUBREL before its record is synced: %v", got)
		}
		wantStarted(t, o.Start(rule, delivery(1, 2)), session.Started{PacketID: 1, Known: true, Released: true})
		if !o.Released(1) {
			t.Error("PUBREL is due now")
		}
	})
	t.Run("PUBRELs in the order of PUBRECs [MQTT-4.6.0-4]", func(t *testing.T) {
		o := connected(0, 10)
		for seq := range 4 {
			o.Start(rule, delivery(core.Seq(seq+1), 2))
		}
		for _, pid := range []uint16{3, 1, 4} {
			o.Pubrec(pid, false)
		}
		o.Connect(10, true)
		if diff := cmp.Diff([]uint16{3, 1, 4}, slices.Collect(o.Releases())); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("a message that ended while it was on its way from the log", func(t *testing.T) {
		o := connected(0, 10)
		o.Start(rule, delivery(1, 2))
		o.Pubrec(1, false)
		o.Connect(10, true)
		o.Pubcomp(1)
		wantStarted(t, o.Start(rule, delivery(1, 2)), session.Started{Known: true, Released: true})
	})
	t.Run("forgotten packet ids on record", func(t *testing.T) {
		o := connected(owner, 10)
		o.Start(rule, delivery(1, 2))
		o.Start(rule, delivery(2, 1))
		o.Saved(1)
		if diff := cmp.Diff([]uint16{1}, o.Connect(10, false)); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("a message of no log is not resent", func(t *testing.T) {
		o := connected(0, 1)
		o.Start(0, delivery(0, 1))
		o.Connect(1, true)
		if o.Inflight() != 0 || o.Room() != 1 {
			t.Errorf("in flight %d, room %d", o.Inflight(), o.Room())
		}
	})
}

func TestOutboundRestore(t *testing.T) {
	o := session.NewOutbound(owner)
	o.Restore(core.Outgoing{Owner: owner, PacketID: 300, Receiver: rule, Seq: 5})
	o.Restore(core.Outgoing{Owner: owner, PacketID: 44, Receiver: rule, Seq: 4, Released: true}) // 44 = 300 mod 256
	o.Restore(core.Outgoing{Owner: owner, PacketID: 2, Receiver: rule, Seq: 3, Released: true})
	o.Connect(10, true)
	if diff := cmp.Diff([]uint16{2, 44}, slices.Collect(o.Releases())); diff != "" {
		t.Error(diff)
	}
	wantStarted(t, o.Start(rule, delivery(5, 2)), session.Started{PacketID: 300, QoS: 2, Dup: true, Known: true})
	wantStarted(t, o.Start(rule, delivery(6, 1)), session.Started{PacketID: 301, QoS: 1})
	if o.Inflight() != 4 || o.Room() != 6 {
		t.Errorf("in flight %d, room %d", o.Inflight(), o.Room())
	}
}

func TestOutboundWindow(t *testing.T) {
	t.Run("Receive Maximum [MQTT-3.3.4-9]", func(t *testing.T) {
		o := connected(owner, 2)
		o.Start(rule, delivery(1, 1))
		o.Start(rule, delivery(2, 1))
		if o.Room() != 0 {
			t.Errorf("room %d", o.Room())
		}
		o.Puback(2)
		if o.Room() != 1 {
			t.Errorf("room %d", o.Room())
		}
	})
	t.Run("a smaller window on the next connection", func(t *testing.T) {
		o := connected(owner, 8)
		for i := range 8 {
			o.Start(rule, delivery(core.Seq(i+1), 1))
		}
		o.Connect(2, true)
		if o.Room() != 2 {
			t.Errorf("room %d", o.Room())
		}
		o.Start(rule, delivery(1, 1))
		o.Start(rule, delivery(2, 1))
		if o.Room() != 0 {
			t.Errorf("room %d", o.Room())
		}
	})
	t.Run("granted another QoS meanwhile [MQTT-4.4.0-1]", func(t *testing.T) {
		o := connected(owner, 10)
		o.Start(rule, delivery(1, 2))
		o.Saved(1)
		o.Start(rule, delivery(2, 1))
		o.Connect(10, true)
		for seq, want := range map[core.Seq]bool{1: true, 2: false, 3: false} {
			if got := o.Committed(rule, seq); got != want {
				t.Errorf("message %d committed: %t", seq, got)
			}
		}
		wantStarted(t, o.Start(rule, delivery(1, 1)), session.Started{PacketID: 1, QoS: 2, Dup: true, Known: true})
		wantStarted(t, o.Start(rule, delivery(2, 2)), session.Started{PacketID: 2, QoS: 1, Dup: true, Known: true})
	})
	t.Run("messages that are gone from the log", func(t *testing.T) {
		o := connected(owner, 2)
		o.Start(rule, delivery(1, 1))
		o.Start(rule, delivery(2, 2))
		o.Saved(2)
		o.Connect(2, true)
		wantStarted(t, o.Start(rule, delivery(3, 1)), session.Started{PacketID: 3, QoS: 1})
		if o.Room() != 1 || o.Inflight() != 2 {
			t.Errorf("room %d, in flight %d", o.Room(), o.Inflight())
		}
		// The packet id of QoS 2 may be held by the peer: it is released next time.
		o.Connect(2, true)
		if diff := cmp.Diff([]uint16{2}, slices.Collect(o.Releases())); diff != "" {
			t.Error(diff)
		}
		if sent, step := o.Pubcomp(2); step != session.Finish || !sent.Saved {
			t.Errorf("PUBCOMP: %v %v", sent, step)
		}
	})
}

func TestOutboundHead(t *testing.T) {
	o := connected(0, 10)
	if _, ok := o.Head(); ok {
		t.Error("a head of nothing")
	}
	o.Start(rule, delivery(1, 2))
	o.Start(rule, delivery(2, 1))
	o.Start(rule, delivery(3, 1))
	o.Pubrec(1, false)
	o.Puback(2)
	if head, ok := o.Head(); !ok || head.Seq != 3 {
		t.Errorf("head %v %v", head, ok)
	}
	o.Connect(10, true)
	if head, ok := o.Head(); ok {
		t.Errorf("head %v was not sent on this connection", head)
	}
	o.Resize(3) // the PUBREL counts
	if o.Room() != 2 || o.Active() != 1 {
		t.Errorf("room %d, active %d", o.Room(), o.Active())
	}
}

func TestOutboundUnused(t *testing.T) {
	o := connected(0, 10)
	if pid := o.Unused(); pid != 1 || o.Inflight() != 0 {
		t.Errorf("packet id %d, in flight %d", pid, o.Inflight())
	}
	if pid := o.Start(rule, delivery(1, 1)).PacketID; pid != 2 {
		t.Errorf("packet id %d", pid)
	}
}

// All packet ids are used, and none twice, while one of them stays in flight.
func TestOutboundIDsGoRound(t *testing.T) {
	o := connected(0, 20)
	stuck := o.Start(rule, delivery(1, 1)).PacketID
	seen := make([]int, 1<<16)
	for i := range 2 * (1<<16 - 1) {
		pid := o.Start(rule, delivery(core.Seq(i+2), 1)).PacketID
		seen[pid]++
		if pid == stuck || pid == 0 {
			t.Fatalf("packet id %d given", pid)
		}
		o.Puback(pid)
	}
	if n := slices.Max(seen); n > 20 {
		t.Errorf("a packet id was used %d times in two rounds", n)
	}
}

func TestOutboundFullWindow(t *testing.T) {
	o := connected(0, 1<<16-1)
	for i := range 1<<16 - 1 {
		if o.Room() == 0 {
			t.Fatalf("no room after %d", i)
		}
		o.Start(rule, delivery(core.Seq(i+1), 1))
	}
	if o.Room() != 0 {
		t.Errorf("room %d with all packet ids in use", o.Room())
	}
	for pid := 1; pid <= 1<<16-1; pid++ {
		if sent, ok := o.Puback(uint16(pid)); !ok || sent.Seq != core.Seq(pid) {
			t.Fatalf("packet id %d: %v %v", pid, sent, ok)
		}
	}
}

func TestQoS1DoesNotAllocate(t *testing.T) {
	o := connected(owner, 100)
	d := delivery(1, 1)
	step := func() {
		for range 50 {
			d.Seq++
			o.Start(rule, d)
		}
		for pid := d.Seq - 49; pid <= d.Seq; pid++ {
			if _, ok := o.Puback(uint16(pid - 1)); !ok {
				t.Fatal("unknown packet id")
			}
		}
	}
	step()
	if n := testing.AllocsPerRun(100, step); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkOutboundQoS1(b *testing.B) {
	o := connected(owner, 100)
	d := delivery(1, 1)
	b.ReportAllocs()
	for b.Loop() {
		d.Seq++
		o.Puback(o.Start(rule, d).PacketID)
	}
}
