package broker

import (
	"time"

	"github.com/weir-edge/weir/core"
)

// A publisher of QoS 1 and 2 can be faster than the disk. Then the store has no room
// in memory for a moment (core.ErrBusy), and the publisher is held back by not reading
// from it: TCP tells it. The PUBLISH for which there was no room stays where it is, in
// the connection's input, and is handled again, as if it had just come, when a commit
// has made room. So nothing is refused that a disk can take, however slow; those who
// need no disk go on; and a store that is full says so instead (core.ErrFull), to the
// held ones as to all others.

const (
	// roomEvery is how often those who wait try again without a commit: room comes
	// about by acknowledgements, too, and a store that has become full has to be found
	// out.
	roomEvery = 50 * time.Millisecond
	// crampedInput is what is read from a socket at once while some wait: it may have to
	// be kept.
	crampedInput = 4 << 10
)

// awaitRoom lets something be tried again when the store may have room, behind others
// that wait. It is to call awaitRoom once more if there is none.
func (b *Broker) awaitRoom(again func()) (cancel func()) {
	b.noRoom = true
	return b.retryLater(again)
}

// retryLater lets something be tried again after the next commit, or a little while.
func (b *Broker) retryLater(again func()) (cancel func()) {
	if b.cramped.Len() == 0 {
		b.timers.set(&b.roomTimer, b.now.Add(roomEvery))
	}
	at := b.cramped.PushBack(again)
	return func() { b.cramped.Remove(at) }
}

// giveRoom lets those who wait go on, in order, until there is no room for one.
func (b *Broker) giveRoom() {
	b.noRoom = false
	for n := b.cramped.Len(); n > 0 && b.cramped.Len() > 0 && !b.noRoom; n-- {
		again := b.cramped.Remove(b.cramped.Front()).(func())
		again()
	}
	if b.cramped.Len() > 0 {
		b.timers.set(&b.roomTimer, b.now.Add(roomEvery))
	}
}

// hold leaves the present PUBLISH in the input, as if it had not come.
func (c *conn) hold() {
	c.gave = false
	c.broker.counters.storeWaits++
	c.waits = c.broker.awaitRoom(func() {
		c.waits = nil
		c.goOn()
	})
	c.hear()
}

// goOn handles what was left in the input.
func (c *conn) goOn() {
	c.heard = c.broker.now // it may have spoken: we did not listen
	c.digest()
	c.hear()
}

// Nor may answers that wait for the disk use up the memory: who has too many of them to
// come is not read from until half of them have left. One packet more now and then finds
// out whether the store refuses by now: then nothing will come.

// maxUnanswered is more than a client needs to keep a disk busy that syncs in 100 ms.
const maxUnanswered = 4096

// answer gives an answer when t is synced. It counts for n.
func (c *conn) answer(t core.Ticket, n int, send func()) {
	if t == 0 {
		send()
		return
	}
	c.unanswered += n
	c.overdraw()
	c.broker.after(t, func() {
		c.unanswered -= n
		send()
		c.relent()
	})
}

func (c *conn) overdraw() {
	if c.overdrawn == nil && c.acks.Len()+c.unanswered >= maxUnanswered {
		c.overdrawn = c.broker.retryLater(func() {
			c.overdrawn = nil
			c.goOn()
		})
		c.hear()
	}
}

func (c *conn) relent() {
	if c.overdrawn != nil && c.phase == open && c.acks.Len()+c.unanswered <= maxUnanswered/2 {
		c.overdrawn()
		c.overdrawn = nil
		c.goOn()
	}
}
