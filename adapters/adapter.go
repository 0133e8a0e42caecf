package adapters

import (
	"context"

	"github.com/weir-edge/weir/core"
)

// Bus is what an adapter sees of the gateway. Its methods may be called from any
// goroutine and do not wait for the disk or a peer.
type Bus interface {
	// Publish hands m over; the caller must not change it afterwards.
	// core.ErrFull: there is no room, the reading is lost and counted.
	Publish(m *core.Message) error
	// Subscribe calls deliver for each message that matches filter, until cancel.
	// deliver runs on a goroutine of the bus and must return soon.
	Subscribe(filter string, deliver func(*core.Message)) (cancel func(), err error)
}

// Adapter is one configured source of readings.
type Adapter interface {
	// Run works until ctx ends and then returns nil. Any error means that it can't
	// go on by itself: the supervisor waits and calls Run again.
	Run(ctx context.Context, bus Bus) error
	// Status is a snapshot; it may be called at any time from any goroutine.
	Status() core.AdapterStatus
}

// Tracer is an adapter whose line can be looked at.
type Tracer interface {
	// Trace has each transaction told until stop is called. tell does not wait.
	Trace(tell func(core.Transaction)) (stop func())
}
