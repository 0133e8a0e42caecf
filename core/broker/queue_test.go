package broker_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

func attach(t *testing.T, s *brokertest.Server, cfg broker.RuleConfig) *broker.Queue {
	t.Helper()
	q, err := s.Attach(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

var uplink = broker.RuleConfig{Name: "cloud 1", Filters: []string{"up/#"}, QoS: 1, NoPublisher: "bridge:cloud"}

// take waits until nothing moves and takes what is there, as text.
func take(q *broker.Queue, max int) (texts []string, seqs []core.Seq) {
	synctest.Wait()
	for _, d := range q.Take(nil, max) {
		texts = append(texts, fmt.Sprintf("%s q%d again=%t", d.Message.Payload, d.QoS, d.Again))
		if d.Seq != 0 {
			seqs = append(seqs, d.Seq)
		}
	}
	return texts, seqs
}

func publish(t *testing.T, s *brokertest.Server, topic, payload string, qos core.QoS) {
	t.Helper()
	if err := s.Publish(&core.Message{Topic: topic, Payload: []byte(payload), QoS: qos}); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("taken (-want +got):\n%s", diff)
	}
}

func TestQueueLive(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		q := attach(t, s, uplink)
		q.Online(64)
		synctest.Wait()
		p := s.Pipe()
		p.Connect(clean("p"))
		p.Send(&packet.Publish{Topic: []byte("up/1"), Payload: []byte("a"), QoS: 1, PacketID: 1})
		p.Send(&packet.Publish{Topic: []byte("up/1"), Payload: []byte("b")})
		p.Send(&packet.Publish{Topic: []byte("up/1"), Payload: []byte("c"), QoS: 1, PacketID: 2})
		p.Send(&packet.Publish{Topic: []byte("down/1"), Payload: []byte("not ours")})
		publish(t, s, "up/2", "d", 1)
		texts, seqs := take(q, 100)
		want(t, texts, "a q1 again=false", "b q0 again=false", "c q1 again=false", "d q1 again=false")
		p.ExpectNothing()
		q.Paid(seqs[1]) // out of order: the PUBACKs stay in order
		p.ExpectNothing()
		q.Paid(seqs[0], seqs[2])
		p.Expect(&packet.Ack{Kind: packet.PUBACK, PacketID: 1}, &packet.Ack{Kind: packet.PUBACK, PacketID: 2})
		if n := q.Owed(); n != 0 || s.Store.Written() != 0 {
			t.Errorf("%d owed, %d written", n, s.Store.Written())
		}
		<-q.Wake()
		select {
		case <-q.Wake():
			t.Error("woken for nothing")
		default:
		}
	})
}

func TestQueueBuffersQoS0(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		cfg := uplink
		cfg.BufferQoS0 = true
		q := attach(t, s, cfg)
		publish(t, s, "up/1", "out", 0)
		publish(t, s, "up/1", "out, too", 1)
		q.Online(64)
		texts, seqs := take(q, 1)
		want(t, texts, "out q1 again=false")
		publish(t, s, "up/1", "behind", 0) // there is an uplink again: it goes, behind what waits
		texts, more := take(q, 100)
		want(t, texts, "out, too q1 again=false", "behind q0 again=false")
		q.Paid(seqs[0], more[0])
		if n := q.Owed(); n != 0 {
			t.Errorf("%d owed", n)
		}
		written := s.Store.Written()
		publish(t, s, "up/1", "live", 0)
		texts, _ = take(q, 100)
		want(t, texts, "live q0 again=false")
		if n := s.Store.Written(); n != written {
			t.Errorf("%d written with the uplink there", n-written)
		}
		if n := len(q.Dropped()); n != 0 {
			t.Errorf("dropped %v", q.Dropped())
		}
	})
}

