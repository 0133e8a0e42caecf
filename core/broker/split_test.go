package broker_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
)

func beside() broker.RuleConfig {
	cfg := uplink
	cfg.Beside, cfg.RetainAsPublished = true, true
	return cfg
}

// parts are the queues of a rule in two parts by their present role.
type parts struct{ backlog, fresh *broker.Queue }

func partsOf(q *broker.Queue) parts {
	if q.Fresh() {
		return parts{q.Beside(), q}
	}
	return parts{q, q.Beside()}
}

// linkUp is what a bridge does at the beginning of a connection.
func linkUp(q *broker.Queue) parts {
	q.Online(64)
	q.Beside().Online(64)
	synctest.Wait()
	return partsOf(q)
}

func linkDown(q *broker.Queue) {
	q.Offline()
	q.Beside().Offline()
	synctest.Wait()
}

func takeAndPay(q *broker.Queue, max int) []string {
	texts, seqs := take(q, max)
	q.Paid(seqs...)
	return texts
}

func TestSplit(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		q := attach(t, s, beside())
		p := linkUp(q)
		publish(t, s, "up/1", "in order", 1)
		want(t, takeAndPay(p.fresh, 9), "in order q1 again=false")
		linkDown(q)
		for i := range 3 {
			publish(t, s, "up/1", fmt.Sprint("old ", i), 1)
		}
		p = linkUp(q)
		publish(t, s, "up/1", "new 0", 1)
		want(t, takeAndPay(p.fresh, 9), "new 0 q1 again=false")
		want(t, takeAndPay(p.backlog, 1), "old 0 q1 again=false")

		linkDown(q) // the backlog grows, nothing new is before it
		publish(t, s, "up/1", "old 3", 1)
		commit(s)
		s = s.Crash()
		q = attach(t, s, beside())
		publish(t, s, "up/1", "old 4", 1)
		p = linkUp(q)
		publish(t, s, "up/1", "new 1", 1)
		publish(t, s, "up/1", "q0", 0)
		want(t, takeAndPay(p.fresh, 9), "new 1 q1 again=false", "q0 q0 again=false")
		want(t, takeAndPay(p.backlog, 9), "old 1 q1 again=true", "old 2 q1 again=true", "old 3 q1 again=false", "old 4 q1 again=false")
		if n := q.Owed() + q.Beside().Owed(); n != 0 {
			t.Errorf("%d owed", n)
		}
	})
}

// TestSplitRetained: the last retained value that goes out is the last there was.
func TestSplitRetained(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		q := attach(t, s, beside())
		synctest.Wait() // it has seen what was retained before it
		retain := func(text string) {
			if err := s.Publish(&core.Message{Topic: "up/state", Payload: []byte(text), QoS: 1, Retain: true}); err != nil {
				t.Fatal(err)
			}
		}
		retain("off")
		p := linkUp(q)
		retain("on")
		want(t, takeAndPay(p.fresh, 9))
		want(t, takeAndPay(p.backlog, 9), "off q1 again=false", "on q1 again=false")
		retain("off again")
		want(t, takeAndPay(p.fresh, 9), "off again q1 again=false")
	})
}

// TestSplitReattach: a rule that is to be one again keeps both parts until what is
// new has gone, and then has one.
func TestSplitReattach(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		q := attach(t, s, uplink)
		if q.Beside() != nil {
			t.Fatal("in two parts")
		}
		publish(t, s, "up/1", "old", 1)
		reattach := func(cfg broker.RuleConfig) {
			if err := s.Reattach(q, cfg); err != nil {
				t.Fatal(err)
			}
		}
		reattach(beside())
		p := linkUp(q)
		publish(t, s, "up/1", "new", 1)
		want(t, takeAndPay(p.fresh, 0))
		linkDown(q)
		reattach(uplink)
		publish(t, s, "up/1", "behind", 1)
		p = linkUp(q)
		want(t, takeAndPay(p.backlog, 9), "old q1 again=true", "behind q1 again=false")
		want(t, takeAndPay(p.fresh, 9), "new q1 again=true")
		linkDown(q)
		reattach(uplink)
		if q.Beside() != nil {
			t.Error("in two parts")
		}
		publish(t, s, "up/1", "last", 1)
		q.Online(64)
		want(t, takeAndPay(q, 9), "last q1 again=false")
		if err := s.Detach(q); err != nil {
			t.Fatal(err)
		}
	})
}

// TestSplitAnyHistory: whatever happens, each message comes out of one part, in the
// order of that part, and none is lost; retained ones come in their order.
func TestSplitAnyHistory(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
				h := &splitHistory{t: t, s: s, rng: rand.New(rand.NewPCG(seed, 5)), got: make(map[int]int)}
				h.q = attach(t, s, beside())
				for range 80 {
					h.step()
				}
				h.end()
			})
		})
	}
}

// splitHistory numbers what it publishes; every third is retained.
type splitHistory struct {
	t      *testing.T
	s      *brokertest.Server
	rng    *rand.Rand
	q      *broker.Queue
	online bool
	next   int
	got    map[int]int // how often a number was paid
	state  int         // the last retained one that was paid
}

func (h *splitHistory) step() {
	switch n := h.rng.IntN(20); {
	case n < 8:
		h.next++
		m := &core.Message{Topic: "up/1", Payload: fmt.Append(nil, h.next), QoS: core.QoS(1 + n%2), Retain: h.next%3 == 0}
		if err := h.s.Publish(m); err != nil {
			h.t.Fatal(err)
		}
	case n < 15 && h.online:
		h.pay([]*broker.Queue{h.q, h.q.Beside()}[n%2], h.rng.IntN(4))
	case n < 17 && h.online:
		linkDown(h.q)
		h.online = false
	case n < 18:
		commit(h.s)
		h.s = h.s.Crash()
		h.q, h.online = attach(h.t, h.s, beside()), false
	case !h.online:
		linkUp(h.q)
		h.online = true
	}
	commit(h.s)
}

// pay takes some messages and pays them, so that no other can come before them.
func (h *splitHistory) pay(q *broker.Queue, max int) {
	last := 0
	texts, seqs := take(q, max)
	for _, text := range texts {
		var n int
		if _, err := fmt.Sscan(strings.Fields(text)[0], &n); err != nil {
			h.t.Fatal(err)
		}
		h.got[n]++
		if n <= last || n%3 == 0 && n <= h.state {
			h.t.Errorf("%d after %d and state %d", n, last, h.state)
		}
		if last = n; n%3 == 0 {
			h.state = n
		}
	}
	q.Paid(seqs...)
	commit(h.s)
}

func (h *splitHistory) end() {
	if !h.online {
		linkUp(h.q)
	}
	for h.q.Owed()+h.q.Beside().Owed() > 0 {
		h.pay(h.q, 100)
		h.pay(h.q.Beside(), 100)
	}
	for n := 1; n <= h.next; n++ {
		if h.got[n] != 1 {
			h.t.Errorf("%d came %d times", n, h.got[n])
		}
	}
}
