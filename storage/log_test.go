package storage

import (
	"fmt"
	"testing"
	"time"

	"github.com/weir-edge/weir/core"
)

// owner drives a log as the broker loop does, and remembers what it was told.
type owner struct {
	t       testing.TB
	l       *Log
	wake    chan struct{}
	settled map[core.Seq]bool
	synced  core.Ticket
	got     map[core.ReceiverID][]core.Delivery
	caught  map[core.ReceiverID]bool
	answers map[core.ReceiverID]int
	dropped map[core.Reason]int
}

func openOwner(t testing.TB, cfg Config) *owner {
	t.Helper()
	o := &owner{
		t: t, wake: make(chan struct{}, 1),
		settled: map[core.Seq]bool{}, got: map[core.ReceiverID][]core.Delivery{},
		caught: map[core.ReceiverID]bool{}, answers: map[core.ReceiverID]int{}, dropped: map[core.Reason]int{},
	}
	cfg.Notify = func() {
		select {
		case o.wake <- struct{}{}:
		default:
		}
	}
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	o.l = l
	return o
}

func (o *owner) Settled(seq core.Seq) {
	if o.settled[seq] {
		o.t.Errorf("message %d settled twice", seq)
	}
	o.settled[seq] = true
}
func (o *owner) Synced(t core.Ticket) { o.synced = t }
func (o *owner) Fetched(r core.ReceiverID, next []core.Delivery, caughtUp bool) {
	o.got[r] = append(o.got[r], next...)
	o.caught[r] = caughtUp
	o.answers[r]++
}
func (o *owner) Dropped(r core.ReceiverID, why core.Reason, n int) { o.dropped[why] += n }

// until turns the log until a condition holds.
func (o *owner) until(what string, done func() bool) {
	o.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		o.l.Collect(o)
		wait := o.l.Turn(time.Now())
		if done() {
			return
		}
		if wait < 0 || wait > time.Second {
			wait = time.Second
		}
		select {
		case <-o.wake:
		case <-time.After(wait):
		}
		if time.Now().After(deadline) {
			o.t.Fatalf("timed out: %s (%+v)", what, o.l.Status())
		}
	}
}

func (o *owner) append(m *core.Message, hold time.Duration, debts ...core.Debt) core.Seq {
	o.t.Helper()
	seq, settled, err := o.l.Append(m, debts, hold)
	if err != nil {
		o.t.Fatal(err)
	}
	if settled {
		o.settled[seq] = true
	}
	return seq
}

// drain fetches and pays everything.
func (o *owner) drain(r core.ReceiverID, window int) (all []core.Delivery) {
	o.t.Helper()
	for {
		n := o.answers[r]
		o.l.Fetch(r, window, 1<<20)
		o.until("fetch", func() bool { return o.answers[r] > n })
		for _, d := range o.got[r] {
			all = append(all, d)
			o.l.Paid(r, d.Seq)
		}
		o.got[r] = nil
		if o.caught[r] {
			return all
		}
	}
}

func message(i int) *core.Message {
	return &core.Message{
		Topic: fmt.Sprintf("plant/line1/m%d", i%10), Payload: fmt.Appendf(nil, "value %d", i), QoS: 1,
		Publisher: "test", Received: core.NewClock().Now(),
	}
}

func TestRestart(t *testing.T) {
	dir := t.TempDir()
	o := openOwner(t, Config{Dir: dir})
	o.l.Record(core.RuleSaved{Name: "cloud/0", Receiver: 7}, false)
	var last core.Seq
	for i := range 2500 {
		last = o.append(message(i), 0, core.Debt{Receiver: 7})
	}
	o.until("settled", func() bool { return o.settled[last] })
	if got := o.l.Owed(7); got != 2500 {
		t.Fatalf("owed %d", got)
	}
	if err := o.l.Close(); err != nil {
		t.Fatal(err)
	}
	o = openOwner(t, Config{Dir: dir})
	var state []core.Change
	if err := o.l.Load(func(c core.Change) { state = append(state, c) }); err != nil {
		t.Fatal(err)
	}
	if len(state) != 1 {
		t.Fatalf("state %v", state)
	}
	if got := o.l.Owed(7); got != 2500 {
		t.Fatalf("owed %d after restart", got)
	}
	all := o.drain(7, 64)
	if len(all) != 2500 || string(all[2499].Message.Payload) != "value 2499" {
		t.Fatalf("drained %d", len(all))
	}
	if got := o.l.Owed(7); got != 0 {
		t.Fatalf("owed %d after drain", got)
	}
	if err := o.l.Close(); err != nil {
		t.Fatal(err)
	}
}
