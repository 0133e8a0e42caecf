package session_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/session"
)

func wantVerdict(t *testing.T, in *session.Inbound, pid uint16, qos core.QoS, want session.Verdict) {
	t.Helper()
	if got := in.Publish(pid, qos); got != want {
		t.Errorf("Publish(%d, QoS %d) = %v, want %v", pid, qos, got, want)
	}
}

func TestInbound(t *testing.T) {
	t.Run("a held packet id is a repetition until PUBREL [MQTT-4.3.3-10] [MQTT-4.3.3-12]", func(t *testing.T) {
		in := session.NewInbound()
		wantVerdict(t, in, 5, 2, session.Fresh)
		wantVerdict(t, in, 5, 2, session.Repeated)
		if !in.Pubrel(5) || in.Pubrel(5) {
			t.Error("PUBREL must be known once")
		}
		wantVerdict(t, in, 5, 2, session.Fresh)
	})
	t.Run("QoS 1 is never a repetition [MQTT-4.3.2-5]", func(t *testing.T) {
		in := session.NewInbound()
		wantVerdict(t, in, 5, 1, session.Fresh)
		wantVerdict(t, in, 5, 1, session.Fresh)
	})
	t.Run("a PUBREC with an error ends it", func(t *testing.T) {
		in := session.NewInbound()
		in.Publish(5, 2)
		in.Acked(packet.PUBREC, 5)
		wantVerdict(t, in, 5, 2, session.Fresh)
	})
	t.Run("Receive Maximum [MQTT-3.3.4-7]", func(t *testing.T) {
		in := session.NewInbound()
		in.Connect(2, false)
		wantVerdict(t, in, 1, 1, session.Fresh)
		wantVerdict(t, in, 2, 2, session.Fresh)
		wantVerdict(t, in, 3, 1, session.TooMany)
		in.Acked(packet.PUBACK, 1)
		wantVerdict(t, in, 3, 1, session.Fresh)
		in.Pubrel(2)
		wantVerdict(t, in, 4, 1, session.Fresh)
		wantVerdict(t, in, 5, 2, session.TooMany)
	})
	t.Run("a new connection has the whole window again", func(t *testing.T) {
		in := session.NewInbound()
		in.Connect(1, false)
		wantVerdict(t, in, 1, 2, session.Fresh)
		in.Connect(1, true)
		wantVerdict(t, in, 2, 1, session.Fresh)
		in.Acked(packet.PUBACK, 2)
		wantVerdict(t, in, 1, 2, session.Repeated)
		wantVerdict(t, in, 2, 1, session.TooMany)
	})
	t.Run("without a session nothing is held", func(t *testing.T) {
		in := session.NewInbound()
		in.Restore(1)
		in.Restore(2)
		forgotten := in.Connect(0, false)
		slices.Sort(forgotten)
		if diff := cmp.Diff([]uint16{1, 2}, forgotten); diff != "" {
			t.Error(diff)
		}
		if in.Len() != 0 || in.Holds(1) {
			t.Error("something is held")
		}
	})
	t.Run("restored", func(t *testing.T) {
		in := session.NewInbound()
		in.Restore(9)
		in.Connect(1, true)
		if !in.Holds(9) || in.Len() != 1 {
			t.Error("not held")
		}
		wantVerdict(t, in, 9, 2, session.Repeated)
	})
}

// Against a plain set, with a peer that may do anything.
func TestInboundProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := session.NewInbound()
		held := map[uint16]bool{}
		pid := rapid.Uint16Range(1, 4)
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if in.Len() != len(held) {
					t.Fatalf("%d held, want %v", in.Len(), slices.Collect(maps.Keys(held)))
				}
			},
			"publish": func(t *rapid.T) {
				p := pid.Draw(t, "pid")
				want := session.Fresh
				if held[p] {
					want = session.Repeated
				}
				if got := in.Publish(p, 2); got != want {
					t.Fatalf("verdict %v, want %v", got, want)
				}
				held[p] = true
			},
			"pubrel": func(t *rapid.T) {
				p := pid.Draw(t, "pid")
				if got := in.Pubrel(p); got != held[p] {
					t.Fatalf("known %v", got)
				}
				delete(held, p)
			},
			"refuse": func(t *rapid.T) {
				p := pid.Draw(t, "pid")
				in.Acked(packet.PUBREC, p)
				delete(held, p)
			},
			"reconnect": func(*rapid.T) { in.Connect(0, true) },
		})
	})
}

func ackIDs(a *session.Acks) (ids []uint16) {
	for out, ok := a.Next(); ok; out, ok = a.Next() {
		ids = append(ids, out.PacketID)
	}
	return ids
}

