package storagetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/weir-edge/weir/core"
)

// Opened is a store that a test may use as its owner.
type Opened struct {
	Store Store
	// Wake gets a token whenever the store has something to collect.
	Wake <-chan struct{}
	// Restart closes the store and opens it again. Nil: it keeps nothing.
	Restart func(t testing.TB) Opened
	// Crash opens what a kill at this moment would have left. Nil: Restart does.
	Crash func(t testing.TB) Opened
	// Close ends the store. Nil: nothing to do.
	Close func() error
}

// Waker makes a Notify function and the channel that it puts tokens into.
func Waker() (notify func(), wake <-chan struct{}) {
	c := make(chan struct{}, 1)
	return func() {
		select {
		case c <- struct{}{}:
		default:
		}
	}, c
}

// Owner drives a store as the broker loop does, and remembers what it was told.
type Owner struct {
	Opened
	T       Reporter
	Settled map[core.Seq]bool
	Synced  core.Ticket
	Dropped map[core.Reason]int

	answers map[core.ReceiverID]*answer
}

type answer struct {
	next     []core.Delivery
	caughtUp bool
	count    int
}

// Reporter is the part of a test that an Owner needs.
type Reporter interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// NewOwner takes a store over.
func NewOwner(t Reporter, o Opened) *Owner {
	return &Owner{
		Opened: o, T: t,
		Settled: make(map[core.Seq]bool), Dropped: make(map[core.Reason]int),
		answers: make(map[core.ReceiverID]*answer),
	}
}

// handler is how the store talks to an Owner.
type handler struct{ o *Owner }

func (h handler) Settled(seq core.Seq) {
	if h.o.Settled[seq] {
		h.o.T.Errorf("message %d was settled twice", seq)
	}
	h.o.Settled[seq] = true
}

func (h handler) Synced(t core.Ticket) {
	if t < h.o.Synced {
		h.o.T.Errorf("ticket %d after %d", t, h.o.Synced)
	}
	h.o.Synced = t
}

func (h handler) Fetched(r core.ReceiverID, next []core.Delivery, caughtUp bool) {
	a := h.o.answer(r)
	a.next, a.caughtUp = append(a.next, next...), caughtUp
	a.count++
}

func (h handler) Dropped(_ core.ReceiverID, why core.Reason, n int) { h.o.Dropped[why] += n }

func (o *Owner) answer(r core.ReceiverID) *answer {
	a := o.answers[r]
	if a == nil {
		a = &answer{}
		o.answers[r] = a
	}
	return a
}

// patience bounds every wait of a test for a store: only a failure takes as long, and a
// disk that others use may be slow.
const patience = 2 * time.Minute

// Turn is one turn of the loop.
func (o *Owner) Turn() (wait time.Duration) {
	o.Store.Collect(handler{o})
	return o.Store.Turn(time.Now())
}

// Until turns the loop until a condition holds.
func (o *Owner) Until(what string, done func() bool) {
	o.T.Helper()
	deadline := time.Now().Add(patience)
	for {
		wait := o.Turn()
		if done() {
			return
		}
		if time.Now().After(deadline) {
			o.T.Fatalf("waited too long for %s; status %+v", what, o.Store.Status())
		}
		if wait < 0 || wait > time.Second {
			wait = time.Second
		}
		select {
		case <-o.Wake:
		case <-time.After(wait):
		}
	}
}

// Append appends a message that must not be refused.
func (o *Owner) Append(m *core.Message, hold time.Duration, debts ...core.Debt) core.Seq {
	o.T.Helper()
	seq, settled, err := o.Store.Append(m, debts, hold)
	if err != nil {
		o.T.Fatalf("append: %v", err)
	}
	if settled {
		o.Settled[seq] = true
	}
	return seq
}

// Paid pays a debt.
func (o *Owner) Paid(r core.ReceiverID, seq core.Seq) {
	if o.Store.Paid(r, seq) {
		handler{o}.Settled(seq)
	}
}

// UntilSettled waits for the promise about messages.
func (o *Owner) UntilSettled(seqs ...core.Seq) {
	o.T.Helper()
	for _, seq := range seqs {
		o.Until(fmt.Sprintf("message %d to be settled", seq), func() bool { return o.Settled[seq] })
	}
}

// Fetch asks once and waits for the answer.
func (o *Owner) Fetch(r core.ReceiverID, messages int) (next []core.Delivery, caughtUp bool) {
	o.T.Helper()
	a := o.answer(r)
	count := a.count
	o.Store.Fetch(r, messages, 1<<20)
	o.Until("an answer to Fetch", func() bool { return a.count > count })
	next, a.next = a.next, nil
	return next, a.caughtUp
}

// FetchAll asks until r is caught up.
func (o *Owner) FetchAll(r core.ReceiverID, messages int) (all []core.Delivery) {
	o.T.Helper()
	for {
		next, caughtUp := o.Fetch(r, messages)
		all = append(all, next...)
		if caughtUp {
			return all
		}
		if len(next) == 0 {
			o.T.Fatalf("receiver %d: nothing fetched and not caught up", r)
		}
	}
}

// Drain fetches and pays everything that is owed to r.
func (o *Owner) Drain(r core.ReceiverID, messages int) (all []core.Delivery) {
	o.T.Helper()
	for {
		next, caughtUp := o.Fetch(r, messages)
		for _, d := range next {
			o.Paid(r, d.Seq)
		}
		all = append(all, next...)
		if caughtUp {
			return all
		}
	}
}

// Reopened is the owner of the store after a restart.
func (o *Owner) Reopened(t testing.TB) *Owner { return NewOwner(t, o.Restart(t)) }