func TestQueueOffline(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		q := attach(t, s, uplink)
		for i := range 3 {
			publish(t, s, "up/1", fmt.Sprint(i), core.QoS(min(i, 1)))
		}
		texts, _ := take(q, 100)
		want(t, texts)
		q.Online(64)
		texts, seqs := take(q, 1)
		want(t, texts, "1 q1 again=false")
		q.Offline() // and what was ready is gone
		q.Online(64)
		texts, _ = take(q, 100)
		want(t, texts, "1 q1 again=true", "2 q1 again=true")
		q.Paid(seqs[0])
		q.Offline()
		publish(t, s, "up/1", "3", 1)
		publish(t, s, "up/1", "QoS 0", 0)
		q.Online(64)
		texts, _ = take(q, 100)
		want(t, texts, "2 q1 again=true", "3 q1 again=false")
		if got := q.Dropped(); got[core.DroppedOffline] != 2 {
			t.Errorf("dropped %v", got)
		}
		if n := q.Owed(); n != 2 {
			t.Errorf("%d owed", n)
		}
	})
}

// TestQueueBehind: a bridge that is slower than its publishers gets everything in
// order, through the log, and becomes live again.
func TestQueueBehind(t *testing.T) {
	cfg := uplink
	cfg.MaxMessages = 20
	for _, qos := range []core.QoS{1, 2} {
		cfg.QoS = qos
		in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
			q := attach(t, s, cfg)
			q.Online(64)
			next, published := 0, 0
			for round := range 60 {
				for range 50 - round%3*25 {
					publish(t, s, "up", fmt.Sprint(published), qos)
					published++
				}
				synctest.Wait()
				ds := q.Take(nil, 40)
				for i, d := range ds {
					if string(d.Message.Payload) != fmt.Sprint(next) {
						t.Fatalf("QoS %d: got %s, want %d", qos, d.Message.Payload, next)
					}
					next++
					if i%7 != 3 { // some are paid late
						q.Paid(d.Seq)
					}
				}
				for i, d := range ds {
					if i%7 == 3 {
						q.Paid(d.Seq)
					}
				}
			}
			for next < published {
				synctest.Wait()
				for _, d := range q.Take(nil, 1000) {
					if string(d.Message.Payload) != fmt.Sprint(next) {
						t.Fatalf("QoS %d: got %s, want %d", qos, d.Message.Payload, next)
					}
					next++
					q.Paid(d.Seq)
				}
			}
			if n := q.Owed(); n != 0 {
				t.Errorf("%d owed", n)
			}
			written := s.Store.Written()
			publish(t, s, "up", "live", 1)
			texts, seqs := take(q, 10)
			want(t, texts, "live q1 again=false")
			q.Paid(seqs...)
			time.Sleep(time.Second)
			if qos == 1 && s.Store.Written() != written {
				t.Error("a live message was written")
			}
		})
	}
}

func TestQueueRestart(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		q := attach(t, s, uplink)
		r := q.Receiver()
		publish(t, s, "up", "a", 1)
		publish(t, s, "up", "b", 1)
		q.Online(64)
		_, seqs := take(q, 1)
		q.Paid(seqs...)
		commit(s)
		s = s.Crash()
		q = attach(t, s, uplink)
		if q.Receiver() != r {
			t.Error("the rule has got another receiver")
		}
		q.Online(64)
		texts, _ := take(q, 10)
		want(t, texts, "b q1 again=true")
		if _, err := s.Attach(uplink); err == nil {
			t.Error("attached twice")
		}
		if _, err := s.Attach(broker.RuleConfig{Name: "x", Filters: []string{"a/#/b"}}); err == nil {
			t.Error("a wrong filter was taken")
		}
	})
}

func TestQueueFilters(t *testing.T) {
	cfg := broker.RuleConfig{
		Name: "r", Filters: []string{"up/#", "up/+", "other"}, Excludes: []string{"up/debug/#"}, QoS: 0,
		NoPublisher: "bridge:cloud", RetainAsPublished: true,
	}
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		q := attach(t, s, cfg)
		q.Online(64)
		publish(t, s, "up/debug/x", "excluded", 1)
		publish(t, s, "up/1", "once", 1)
		s.Accept(&core.Message{Topic: "up/2", Publisher: "bridge:cloud", Payload: []byte("its own")}, nil, func(error) {})
		s.Publish(&core.Message{Topic: "other", Payload: []byte("kept"), Retain: true})
		synctest.Wait()
		ds := q.Take(nil, 10)
		if len(ds) != 2 || string(ds[0].Message.Payload) != "once" || ds[0].QoS != 0 || !ds[1].Retain {
			t.Errorf("taken %+v", ds)
		}
		if n := s.Store.Status().Held; n != 0 || q.Receiver() != 0 {
			t.Errorf("a rule of QoS 0 is owed %d", n)
		}
	})
}

