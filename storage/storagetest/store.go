package storagetest

import (
	"time"

	"github.com/weir-edge/weir/core"
)

// Store is the contract of the broker's store, said again here so that neither
// package needs the other. The comments are with core/broker's.
type Store interface {
	Append(m *core.Message, debts []core.Debt, hold time.Duration) (seq core.Seq, settled bool, err error)
	Paid(r core.ReceiverID, seq core.Seq) (settled bool)
	Fetch(r core.ReceiverID, maxMessages, maxBytes int)
	Rewind(r core.ReceiverID)
	Owed(r core.ReceiverID) (messages uint64)
	SetInflight(r core.ReceiverID, n int)
	SetPolicy(r core.ReceiverID, p core.Policy)
	Record(c core.Change, lazy bool) core.Ticket
	Load(visit func(core.Change)) error
	Turn(now time.Time) (wait time.Duration)
	Collect(h core.LogHandler)
	Refuses() bool
	Status() core.BufferStatus
}
