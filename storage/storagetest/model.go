package storagetest

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-edge/weir/core"
)

// RunModel compares a store with a model under random calls.
func RunModel(t *testing.T, open func(t testing.TB) Opened) {
	rapid.Check(t, func(rt *rapid.T) {
		o := NewOwner(rt, open(t))
		m := &model{t: t, rt: rt, o: o, all: make(map[core.Seq]*modelMessage)}
		defer func() {
			if m.o.Close != nil {
				if err := m.o.Close(); err != nil {
					rt.Errorf("close: %v", err)
				}
			}
		}()
		known := o.know(modelReceivers...)
		o.Until("the receivers to be known", func() bool { return o.Synced >= known })
		for i := range modelReceivers {
			m.receivers[i] = &modelReceiver{
				id: modelReceivers[i], caughtUp: true, paid: make(map[core.Seq]uint64),
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"append":  m.append,
			"burst":   m.burst,
			"pay":     m.pay,
			"fetch":   m.fetch,
			"rewind":  m.rewind,
			"turn":    func(*rapid.T) { m.o.Turn() },
			"settle":  m.settle,
			"restart": m.restart,
			"crash":   m.crash,
			"":        m.check,
		})
		m.restart(rt)
		for _, r := range m.receivers {
			m.fetchAll(r)
			m.payAll(r)
		}
		m.check(rt)
	})
}

var modelReceivers = []core.ReceiverID{11, 12, 13}

// model is the reference: lists of what is owed to three receivers.
type model struct {
	t         testing.TB
	rt        *rapid.T
	o         *Owner
	last      core.Seq
	count     int
	all       map[core.Seq]*modelMessage
	receivers [3]*modelReceiver
	paid      []core.Seq // by everybody, since the last restart
	due       []core.Seq // not to be held for long, since the last restart
}

type modelMessage struct {
	number int
	open   int // debts
}

// modelReceiver is what is owed to one receiver, in order.
type modelReceiver struct {
	id       core.ReceiverID
	owed     []core.Seq
	handed   []core.Seq // since the last rewind, and not paid
	next     core.Seq   // everything below was handed out
	sent     core.Seq   // the newest ever handed out
	caughtUp bool
	paid     map[core.Seq]uint64 // since the last restart, and after how many commits
	unsure   bool                // after a crash: Again is allowed anywhere
}

func (m *model) append(rt *rapid.T) { m.add(rt, 1) }

func (m *model) burst(rt *rapid.T) { m.add(rt, rapid.IntRange(2, 400).Draw(rt, "messages")) }

func (m *model) add(rt *rapid.T, n int) {
	var debts []core.Debt
	for _, r := range m.receivers {
		if rapid.Bool().Draw(rt, "owed") {
			debts = append(debts, core.Debt{Receiver: r.id, Live: r.caughtUp && rapid.Bool().Draw(rt, "live")})
		}
	}
	if len(debts) == 0 {
		return
	}
	hold := rapid.SampledFrom([]time.Duration{0, time.Microsecond, 5 * time.Millisecond, time.Hour}).Draw(rt, "hold")
	for range n {
		seq := m.o.Append(message(m.count), hold, debts...)
		if seq <= m.last {
			rt.Fatalf("sequence number %d after %d", seq, m.last)
		}
		m.last = seq
		m.all[seq] = &modelMessage{number: m.count, open: len(debts)}
		m.count++
		if hold < time.Hour {
			m.due = append(m.due, seq)
		}
		for _, d := range debts {
			m.owe(m.receiver(d.Receiver), seq, d.Live)
		}
	}
}

func (m *model) owe(r *modelReceiver, seq core.Seq, live bool) {
	r.owed = append(r.owed, seq)
	if live {
		r.handed, r.next, r.sent = append(r.handed, seq), seq+1, seq
	} else {
		r.caughtUp = false
	}
}

func (m *model) receiver(id core.ReceiverID) *modelReceiver {
	return m.receivers[slices.Index(modelReceivers, id)]
}

func (m *model) any(rt *rapid.T) *modelReceiver {
	return m.receivers[rapid.IntRange(0, len(m.receivers)-1).Draw(rt, "receiver")]
}

func (m *model) pay(rt *rapid.T) {
	r := m.any(rt)
	n := rapid.IntRange(0, len(r.handed)).Draw(rt, "payments")
	for range n {
		i := 0
		if rapid.IntRange(0, 9).Draw(rt, "order") == 0 {
			i = rapid.IntRange(0, len(r.handed)-1).Draw(rt, "which")
		}
		m.payOne(r, i)
	}
}

func (m *model) payOne(r *modelReceiver, i int) {
	seq := r.handed[i]
	r.handed = slices.Delete(r.handed, i, i+1)
	k, _ := slices.BinarySearch(r.owed, seq)
	r.owed = slices.Delete(r.owed, k, k+1)
	r.paid[seq] = m.o.Store.Status().Commits
	m.o.Paid(r.id, seq)
	message := m.all[seq]
	message.open--
	if message.open == 0 {
		m.paid = append(m.paid, seq)
	}
}

func (m *model) payAll(r *modelReceiver) {
	for len(r.handed) > 0 {
		m.payOne(r, 0)
	}
}

func (m *model) fetch(rt *rapid.T) {
	m.fetchSome(m.any(rt), rapid.IntRange(1, 300).Draw(rt, "limit"))
}

