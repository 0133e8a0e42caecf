package broker

import "time"

// sweepEvery is how long a retained message that has expired may stay. It is sent to
// nobody from the moment on [MQTT-3.3.2-5], but a topic that never comes again would
// keep its memory, and its place among the retained ones, for good.
const sweepEvery = time.Minute

// awaitSweep lets one happen, after a retained message that expires was laid down.
func (b *Broker) awaitSweep() {
	if b.sweepTimer.index == 0 {
		b.timers.set(&b.sweepTimer, b.now.Add(sweepEvery))
	}
}

// sweep takes away the retained messages that have expired, a slice at a time.
func (b *Broker) sweep(time.Time) {
	cursor := b.retained.Cursor("#")
	b.work(func() (more bool) {
		var gone []string
		for name, r := range cursor.Next(sliceSize) {
			switch {
			case r.whole == nil || r.whole.Expiry == 0:
			case r.whole.Expired(b.stamp):
				gone = append(gone, name)
			default:
				b.awaitSweep()
			}
		}
		for _, name := range gone {
			b.unsetRetained(name)
			b.noteUnsaved(name)
		}
		return !cursor.Done()
	})
}