func TestAcks(t *testing.T) {
	t.Run("in the order of the PUBLISHes [MQTT-4.6.0-2] [MQTT-4.6.0-3]", func(t *testing.T) {
		var a session.Acks
		a.Push(packet.PUBACK, 1, 0, session.Promise{Seq: 10})
		a.Push(packet.PUBREC, 2, 0, session.Promise{Ticket: 3})
		a.Push(packet.PUBACK, 3, packet.NoMatchingSubscribers, session.Promise{})
		a.Push(packet.PUBACK, 4, 0, session.Promise{Seq: 12})
		a.Settled(12)
		if got := ackIDs(&a); got != nil {
			t.Errorf("left before the first: %v", got)
		}
		a.Settled(10)
		if diff := cmp.Diff([]uint16{1}, ackIDs(&a)); diff != "" {
			t.Error(diff)
		}
		a.Synced(3)
		if diff := cmp.Diff([]uint16{2, 3, 4}, ackIDs(&a)); diff != "" {
			t.Error(diff)
		}
		if a.Len() != 0 {
			t.Errorf("%d left", a.Len())
		}
	})
	t.Run("both promises", func(t *testing.T) {
		var a session.Acks
		a.Push(packet.PUBREC, 1, 0, session.Promise{Seq: 1, Ticket: 5})
		a.Synced(9)
		if _, ok := a.Next(); ok {
			t.Error("left before it was settled")
		}
		a.Settled(1)
		if _, ok := a.Next(); !ok {
			t.Error("not left")
		}
	})
	t.Run("refused", func(t *testing.T) {
		var a session.Acks
		a.Push(packet.PUBREC, 1, 0, session.Promise{Seq: 1, Ticket: 5})
		a.Refused(1, packet.QuotaExceeded)
		got, ok := a.Next()
		want := packet.Ack{Kind: packet.PUBREC, PacketID: 1, Reason: packet.QuotaExceeded}
		if diff := cmp.Diff(want, got); diff != "" || !ok {
			t.Error(diff)
		}
	})
	t.Run("notices that concern nobody here", func(t *testing.T) {
		var a session.Acks
		a.Settled(4)
		a.Push(packet.PUBACK, 1, 0, session.Promise{Seq: 5})
		a.Push(packet.PUBACK, 2, 0, session.Promise{})
		a.Settled(4)
		a.Settled(6)
		if got := ackIDs(&a); got != nil {
			t.Errorf("left: %v", got)
		}
		a.Settled(5)
		if diff := cmp.Diff([]uint16{1, 2}, ackIDs(&a)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestGate(t *testing.T) {
	var g session.Gate[string]
	g.Push(2, "a")
	g.Push(0, "b")
	g.Push(3, "c")
	if _, ok := g.Pop(); ok {
		t.Error("left too early")
	}
	g.Synced(2)
	g.Synced(1) // does not go back
	var got []string
	for s, ok := g.Pop(); ok; s, ok = g.Pop() {
		got = append(got, s)
	}
	if diff := cmp.Diff([]string{"a", "b"}, got); diff != "" || g.Len() != 1 {
		t.Error(diff, g.Len())
	}
	g.Clear()
	if g.Len() != 0 {
		t.Error("not cleared")
	}
}

// The queue below Gate and Acks, against a slice, through growth and bursts.
func TestGateProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var g session.Gate[int]
		var want []int
		next := 0
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				for range rapid.IntRange(1, 200).Draw(t, "n") {
					g.Push(0, next)
					want = append(want, next)
					next++
				}
			},
			"pop": func(t *rapid.T) {
				for range min(len(want), rapid.IntRange(1, 300).Draw(t, "n")) {
					if v, ok := g.Pop(); !ok || v != want[0] {
						t.Fatalf("Pop = %d %v, want %d", v, ok, want[0])
					}
					want = want[1:]
				}
				if g.Len() != len(want) {
					t.Fatalf("%d left, want %d", g.Len(), len(want))
				}
			},
		})
	})
}

func TestReceivingQoS1DoesNotAllocate(t *testing.T) {
	in := session.NewInbound()
	var a session.Acks
	seq, pid := core.Seq(0), uint16(0)
	step := func() {
		for range 50 {
			seq++
			pid++
			in.Publish(pid, 1)
			a.Push(packet.PUBACK, pid, 0, session.Promise{Seq: seq})
		}
		for s := seq - 49; s <= seq; s++ {
			a.Settled(s)
			ack, ok := a.Next()
			if !ok {
				t.Fatal("no acknowledgement")
			}
			in.Acked(ack.Kind, ack.PacketID)
		}
	}
	step()
	if n := testing.AllocsPerRun(100, step); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