func (m *model) fetchAll(r *modelReceiver) {
	for done := false; !done; {
		m.fetchSome(r, 1000)
		done = r.caughtUp
	}
}

func (m *model) fetchSome(r *modelReceiver, limit int) {
	next, caughtUp := m.o.Fetch(r.id, limit)
	if len(next) > limit {
		m.rt.Fatalf("%d messages, asked for %d", len(next), limit)
	}
	from, _ := slices.BinarySearch(r.owed, r.next)
	want := r.owed[from:]
	if len(next) > len(want) || caughtUp != (len(next) == len(want)) {
		m.rt.Fatalf("receiver %d: %d of %d messages, caught up %v", r.id, len(next), len(want), caughtUp)
	}
	if len(next) == 0 && !caughtUp {
		m.rt.Fatalf("receiver %d: nothing, and not caught up", r.id)
	}
	for i, d := range next {
		if d.Seq != want[i] {
			m.rt.Fatalf("receiver %d: message %d instead of %d", r.id, d.Seq, want[i])
		}
		if got, want := string(d.Message.Payload), string(message(m.all[d.Seq].number).Payload); got != want {
			m.rt.Fatalf("message %d: %q instead of %q", d.Seq, got, want)
		}
		if again := d.Seq <= r.sent; d.Again != again && !(d.Again && r.unsure) {
			m.rt.Fatalf("receiver %d, message %d: again %v", r.id, d.Seq, d.Again)
		}
		r.handed = append(r.handed, d.Seq)
		r.next = d.Seq + 1
	}
	if len(next) > 0 {
		r.sent = max(r.sent, next[len(next)-1].Seq)
	}
	r.caughtUp = caughtUp
}

func (m *model) rewind(rt *rapid.T) {
	r := m.any(rt)
	m.o.Store.Rewind(r.id)
	r.handed, r.next, r.caughtUp = nil, 0, len(r.owed) == 0
}

// settle waits until what is not held any more is settled. What everybody has
// paid is settled as well.
func (m *model) settle(*rapid.T) {
	m.o.UntilSettled(m.due...)
	m.due = nil
	for _, seq := range m.paid {
		if !m.o.Settled[seq] {
			m.rt.Fatalf("message %d is paid, and not settled", seq)
		}
	}
}

func (m *model) restart(*rapid.T) {
	if m.o.Restart == nil {
		return
	}
	m.reopened(m.o.Restart(m.t), 0, false)
}

func (m *model) crash(rt *rapid.T) {
	if m.o.Crash == nil {
		m.restart(rt)
		return
	}
	commits := m.o.Store.Status().Commits
	m.reopened(m.o.Crash(m.t), commits, true)
}

// reopened checks what a new store holds.
func (m *model) reopened(o Opened, commits uint64, crashed bool) {
	settled := m.o.Settled
	m.o = NewOwner(m.o.T, o)
	m.o.Settled = settled
	m.paid, m.due = nil, nil
	for _, r := range m.receivers {
		r.handed, r.next, r.caughtUp = nil, 0, len(r.owed) == 0
		r.unsure = true
		for _, seq := range r.owed {
			settled[seq] = settled[seq] || !crashed
		}
		if crashed {
			m.learn(r, settled, commits)
		}
		clear(r.paid)
	}
}

// learn takes over what a crash has left to a receiver: all that was settled and
// not paid, perhaps some that was not settled, and of what was paid only that
// after which no group was gathered and written.
func (m *model) learn(r *modelReceiver, settled map[core.Seq]bool, commits uint64) {
	var left []core.Seq
	for _, d := range m.o.FetchAll(r.id, 1000) {
		if len(left) > 0 && d.Seq <= left[len(left)-1] {
			m.rt.Fatalf("receiver %d: message %d after %d", r.id, d.Seq, left[len(left)-1])
		}
		if got, want := string(d.Message.Payload), string(message(m.all[d.Seq].number).Payload); got != want {
			m.rt.Fatalf("message %d: %q instead of %q", d.Seq, got, want)
		}
		left = append(left, d.Seq)
	}
	for _, seq := range r.owed {
		if _, ok := slices.BinarySearch(left, seq); !ok && settled[seq] {
			m.rt.Fatalf("receiver %d: message %d was settled and is lost", r.id, seq)
		}
	}
	for _, seq := range left {
		if _, ok := slices.BinarySearch(r.owed, seq); ok {
			continue
		}
		at, ok := r.paid[seq]
		if !ok {
			m.rt.Fatalf("receiver %d: message %d was never owed, or paid before the last crash", r.id, seq)
		}
		if at+2 <= commits {
			m.rt.Fatalf("receiver %d: message %d is repeated, %d commits after it was paid", r.id, seq, commits-at)
		}
	}
	for _, seq := range left {
		m.o.Settled[seq] = true
	}
	r.owed, r.handed, r.caughtUp = left, slices.Clone(left), true
	if len(left) > 0 {
		r.next = left[len(left)-1] + 1
		r.sent = max(r.sent, left[len(left)-1])
	}
}

// check compares what can be seen without a call that changes anything.
func (m *model) check(rt *rapid.T) {
	if len(m.o.Dropped) > 0 {
		rt.Fatalf("dropped %v", m.o.Dropped)
	}
	for _, r := range m.receivers {
		if got := m.o.Store.Owed(r.id); got != uint64(len(r.owed)) {
			rt.Fatalf("receiver %d: owed %d, want %d", r.id, got, len(r.owed))
		}
	}
}
