package serial

import "time"

// Event is something that happened on the line, for those who watch it. Its
// bytes are valid only until the watcher returns.
type Event struct {
	Time  time.Time
	Kind  EventKind
	Bytes []byte // of the frame, or of what was sent
	Text  string // which request; what was wrong
}

// EventKind says what an [Event] is.
type EventKind string

// The kinds of events.
const (
	Received EventKind = "frame"   // a whole frame, without what its framing and checksum took out
	Refused  EventKind = "refused" // a whole frame that could not be read
	Sent     EventKind = "sent"
	Dropped  EventKind = "dropped" // bytes, or a frame; Text is the reason as Status counts it
)

// Watch calls watch for each event from now on, on the adapter's goroutine. It
// must be called before Run.
func (a *Adapter) Watch(watch func(Event)) { a.watch = watch }
