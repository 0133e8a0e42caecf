package broker_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

// outrun begins what is in each of these tests: a session that is away, a store with
// room for three messages whose disk stands still, and a publisher of twelve, who sends
// nothing else while it waits.
func outrun(t *testing.T, s *brokertest.Server, v packet.Version, qos func(i int) byte) *brokertest.Client {
	t.Helper()
	away := join(s, lasting(v, "away"))
	away.Subscribe("t", 2)
	away.Close()
	synctest.Wait()
	s.Store.Hold(true)
	s.Store.SetTail(3)
	hello := connect(v)
	hello.ClientID, hello.Keepalive = []byte("fast"), 10
	fast := join(s, hello)
	var all []byte
	for i := range 12 {
		m := &packet.Publish{Topic: []byte("t"), Payload: fmt.Append(nil, i), QoS: qos(i), PacketID: uint16(1 + i)}
		all = m.AppendTo(all, v)
	}
	fast.Write(all...)
	synctest.Wait()
	return fast
}

// commits lets the disk write until it has nothing to do.
func commits(s *brokertest.Server) {
	for range 12 {
		s.Store.Commit()
		synctest.Wait()
	}
}

// TestFasterThanTheDisk: a publisher is held back, however long the disk takes, and
// everything that it sends is taken in the end, once and in order.
func TestFasterThanTheDisk(t *testing.T) {
	for name, qos := range map[string]func(i int) byte{
		"QoS 1": func(int) byte { return 1 },
		"QoS 2": func(int) byte { return 2 },
		"mixed": func(i int) byte { return byte(1 + i%2) },
	} {
		onBoth(t, name, broker.Config{}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
			fast := outrun(t, s, v, qos)
			time.Sleep(time.Minute) // its keep alive does not end it
			if p, ok := fast.Poll(); ok {
				t.Fatalf("got %s", brokertest.Show(p))
			}
			if held := s.Store.Status().Held; held != 3 {
				t.Errorf("%d in memory", held)
			}
			commits(s)
			for i := range 12 {
				kind := packet.PUBACK
				if qos(i) == 2 {
					kind = packet.PUBREC
				}
				fast.Expect(&packet.Ack{Kind: kind, PacketID: uint16(1 + i)})
			}
			fast.ExpectNothing()
			if st := s.Status(); st.MessagesReceived != 12 || st.StoreWaits < 3 {
				t.Errorf("%d messages were counted, and that it waited %d times", st.MessagesReceived, st.StoreWaits)
			}
			s.Store.Hold(false)
			away := join(s, lasting(v, "away"))
			away.AcknowledgeAll()
			for i := range 12 {
				away.Receive("t", fmt.Sprint(i))
			}
			away.ExpectNothing()
			if d := s.Status().Dropped; len(d) > 0 {
				t.Errorf("dropped %v", d)
			}
			time.Sleep(16 * time.Second)
			fast.ExpectReason(packet.KeepAliveTimeout) // now it is listened to
		})
	}
}

// TestSlowDiskHoldsUpNobodyElse: who needs no disk is served while others wait for it.
func TestSlowDiskHoldsUpNobodyElse(t *testing.T) {
	onBoth(t, "while one waits", broker.Config{}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		fast := outrun(t, s, v, func(int) byte { return 1 })
		here, other := s.Pipe(), s.Pipe()
		here.Connect(packet.Connect{Version: v, CleanStart: true, ClientID: []byte("here")})
		here.Subscribe("live/#", 2)
		here.AcknowledgeAll()
		other.Connect(packet.Connect{Version: v, CleanStart: true, ClientID: []byte("other")})
		for qos := range byte(3) {
			other.Publish("live/x", fmt.Sprint(qos), qos)
			here.Receive("live/x", fmt.Sprint(qos))
		}
		other.Close()
		fast.Close() // who leaves while it waits is forgotten
		synctest.Wait()
		commits(s)
		s.Store.Hold(false)
		join(s, lasting(v, "late")).ExpectNothing()
	})
}

