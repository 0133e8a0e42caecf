package broker

import (
	"time"

	"github.com/weir-edge/weir/core"
)

// Store is the ordered log with the broker's durable state between its
// messages. The broker loop owns it: all methods are called from the loop only,
// and none of them waits for the disk, a lock or a peer. What takes long is done
// by the store's own goroutines, whose results are fetched by Collect; the store
// calls the function that it was given at Open whenever there is something to
// collect.
type Store interface {
	Log
	State
	Commits
}

// Log keeps messages for as long as they are owed.
type Log interface {
	// Append takes m, owed to the receivers of debts (not empty; the slice is the
	// caller's again on return, and says who gets the message live: see core.Debt). The message stays in memory for up to hold, in
	// the hope that all debts are paid by then, and is written with a group commit
	// otherwise; hold <= 0 writes it with the next one. settled says that the
	// promise holds already (promise: memory). ErrFull refuses the message:
	// nothing has happened then. It is an ErrBusy while there is only no room in
	// memory: a commit will make some.
	Append(m *core.Message, debts []core.Debt, hold time.Duration) (seq core.Seq, settled bool, err error)

	// Paid pays a debt. settled says that the message was not on disk and that
	// this was its last debt: the promise holds. Paying twice is harmless.
	Paid(r core.ReceiverID, seq core.Seq) (settled bool)

	// Fetch asks for the next messages owed to r after those fetched or handed
	// over live since the last Rewind. The answer is Fetched; one request a
	// receiver is on its way at a time, another is ignored meanwhile.
	Fetch(r core.ReceiverID, maxMessages, maxBytes int)

	// Rewind is called when r lost its connection or fell behind: everything
	// unpaid will be fetched again from the oldest on (marked Again), and what is
	// still in memory is written with the next group commit. An answer to an
	// earlier Fetch is not delivered any more.
	Rewind(r core.ReceiverID)

	// Owed counts what is owed to r.
	Owed(r core.ReceiverID) (messages uint64)

	// SetInflight says how many messages r may have under way, if that is more than
	// usual. After a kill a quarter of that may come again although it was paid.
	SetInflight(r core.ReceiverID, n int)

	// SetPolicy bounds what may be owed to r. Default: no bound but the budget, DropOldest.
	SetPolicy(r core.ReceiverID, p core.Policy)
}

// State keeps the fold of all changes.
type State interface {
	// Record puts a change behind everything appended or recorded before. It is
	// written with the next group commit; a lazy one does not bring a commit about
	// but rides with the next, at the latest after the store's retained_flush.
	Record(c core.Change, lazy bool) core.Ticket
	// Load gives the state as it was at Open, before the first Record: owners before
	// what they own, subscriptions before packet ids.
	Load(visit func(core.Change)) error
}

// Commits drives the group commits.
type Commits interface {
	// Turn is called at the end of every turn of the loop: it gives what is due to
	// the committer, and says how long until it wants to be called again (< 0: when
	// something was appended, recorded or collected).
	Turn(now time.Time) (wait time.Duration)
	// Collect reports to h what was done since.
	Collect(h core.LogHandler)
	// Refuses says that what is recorded now does not become durable before somebody has
	// done something about the disk: it is full, or fails, or does not answer.
	Refuses() bool
	// Status is a snapshot for the console.
	Status() core.BufferStatus
}
