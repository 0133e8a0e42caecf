package storagetest

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/core"
)

// Receivers of the suite.
const (
	alice core.ReceiverID = 1<<62 + 1
	bob   core.ReceiverID = 1<<62 + 2
)

var clock = core.NewClock()

// message number i.
func message(i int) *core.Message {
	return &core.Message{
		Topic: fmt.Sprintf("plant/line/%d", i%7), Payload: fmt.Appendf(nil, "value %d", i),
		QoS: core.AtLeastOnce, Publisher: "suite", Received: clock.Now(),
	}
}

func owedTo(receivers ...core.ReceiverID) (debts []core.Debt) {
	for _, r := range receivers {
		debts = append(debts, core.Debt{Receiver: r})
	}
	return debts
}

func live(receivers ...core.ReceiverID) (debts []core.Debt) {
	for _, r := range receivers {
		debts = append(debts, core.Debt{Receiver: r, Live: true})
	}
	return debts
}

// Run is the conformance suite. open must give a new, empty store each time.
func Run(t *testing.T, open func(t testing.TB) Opened) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, o *Owner)
	}{
		{"settles and keeps what is owed", testKeeps},
		{"passes through when all debts are paid", testPassThrough},
		{"fetches in order and in parts", testFetchOrder},
		{"rewinds to the oldest unpaid", testRewind},
		{"does not deliver a stale answer", testStaleAnswer},
		{"goes on live after a fetch", testLiveAfterFetch},
		{"says who has to fetch", testNotLive},
		{"counts a debt once", testPaidTwice},
		{"keeps receivers apart", testTwoReceivers},
		{"skips what has expired", testExpired},
		{"skips what is older than max age", testMaxAge},
		{"refuses when a receiver's bound is reached", testRefuse},
		{"drops the newest", testDropNewest},
		{"drops the oldest", testDropOldest},
		{"forgets a dropped session", testSessionDropped},
		{"tells tickets", testTickets},
		{"keeps a message whole", testWhole},
		{"restarts with what is owed", testRestart},
		{"forgets unknown receivers", testUnknown},
		{"folds changes", testChanges},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := NewOwner(t, open(t))
			c.run(t, o)
		})
	}
}

func (o *Owner) know(receivers ...core.ReceiverID) (last core.Ticket) {
	for _, r := range receivers {
		last = o.Store.Record(core.RuleSaved{Name: fmt.Sprintf("rule %d", r), Receiver: r}, false)
	}
	return last
}

func (o *Owner) fill(n int, debts []core.Debt) (seqs []core.Seq) {
	o.T.Helper()
	for i := range n {
		seqs = append(seqs, o.Append(message(i), 0, debts...))
	}
	o.UntilSettled(seqs...)
	return seqs
}