// TestAdaptersWaitForTheDisk: what adapters publish meanwhile is not lost, and keeps its
// order.
func TestAdaptersWaitForTheDisk(t *testing.T) {
	onBoth(t, "while a client waits", broker.Config{}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		outrun(t, s, v, func(int) byte { return 1 })
		away := join(s, lasting(v, "away too"))
		away.AcknowledgeAll()
		away.Send(&packet.Subscribe{PacketID: 1, Filters: []packet.Filter{{Filter: []byte("plant/#"), Options: 1}}})
		synctest.Wait()
		s.Store.Commit()
		away.Expect(&packet.Suback{PacketID: 1, Reasons: []packet.Reason{1}})
		for i := range 10 {
			if err := s.Publish(&core.Message{Topic: "plant/x", Payload: fmt.Append(nil, i), QoS: core.QoS(i % 2)}); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		commits(s)
		s.Store.Hold(false)
		for i := range 10 {
			away.Receive("plant/x", fmt.Sprint(i))
		}
		away.ExpectNothing()
		if st := s.Status(); len(st.Dropped) > 0 || st.MessagesReceived != 22 {
			t.Errorf("dropped %v, %d came", st.Dropped, st.MessagesReceived)
		}
	})
}

// TestBridgesWaitForTheDisk: what a bridge brings in while the disk is busy is taken when
// there is room, in order, and what it records stays behind it. Refused, it would be gone:
// no upstream sends a message again that was refused.
func TestBridgesWaitForTheDisk(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		fast := outrun(t, s, packet.V5, func(int) byte { return 1 })
		link, err := s.Link("cloud")
		if err != nil {
			t.Fatal(err)
		}
		var answers []string
		answer := func(what string) func(error) {
			return func(err error) { answers = append(answers, fmt.Sprint(what, " ", err)) }
		}
		for i := range 3 {
			m := &core.Message{Topic: "t", Payload: fmt.Append(nil, "in ", i), QoS: 2, Publisher: "bridge:cloud"}
			s.Accept(m, []core.Change{core.IncomingHeld{Owner: link.Owner, PacketID: 7}}, answer(string(m.Payload)))
			s.Record([]core.Change{core.IncomingReleased{Owner: link.Owner, PacketID: 7}}, false, answer("released"))
		}
		synctest.Wait()
		if len(answers) > 0 {
			t.Errorf("answered %q", answers)
		}
		commits(s)
		slices.Sort(answers)
		want := []string{"in 0 <nil>", "in 1 <nil>", "in 2 <nil>", "released <nil>", "released <nil>", "released <nil>"}
		if diff := cmp.Diff(want, answers); diff != "" {
			t.Errorf("answers (-want +got):\n%s", diff)
		}
		fast.Close()
		s.Store.Hold(false)
		away := join(s, lasting(packet.V5, "away"))
		away.AcknowledgeAll()
		var got []string
		for range 15 {
			got = append(got, string(away.NextPublish().Payload))
		}
		if got = slices.DeleteFunc(got, func(p string) bool { return p < "i" }); !slices.Equal(got, []string{"in 0", "in 1", "in 2"}) {
			t.Errorf("arrived %q", got)
		}
		s = s.Crash()
		if link, err := s.Link("cloud"); err != nil || len(link.Incoming) > 0 {
			t.Errorf("held after a kill: %v, %v", link.Incoming, err)
		}
	})
}

// TestFullWhileHeld: a store that turns out to be full says so to those who wait, too.
func TestFullWhileHeld(t *testing.T) {
	onBoth(t, "full", broker.Config{}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		fast := outrun(t, s, v, func(int) byte { return 1 })
		s.Store.SetFull(true)
		time.Sleep(time.Second)
		if v < packet.V5 {
			fast.ExpectClosed()
			return
		}
		commits(s)
		for pid := range uint16(12) {
			want := packet.Success
			if pid >= 3 {
				want = packet.QuotaExceeded
			}
			fast.Expect(&packet.Ack{Kind: packet.PUBACK, PacketID: 1 + pid, Reason: want})
		}
		fast.ExpectNothing()
	})
}

