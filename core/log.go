package core

import (
	"crypto/rand"
	"encoding/binary"
	"time"
)

// NewReceiverID draws an id that was never given before (63 random bits).
func NewReceiverID() ReceiverID {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return ReceiverID(binary.LittleEndian.Uint64(b[:])>>1 | 1)
}

// Debt says that a message is owed to a receiver.
type Debt struct {
	Receiver ReceiverID
	// Live: the broker hands the message to the receiver itself, from memory, now.
	// Not live: the receiver is offline or behind and will fetch it from the log. The
	// log may make a debt that was live one that is not: then it is to be fetched.
	Live bool
}

// Ticket numbers group commits. A change recorded under ticket n is durable
// once the log has said Synced(m) with m >= n.
type Ticket uint64

// Policy bounds what may be owed to one receiver.
type Policy struct {
	Priority int           // 0..9; when the budget is used up the lowest gives way first
	MaxBytes int64         // 0: only the budget
	MaxAge   time.Duration // elapsed time; 0: for ever
	OnFull   OnFull
}

// OnFull is what happens to a message for which there is no room.
type OnFull string

// The choices of on_full.
const (
	Refuse     OnFull = "refuse"      // the publication is refused (0x97; 3.1.1: not acknowledged)
	DropOldest OnFull = "drop-oldest" // the oldest of the lowest priority go
	DropNewest OnFull = "drop-newest" // this receiver does not get it
)

// LogHandler learns what became of what was given to the log. All its methods
// are called from within Collect, on the goroutine of the log's owner.
type LogHandler interface {
	// Settled: the promise about seq holds now, because it was synced.
	// (Where Append or Paid said so already it is not called.)
	Settled(seq Seq)
	// Synced: all changes recorded under tickets up to t are durable.
	Synced(t Ticket)
	// Fetched answers Fetch: the next messages owed to r, in order. caughtUp
	// means that nothing else is owed to r in the log at this moment, so that
	// from now on r may be served live.
	Fetched(r ReceiverID, next []Delivery, caughtUp bool)
	// Dropped: n messages that were owed to r are owed no more.
	Dropped(r ReceiverID, why Reason, n int)
}