// TestAccept: what a bridge receives is acknowledged upstream when the promise
// holds here.
func TestAccept(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		link, err := s.Link("cloud")
		if err != nil {
			t.Fatal(err)
		}
		r := s.Pipe()
		r.Connect(durable("r"))
		r.Subscribe("cmd", 2)
		results := make(chan error, 10)
		done := func(err error) { results <- err }
		s.Accept(&core.Message{Topic: "cmd", Payload: []byte("a"), QoS: 1, Publisher: "bridge:cloud"}, nil, done)
		m := r.NextPublish()
		if len(results) != 0 {
			t.Error("acknowledged before the receiver has it")
		}
		r.Acknowledge(m)
		if err := <-results; err != nil {
			t.Error(err)
		}
		s.Store.Hold(true)
		held := core.IncomingHeld{Owner: link.Owner, PacketID: 5}
		s.Accept(&core.Message{Topic: "cmd", Payload: []byte("b"), QoS: 2, Publisher: "bridge:cloud"}, []core.Change{held}, done)
		r.ExpectNothing()
		s.Store.Hold(false)
		if err := <-results; err != nil {
			t.Error(err)
		}
		r.Receive("cmd", "b")
		s.Record([]core.Change{core.OutgoingSaved{Outgoing: core.Outgoing{Owner: link.Owner, PacketID: 9, Receiver: 1, Seq: 2}}}, false, done)
		if err := <-results; err != nil {
			t.Error(err)
		}
		s.Store.SetFull(true)
		s.Accept(&core.Message{Topic: "cmd", QoS: 1}, nil, done)
		if err := <-results; !errors.Is(err, core.ErrFull) {
			t.Errorf("full: %v", err)
		}
		s.Accept(&core.Message{Topic: "cmd/#", QoS: 1}, nil, done)
		if err := <-results; !errors.Is(err, core.ErrInvalid) {
			t.Errorf("wildcard: %v", err)
		}
		s = s.Crash()
		again, _ := s.Link("cloud")
		wanted := broker.LinkState{
			Owner: link.Owner, Incoming: []uint16{5},
			Outgoing: []core.Outgoing{{Owner: link.Owner, PacketID: 9, Receiver: 1, Seq: 2}},
		}
		if diff := cmp.Diff(wanted, again); diff != "" {
			t.Errorf("link after a restart (-want +got):\n%s", diff)
		}
	})
}

func TestSubscribeInside(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		got := make(chan string, 3000)
		block := make(chan struct{})
		cancel, err := s.Subscribe("cmd/+", func(m *core.Message) {
			got <- string(m.Payload)
			<-block
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Subscribe("a/#/b", nil); err == nil {
			t.Error("a wrong filter was taken")
		}
		p := s.Pipe()
		p.Connect(clean("p"))
		p.Publish("cmd/1", "first", 1)
		for i := range 2000 {
			p.Publish("cmd/2", fmt.Sprint(i), 0)
		}
		p.ExpectNothing() // nobody waits for it
		close(block)
		synctest.Wait()
		if len(got) != 1025 || <-got != "first" || <-got != "0" {
			t.Errorf("%d received", len(got))
		}
		if n := s.Status().Dropped[core.DroppedQueueFull]; n != 976 {
			t.Errorf("%d dropped", n)
		}
		cancel()
		cancel()
		synctest.Wait()
		p.Publish("cmd/1", "too late", 0)
		p.ExpectNothing()
		if n := s.Status().Subscriptions; n != 0 {
			t.Errorf("%d subscriptions", n)
		}
	})
}

func TestPublishInside(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		for _, m := range []*core.Message{{}, {Topic: "a/#"}, {Topic: "a", QoS: 3}} {
			if err := s.Publish(m); !errors.Is(err, core.ErrInvalid) {
				t.Errorf("%+v: %v", m, err)
			}
		}
		r := s.Pipe()
		r.Connect(clean("r"))
		r.Subscribe("#", 2)
		publish(t, s, "a", "x", 2)
		r.Receive("a", "x")
	})
}