// TestUnanswered: answers that wait for the disk are bounded, too; all come in the end.
func TestUnanswered(t *testing.T) {
	const n, most = 10_000, 4096
	for name, tc := range map[string]struct {
		one  packet.Packet
		kind packet.Type
	}{
		"retained":  {&packet.Publish{Topic: []byte("t"), Payload: []byte("x"), QoS: 1, Retain: true, PacketID: 1}, packet.PUBACK},
		"repeated":  {&packet.Publish{Topic: []byte("t"), Payload: []byte("x"), QoS: 2, PacketID: 1}, packet.PUBREC},
		"subscribe": {&packet.Subscribe{PacketID: 1, Filters: []packet.Filter{{Filter: []byte("t")}}}, packet.SUBACK},
	} {
		onBoth(t, name, broker.Config{Limits: broker.Limits{ReceiveMaximum: 65535}}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
			c := join(s, lasting(v, "c"))
			s.Store.Hold(true)
			go c.Write(bytes.Repeat(raw(tc.one, v), n)...)
			synctest.Wait()
			before := s.Status().MessagesReceived
			if before > most {
				t.Errorf("%d were taken", before)
			}
			time.Sleep(time.Second)
			s.Store.Hold(false)
			for range n {
				if p := c.Next(); p.Type() != tc.kind {
					t.Fatalf("got %s", brokertest.Show(p))
				}
			}
		})
	}
}

// TestFullWhileUnanswered: nor does somebody hang whose answers will not come, because the
// store has become full.
func TestFullWhileUnanswered(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		away := join(s, lasting(packet.V311, "away"))
		away.Subscribe("t", 1)
		away.Close()
		synctest.Wait()
		s.Store.Hold(true)
		c := join(s, connect(packet.V311))
		one := &packet.Publish{Topic: []byte("t"), Payload: []byte("x"), QoS: 1, PacketID: 1}
		go c.Write(bytes.Repeat(raw(one, packet.V311), 10_000)...)
		synctest.Wait()
		s.Store.SetFull(true)
		time.Sleep(time.Second)
		c.ExpectClosed()
	})
}

// TestFlowsAreBounded: what waits in memory for a message of QoS 2 before it is bounded,
// though it is owed to nobody who is durable; and all of it is delivered, in order.
func TestFlowsAreBounded(t *testing.T) {
	const n, size, room = 60, 4 << 10, 64 << 10
	for name, qos := range map[string]func(i int) byte{
		"QoS 2":        func(int) byte { return 2 },
		"QoS 0 behind": func(i int) byte { return byte(2 * max(0, 1-i)) },
	} {
		onBoth(t, name, broker.Config{Limits: broker.Limits{MaxPendingBytes: room}}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
			r := join(s, connect(v))
			r.Subscribe("t", 0)
			hello := lasting(v, "fast")
			fast := join(s, hello)
			s.Store.Hold(true)
			var all []byte
			for i := range n {
				m := &packet.Publish{Topic: []byte("t"), Payload: fmt.Appendf(make([]byte, 0, size), "%04d", i)[:size], QoS: qos(i), PacketID: uint16(1 + i)}
				all = m.AppendTo(all, v)
			}
			go fast.Write(all...)
			synctest.Wait()
			if got := s.Status().MessagesReceived; got > room/size {
				t.Errorf("%d messages of %d bytes wait", got, size)
			}
			time.Sleep(time.Second)
			s.Store.Hold(false)
			for i := range n {
				if m := r.NextPublish(); string(m.Payload[:4]) != fmt.Sprintf("%04d", i) {
					t.Fatalf("got %s, want %d", brokertest.Show(m), i)
				}
			}
		})
	}
}