func (o *Owner) wantSeqs(what string, got []core.Delivery, want []core.Seq) {
	o.T.Helper()
	var seqs []core.Seq
	for _, d := range got {
		seqs = append(seqs, d.Seq)
	}
	if diff := cmp.Diff(want, seqs); diff != "" {
		o.T.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func (o *Owner) wantOwed(r core.ReceiverID, want uint64) {
	o.T.Helper()
	if got := o.Store.Owed(r); got != want {
		o.T.Errorf("owed to %d: %d, want %d", r, got, want)
	}
}

func testKeeps(t *testing.T, o *Owner) {
	seqs := o.fill(100, owedTo(alice))
	o.wantOwed(alice, 100)
	o.wantSeqs("all of it", o.Drain(alice, 1000), seqs)
	o.wantOwed(alice, 0)
}

func testPassThrough(t *testing.T, o *Owner) {
	for i := range 50 {
		seq := o.Append(message(i), time.Hour, live(alice, bob)...)
		o.Paid(bob, seq)
		o.Paid(alice, seq)
		if !o.Settled[seq] {
			t.Fatalf("message %d is not settled although everybody has it", seq)
		}
	}
	o.Turn()
	if n := o.Store.Status().Written; n > 0 {
		t.Errorf("%d messages were written", n)
	}
	if rest := o.FetchAll(alice, 10); len(rest) > 0 {
		t.Errorf("%d messages are fetched again", len(rest))
	}
}

func testFetchOrder(t *testing.T, o *Owner) {
	seqs := o.fill(250, owedTo(alice))
	part, caughtUp := o.Fetch(alice, 100)
	if len(part) != 100 || caughtUp {
		t.Fatalf("first part: %d messages, caught up %v", len(part), caughtUp)
	}
	rest := o.FetchAll(alice, 100)
	o.wantSeqs("both parts", append(part, rest...), seqs)
	for i, d := range part {
		if d.Again {
			t.Errorf("message %d is marked as sent before", i)
		}
		if want := fmt.Sprintf("value %d", i); string(d.Message.Payload) != want {
			t.Errorf("message %d: %q", i, d.Message.Payload)
		}
	}
	if again := o.FetchAll(alice, 100); len(again) > 0 {
		t.Errorf("%d messages twice", len(again))
	}
}

func testRewind(t *testing.T, o *Owner) {
	seqs := o.fill(20, owedTo(alice))
	first, _ := o.Fetch(alice, 10)
	for _, i := range []int{0, 1, 2, 5} {
		o.Paid(alice, first[i].Seq)
	}
	o.wantOwed(alice, 16)
	o.Store.Rewind(alice)
	all := o.FetchAll(alice, 1000)
	o.wantSeqs("the unpaid", all, append([]core.Seq{seqs[3], seqs[4]}, seqs[6:]...))
	for _, d := range all {
		if want := d.Seq <= first[9].Seq; d.Again != want {
			t.Errorf("message %d: again %v", d.Seq, d.Again)
		}
	}
}

func testStaleAnswer(t *testing.T, o *Owner) {
	seqs := o.fill(10, owedTo(alice))
	o.Store.Fetch(alice, 5, 1<<20)
	o.Store.Fetch(alice, 5, 1<<20) // ignored
	o.Store.Rewind(alice)
	o.wantSeqs("after the rewind", o.FetchAll(alice, 100), seqs)
	if n := o.answer(alice).count; n != 1 {
		t.Errorf("%d answers", n)
	}
}

// testNotLive: a receiver that has not had everything gets nothing from memory, and
// who appends is told.
func testNotLive(t *testing.T, o *Owner) {
	o.Append(message(0), 0, owedTo(alice)...)
	debts := live(alice, bob)
	o.Append(message(1), 0, debts...)
	if debts[0].Live || !debts[1].Live {
		t.Errorf("live: %t, which has to fetch, and %t", debts[0].Live, debts[1].Live)
	}
}

func testLiveAfterFetch(t *testing.T, o *Owner) {
	seqs := o.fill(5, owedTo(alice))
	o.FetchAll(alice, 100)
	seq := o.Append(message(5), 0, live(alice)...)
	o.UntilSettled(seq)
	if more := o.FetchAll(alice, 100); len(more) > 0 {
		t.Errorf("what was handed over live is fetched: %v", more)
	}
	o.Store.Rewind(alice)
	o.wantSeqs("everything", o.Drain(alice, 100), append(seqs, seq))
}

func testPaidTwice(t *testing.T, o *Owner) {
	seqs := o.fill(3, owedTo(alice))
	o.FetchAll(alice, 100)
	for range 3 {
		o.Store.Paid(alice, seqs[1])
		o.Store.Paid(bob, seqs[1])
		o.Store.Paid(alice, 1<<60)
	}
	o.wantOwed(alice, 2)
}

func testTwoReceivers(t *testing.T, o *Owner) {
	var mine [2][]core.Seq
	for i := range 60 {
		var debts []core.Debt
		for k, r := range []core.ReceiverID{alice, bob} {
			if i%(k+2) == 0 {
				debts = append(debts, core.Debt{Receiver: r})
			}
		}
		if debts == nil {
			continue
		}
		seq := o.Append(message(i), 0, debts...)
		for k := range mine {
			if i%(k+2) == 0 {
				mine[k] = append(mine[k], seq)
			}
		}
		o.UntilSettled(seq)
	}
	o.wantSeqs("alice", o.Drain(alice, 7), mine[0])
	o.wantOwed(bob, uint64(len(mine[1])))
	o.wantSeqs("bob", o.Drain(bob, 7), mine[1])
}

func testExpired(t *testing.T, o *Owner) {
	fresh, stale := message(0), message(1)
	stale.Expiry = time.Second
	stale.Received.Mono -= int64(time.Minute)
	var seqs []core.Seq
	for _, m := range []*core.Message{stale, fresh, stale} {
		seqs = append(seqs, o.Append(m, 0, owedTo(alice)...))
	}
	o.UntilSettled(seqs...)
	o.wantSeqs("the fresh one", o.FetchAll(alice, 100), seqs[1:2])
	o.Until("drops", func() bool { return o.Dropped[core.DroppedExpired] == 2 })
	o.wantOwed(alice, 1)
}

func testMaxAge(t *testing.T, o *Owner) {
	o.Store.SetPolicy(alice, core.Policy{MaxAge: time.Hour})
	old := message(0)
	old.Received.Mono -= int64(2 * time.Hour)
	seqs := []core.Seq{
		o.Append(old, 0, owedTo(alice, bob)...),
		o.Append(message(1), 0, owedTo(alice, bob)...),
	}
	o.UntilSettled(seqs...)
	o.wantSeqs("alice", o.FetchAll(alice, 100), seqs[1:])
	o.wantSeqs("bob", o.FetchAll(bob, 100), seqs)
}

// full fills a bounded receiver and says how many messages fit.
func (o *Owner) full(p core.Policy) (seqs []core.Seq) {
	p.MaxBytes = int64(10 * message(0).Size())
	o.Store.SetPolicy(alice, p)
	return o.fill(9, owedTo(alice))
}

func testRefuse(t *testing.T, o *Owner) {
	seqs := o.full(core.Policy{OnFull: core.Refuse})
	for i := 0; ; i++ {
		seq, settled, err := o.Store.Append(message(i), owedTo(alice, bob), 0)
		if errors.Is(err, core.ErrFull) {
			break
		}
		if err != nil || i > 20 {
			t.Fatalf("append %d: %v", i, err)
		}
		seqs = append(seqs, seq)
		o.Until("the message to be settled", func() bool { return settled || o.Settled[seq] })
	}
	o.wantOwed(alice, uint64(len(seqs)))
	o.wantOwed(bob, uint64(len(seqs)-9))
	o.wantSeqs("all that was taken", o.Drain(alice, 100), seqs)
	if _, _, err := o.Store.Append(message(0), owedTo(alice), 0); err != nil {
		t.Errorf("append to an empty queue: %v", err)
	}
}

func testDropNewest(t *testing.T, o *Owner) {
	seqs := o.full(core.Policy{OnFull: core.DropNewest})
	for i := range 10 {
		o.UntilSettled(o.Append(message(i), 0, owedTo(alice, bob)...))
	}
	o.wantOwed(bob, 10)
	kept := o.Drain(alice, 100)
	o.wantSeqs("the oldest", kept[:9], seqs)
	o.Until("drops", func() bool { return o.Dropped[core.DroppedQueueFull] == 19-len(kept) })
}

func testDropOldest(t *testing.T, o *Owner) {
	seqs := o.full(core.Policy{OnFull: core.DropOldest})
	for i := range 10 {
		seqs = append(seqs, o.Append(message(i), 0, owedTo(alice, bob)...))
		o.UntilSettled(seqs[len(seqs)-1])
	}
	owed := o.Store.Owed(alice)
	if owed < 5 || owed > 11 {
		t.Errorf("owed %d", owed)
	}
	kept := o.Drain(alice, 100)
	o.wantSeqs("the newest", kept, seqs[len(seqs)-int(owed):])
	o.Until("drops", func() bool { return o.Dropped[core.DroppedQueueFull] == len(seqs)-len(kept) })
	o.wantSeqs("bob's", o.Drain(bob, 100), seqs[9:])
}

func testSessionDropped(t *testing.T, o *Owner) {
	o.Store.Record(core.SessionSaved{Session: core.Session{Receiver: alice, ClientID: "a"}}, false)
	o.fill(5, owedTo(alice, bob))
	held := o.Append(message(5), time.Hour, live(alice)...)
	o.Store.Record(core.SessionDropped{ClientID: "a", Receiver: alice}, false)
	o.wantOwed(alice, 0)
	o.wantOwed(bob, 5)
	o.UntilSettled(held) // owed to nobody any more
	o.Until("drops", func() bool { return o.Dropped[core.DroppedSessionGone] == 6 })
}

func testTickets(t *testing.T, o *Owner) {
	first := o.Store.Record(core.RetainedSaved{Message: message(0)}, false)
	o.Until("the first ticket", func() bool { return o.Synced >= first })
	second := o.Store.Record(core.RetainedSaved{Message: message(1)}, true)
	third := o.Store.Record(core.RetainedSaved{Message: message(2)}, false)
	if second <= first || third < second {
		t.Errorf("tickets %d, %d, %d", first, second, third)
	}
	o.Until("the third ticket", func() bool { return o.Synced >= third })
}

func testWhole(t *testing.T, o *Owner) {
	want := []*core.Message{
		{Topic: "a", Payload: []byte{0, 1, 2, 255}, QoS: 2, Retain: true, Received: clock.Now()},
		{
			Topic: "b/€", Payload: []byte("x"), QoS: 1, Publisher: "adapter:m", Hops: 3,
			Expiry:   100 * 365 * 24 * time.Hour, // longer than any machine is up: it is of another boot
			Received: core.Stamp{Wall: -1, Mono: 1 << 62, Boot: 42, Synced: true},
			Properties: &core.Properties{
				UTF8Payload: true, ContentType: "text/plain", ResponseTopic: "r", CorrelationData: []byte{7},
				User: []core.UserProperty{{Name: "k", Value: "v"}, {Name: "k", Value: ""}},
			},
		},
		{Topic: "big", Payload: make([]byte, 2<<20), QoS: 1, Received: clock.Now()},
		{Topic: "empty", Payload: []byte{}, QoS: 1},
	}
	for i := range want[2].Payload { // of no use to a compressor
		want[2].Payload[i] = byte(i * i >> 3 * 31)
	}
	for _, m := range want {
		o.UntilSettled(o.Append(m, 0, owedTo(alice)...))
	}
	for i, d := range o.Drain(alice, 100) {
		same := cmp.Comparer(bytes.Equal) // a large difference would be shown byte by byte
		if diff := cmp.Diff(want[i], d.Message, same); diff != "" {
			t.Errorf("message %d (-want +got):\n%s", i, diff)
		}
	}
}

func testRestart(t *testing.T, o *Owner) {
	if o.Restart == nil {
		t.Skip("the store has no restart")
	}
	o.know(alice, bob)
	seqs := o.fill(300, owedTo(alice, bob))
	for _, d := range o.FetchAll(alice, 100)[:120] {
		o.Paid(alice, d.Seq)
	}
	held := o.Append(message(300), time.Hour, live(alice)...)
	o = o.Reopened(t)
	o.wantOwed(bob, 300)
	o.wantOwed(alice, 181)
	o.wantSeqs("alice", o.Drain(alice, 64), append(seqs[120:], held))
	o.wantSeqs("bob", o.Drain(bob, 64), seqs)
	if next := o.Append(message(0), 0, owedTo(bob)...); next <= held {
		t.Errorf("sequence number %d after %d", next, held)
	}
	o = o.Reopened(t)
	o.wantOwed(alice, 0)
	o.wantOwed(bob, 1)
}

func testUnknown(t *testing.T, o *Owner) {
	if o.Restart == nil {
		t.Skip("the store has no restart")
	}
	o.know(alice)
	seqs := o.fill(10, owedTo(alice, bob))
	o = o.Reopened(t)
	o.wantOwed(bob, 0)
	o.wantSeqs("alice", o.Drain(alice, 100), seqs)
}
