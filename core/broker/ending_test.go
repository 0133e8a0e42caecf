package broker_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

// knock sends a CONNECT and what comes behind it, and does not wait for an answer.
func knock(s *brokertest.Server, p packet.Connect, behind ...packet.Packet) *brokertest.Client {
	c := s.Pipe()
	c.Speak(p.Version)
	c.Send(append([]packet.Packet{&p}, behind...)...)
	synctest.Wait()
	return c
}

// wantConnack wants the answer to a CONNECT.
func wantConnack(t *testing.T, c *brokertest.Client, reason packet.Reason, present bool) {
	t.Helper()
	ack, ok := c.Next().(*packet.Connack)
	if !ok || ack.Reason != reason || ack.SessionPresent != present {
		t.Fatalf("got %+v, want %s, session present %v", ack, reason, present)
	}
}

func wantSilence(t *testing.T, c *brokertest.Client) {
	t.Helper()
	synctest.Wait()
	if p, ok := c.Poll(); ok {
		t.Fatalf("got %s", brokertest.Show(p))
	}
}

// holding is a client whose durable session holds packet id 7 of QoS 2.
func holding(s *brokertest.Server, v packet.Version) *brokertest.Client {
	c := join(s, lasting(v, "c"))
	c.Send(exact(7, "t", "x", false))
	c.Expect(&packet.Ack{Kind: packet.PUBREC, PacketID: 7, Reason: noMatch(v)})
	return c
}

// anew is the CONNECT of a session that begins clean, and lasts in MQTT 5.
func anew(v packet.Version, id string) packet.Connect {
	p := lasting(v, id)
	p.CleanStart = true
	return p
}

// TestEndIsKept: a CONNACK without Session Present says that nothing is left of the session
// before. It leaves when that is on disk: one that a kill brings back holds packet ids, and a
// new message that has one of them would be taken for a repetition, acknowledged and lost.
func TestEndIsKept(t *testing.T) {
	for name, tc := range map[string]struct {
		from packet.Version
		end  func(s *brokertest.Server, c *brokertest.Client)
		next func(v packet.Version) packet.Connect
	}{
		"clean start": {
			end:  func(s *brokertest.Server, c *brokertest.Client) { c.Close() },
			next: func(v packet.Version) packet.Connect { return anew(v, "c") },
		},
		"clean start while connected": {
			end:  func(*brokertest.Server, *brokertest.Client) {},
			next: func(v packet.Version) packet.Connect { return anew(v, "c") },
		},
		"clean start of another version": {
			end: func(s *brokertest.Server, c *brokertest.Client) { c.Close() },
			next: func(v packet.Version) packet.Connect {
				return anew(map[packet.Version]packet.Version{packet.V311: packet.V5, packet.V5: packet.V311}[v], "c")
			},
		},
		"by hand": {
			end: func(s *brokertest.Server, c *brokertest.Client) {
				c.Close()
				synctest.Wait()
				_ = s.Do(func() { _ = s.Forget("c", func() {}) })
			},
			next: func(v packet.Version) packet.Connect { return lasting(v, "c") },
		},
		"expiry 0 in DISCONNECT": {
			from: packet.V5,
			end: func(s *brokertest.Server, c *brokertest.Client) {
				c.Send(&packet.Disconnect{Properties: &packet.Properties{SessionExpiry: new(uint32(0))}})
			},
			next: func(v packet.Version) packet.Connect { return lasting(v, "c") },
		},
		"expired": {
			from: packet.V5,
			end: func(s *brokertest.Server, c *brokertest.Client) {
				c.Close()
				time.Sleep(time.Hour + time.Second)
			},
			next: func(v packet.Version) packet.Connect { return lasting(v, "c") },
		},
	} {
		onBoth(t, name, broker.Config{}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
			if v < tc.from {
				t.Skip("not before MQTT 5")
			}
			c := holding(s, v)
			s.Store.Hold(true)
			tc.end(s, c)
			synctest.Wait()
			c = knock(s, tc.next(v))
			wantSilence(t, c)
			s.Store.Hold(false)
			wantConnack(t, c, packet.Success, false)

			s = s.Crash()
			c, r := join(s, lasting(v, "c")), join(s, connect(v))
			r.AcknowledgeAll()
			r.Subscribe("t", 2)
			c.Send(exact(7, "t", "y", false))
			c.Expect(&packet.Ack{Kind: packet.PUBREC, PacketID: 7})
			r.Receive("t", "y")
		})
	}
}

// TestNothingLeft: the end of a session that has left nothing on disk but its name changes
// nothing that anybody could notice, and is not waited for.
func TestNothingLeft(t *testing.T) {
	onBoth(t, "clean start", broker.Config{}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		join(s, lasting(v, "c")).Close()
		synctest.Wait()
		s.Store.Hold(true)
		wantConnack(t, knock(s, anew(v, "c")), packet.Success, false)
		s.Store.SetFull(true)
		wantConnack(t, knock(s, anew(v, "c")), packet.Success, false)
		fillStore(s, false)
	})
}