// TestWillWaitsForTheDisk: nor is a will given up because the disk is slow.
func TestWillWaitsForTheDisk(t *testing.T) {
	onBoth(t, "will", broker.Config{}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		outrun(t, s, v, func(int) byte { return 1 })
		hello := connect(v)
		hello.Will = &packet.Will{Topic: []byte("t"), Payload: []byte("gone"), QoS: 1}
		join(s, hello).Close()
		synctest.Wait()
		join(s, hello) // who has a will again, which is not the one that waits
		commits(s)
		after := s.Crash()
		away := join(after, lasting(v, "away"))
		away.AcknowledgeAll()
		got := map[string]int{}
		for range 14 {
			got[string(away.NextPublish().Payload)]++
		}
		away.ExpectNothing()
		if got["gone"] != 2 {
			t.Errorf("got %v", got)
		}
	})
}

// TestReplayWaitsForTheDisk: a durable session gets all retained messages, though the
// store has no room for some while it is sent them.
func TestReplayWaitsForTheDisk(t *testing.T) {
	onBoth(t, "retained", broker.Config{}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		p := join(s, connect(v))
		for i := range 10 {
			p.Send(&packet.Publish{Topic: fmt.Append(nil, "r/", i), Payload: []byte("x"), QoS: 1, PacketID: uint16(1 + i), Retain: true})
			p.Expect(&packet.Ack{Kind: packet.PUBACK, PacketID: uint16(1 + i), Reason: noMatch(v)})
		}
		r := join(s, lasting(v, "r"))
		s.Store.SetTail(3)
		s.Store.Hold(true)
		r.Send(&packet.Subscribe{PacketID: 1, Filters: []packet.Filter{{Filter: []byte("r/#"), Options: 1}}})
		synctest.Wait()
		s.Store.Commit()
		r.Expect(&packet.Suback{PacketID: 1, Reasons: []packet.Reason{1}})
		var got []*packet.Publish
		for i := range 10 {
			m := r.NextPublish()
			if want := fmt.Sprint("r/", i); string(m.Topic) != want || !m.Retain {
				t.Fatalf("got %s, want %s", brokertest.Show(m), want)
			}
			if got = append(got, m); i%3 == 2 {
				r.ExpectNothing()
				s.Store.Commit()
				synctest.Wait()
			}
		}
		for _, m := range got {
			r.Acknowledge(m)
		}
		r.ExpectNothing()
		if d := s.Status().Dropped[core.DroppedStoreFull]; d > 0 {
			t.Errorf("%d dropped", d)
		}
	})
}

func noMatch(v packet.Version) packet.Reason {
	if v < packet.V5 {
		return packet.Success
	}
	return packet.NoMatchingSubscribers
}

// TestSlowLinkKeepsItsConnection: a peer over a slow link, to which a large message is
// on its way, pings in time, and is not listened to for so long. That it takes what it
// is sent says that it is there.
func TestSlowLinkKeepsItsConnection(t *testing.T) {
	onBoth(t, "1 MiB at 1 KiB/s", broker.Config{}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		near, far := net.Pipe()
		served := make(chan struct{})
		go func() { defer close(served); s.Serve(far, "test") }()
		hello := connect(v)
		hello.Keepalive = 60
		near.Write(raw(&hello, v))
		head := make([]byte, 64)
		near.Read(head)
		near.Write(raw(&packet.Subscribe{PacketID: 1, Filters: []packet.Filter{{Filter: []byte("t")}}}, v))
		near.Read(head)
		p := s.Pipe()
		p.Connect(packet.Connect{Version: v, CleanStart: true, ClientID: []byte("p")})
		p.Send(&packet.Publish{Topic: []byte("t"), Payload: bytes.Repeat([]byte("x"), 1<<20)})
		defer near.Close()
		go func() {
			for {
				select {
				case <-time.After(30 * time.Second):
					near.Write(raw(&packet.Pingreq{}, v))
				case <-served:
					return
				}
			}
		}()
		got := 0
		for chunk := make([]byte, 1<<10); got < 1<<20; {
			n, err := io.ReadFull(near, chunk)
			if err != nil {
				t.Errorf("after %d bytes: %v", got, err)
				return
			}
			got += n
			time.Sleep(time.Second)
		}
		near.Close()
		<-served
	})
}
