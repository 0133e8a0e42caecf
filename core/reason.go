package core

import (
	"errors"
	"fmt"
)

// Reason says why a message, a connection or a frame was dropped. It is the
// label of the counter, the word in the log and the text on the console.
type Reason string

// The reasons for which a message is dropped.
const (
	DroppedQueueFull    Reason = "queue-full"    // the receiver's queue has reached its bound
	DroppedStoreFull    Reason = "store-full"    // the budget or the disk is used up, by the rule's on_full
	DroppedRetainedFull Reason = "retained-full" // max_retained_bytes is used up
	DroppedExpired      Reason = "expired"       // message expiry or max_age
	DroppedOffline      Reason = "offline"       // QoS 0 for a receiver that is not there
	DroppedTooLarge     Reason = "too-large"     // more than the receiver takes
	DroppedUnfit        Reason = "unfit"         // the receiver cannot express the topic
	DroppedDenied       Reason = "denied"        // the receiver may not read the topic
	DroppedUnreadable   Reason = "unreadable"    // damaged in the store, see quarantine
	DroppedSessionGone  Reason = "session-gone"  // its session ended or expired
	DroppedLoop         Reason = "loop"          // it has passed too many gateways
	DroppedRejected     Reason = "rejected"      // the receiver refused it with a reason code
	DroppedByHand       Reason = "by-hand"       // somebody gave it up
	DroppedSuperseded   Reason = "superseded"    // a newer one of its topic came within the rule's min_interval
	DroppedDeadband     Reason = "deadband"      // it differs too little from the last one sent
)

// What Append, Publish and their kin return. They are decisions for the caller,
// compared with errors.Is.
var (
	// ErrFull: the store or a queue has no room; refuse the publication (0x97).
	ErrFull = errors.New("no room left in the store")
	// ErrBusy: the store has no room at this moment only, until its disk has caught up.
	// Who cannot wait takes it for what it is, an ErrFull.
	ErrBusy = fmt.Errorf("%w for a moment", ErrFull)
	// ErrClosed: the gateway is stopping.
	ErrClosed = errors.New("gateway is stopping")
	// ErrInvalid: topic or properties that MQTT does not allow.
	ErrInvalid = errors.New("invalid publication")
)