// TestSubscriptionEnded: what was subscribed to and is not any more may be on disk still.
func TestSubscriptionEnded(t *testing.T) {
	onBoth(t, "clean start", broker.Config{}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		c := join(s, lasting(v, "c"))
		c.Subscribe("t", 1)
		s.Store.Hold(true)
		c.Send(&packet.Unsubscribe{PacketID: 9, Filters: [][]byte{[]byte("t")}})
		wantSilence(t, c)
		c = knock(s, anew(v, "c"))
		wantSilence(t, c)
		s.Store.Hold(false)
		wantConnack(t, c, packet.Success, false)
	})
}

// TestBehindAnEnd: what has come with a CONNECT that waits is handled behind its CONNACK.
func TestBehindAnEnd(t *testing.T) {
	onBoth(t, "publish", broker.Config{}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		holding(s, v).Close()
		r := join(s, connect(v))
		r.AcknowledgeAll()
		r.Subscribe("t", 2)
		s.Store.Hold(true)
		c := knock(s, anew(v, "c"), exact(7, "t", "y", false))
		go c.Write(raw(exact(8, "t", "z", false), v)...) // it is not read
		wantSilence(t, c)
		r.ExpectNothing()
		s.Store.Hold(false)
		wantConnack(t, c, packet.Success, false)
		c.Expect(&packet.Ack{Kind: packet.PUBREC, PacketID: 7}, &packet.Ack{Kind: packet.PUBREC, PacketID: 8})
		r.Receive("t", "y")
		r.Receive("t", "z")
	})
}

// TestTwoWaitForAnEnd: who comes while another with the same client id waits does so, too,
// and takes over then.
func TestTwoWaitForAnEnd(t *testing.T) {
	for name, second := range map[string]func(packet.Version, string) packet.Connect{"clean": anew, "not clean": lasting} {
		onBoth(t, name, broker.Config{}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
			holding(s, v).Close()
			synctest.Wait()
			s.Store.Hold(true)
			first := knock(s, anew(v, "c"))
			next := second(v, "c")
			after := knock(s, next)
			wantSilence(t, first)
			wantSilence(t, after)
			s.Store.Hold(false)
			wantConnack(t, first, packet.Success, false)
			first.ExpectReason(packet.SessionTakenOver)
			wantConnack(t, after, packet.Success, v == packet.V5 && !next.CleanStart)
			after.ExpectNothing()
		})
	}
}

// TestEndWithoutRoom: a session whose end the store cannot record is not ended. Its client is
// told, and finds everything as it was.
func TestEndWithoutRoom(t *testing.T) {
	onBoth(t, "clean start", broker.Config{}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		c := holding(s, v)
		fillStore(s, true)
		no := packet.ServerUnavailable
		if v < packet.V5 {
			no = packet.V3ServerUnavailable
		}
		again := knock(s, anew(v, "c"))
		wantConnack(t, again, no, false)
		again.ExpectClosed()
		c.ExpectNothing()
		c.Close()
		synctest.Wait()
		wantConnack(t, knock(s, anew(v, "new")), packet.Success, false)
		wantConnack(t, knock(s, lasting(v, "c")), packet.Success, true)
		fillStore(s, false)
		wantConnack(t, knock(s, anew(v, "c")), packet.Success, false)
	})
}

// TestEndWithoutAnswer: a disk that does not answer keeps a client waiting no longer than it
// may take to connect. It was never there and leaves no will. Who comes once more waits as
// well.
func TestEndWithoutAnswer(t *testing.T) {
	onBoth(t, "clean start", broker.Config{}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		holding(s, v).Close()
		r := join(s, connect(v))
		r.Subscribe("will", 0)
		s.Store.Hold(true)
		no := packet.ServerUnavailable
		if v < packet.V5 {
			no = packet.V3ServerUnavailable
		}
		hello := anew(v, "c")
		hello.Will = &packet.Will{Topic: []byte("will"), Payload: []byte("gone")}
		for range 2 {
			c := knock(s, hello)
			wantSilence(t, c)
			time.Sleep(5 * time.Second)
			wantConnack(t, c, no, false)
			c.ExpectClosed()
		}
		s.Store.SetFull(true) // by now the store refuses
		wantConnack(t, knock(s, lasting(v, "c")), no, false)
		fillStore(s, false)
		wantConnack(t, knock(s, lasting(v, "c")), packet.Success, false)
		r.ExpectNothing()
	})
}

// TestForgottenTwice: that a session is gone is not said before it is, whoever asks.
func TestForgottenTwice(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		holding(s, packet.V5).Close()
		synctest.Wait()
		s.Store.Hold(true)
		kept := 0
		for range 2 {
			if err := s.Do(func() { _ = s.Forget("c", func() { kept++ }) }); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if kept > 0 {
			t.Errorf("%d were told that it is gone", kept)
		}
		s.Store.Hold(false)
		synctest.Wait()
		if kept != 2 {
			t.Errorf("%d were told", kept)
		}
	})
}
