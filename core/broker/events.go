package broker

import "github.com/weir-edge/weir/core"

// receiver is a durable receiver of the log: a session or a bridge rule.
type receiver interface {
	// fetched answers Fetch.
	fetched(next []core.Delivery, caughtUp bool)
	// drop counts what the receiver will not get.
	drop(why core.Reason, n int)
}

// events is what the store tells the loop.
type events struct{ b *Broker }

var _ core.LogHandler = (*events)(nil)

func (e *events) Settled(seq core.Seq) { e.b.settled(seq) }

func (e *events) Synced(t core.Ticket) {
	e.b.synced(t)
	e.b.giveRoom()
}

func (e *events) Fetched(r core.ReceiverID, next []core.Delivery, caughtUp bool) {
	if to := e.b.receivers[r]; to != nil {
		to.fetched(next, caughtUp)
	}
}

func (e *events) Dropped(r core.ReceiverID, why core.Reason, n int) {
	if to := e.b.receivers[r]; to != nil {
		to.drop(why, n)
		return
	}
	e.b.drop(why, n)
}

// settled notes that the promise about seq holds. Who waits for it is told at the
// end of the turn: it may be the very message that is on its way just now, and
// nobody waits yet.
func (b *Broker) settled(seq core.Seq) { b.done = append(b.done, seq) }

// settleDone tells those who waited.
func (b *Broker) settleDone() {
	for i := 0; i < len(b.done); i++ { // telling one may settle another
		seq := b.done[i]
		w, ok := b.waiting[seq]
		if !ok {
			continue
		}
		delete(b.waiting, seq)
		for w := &w; w != nil; w = w.next {
			if w.conn != nil {
				w.conn.acks.Settled(seq)
				b.touch(w.conn)
			}
			w.deferred.came()
		}
	}
	b.done = b.done[:0]
}

// synced lets go on what waited for tickets up to t, in order.
func (b *Broker) synced(t core.Ticket) {
	b.gate.Synced(t)
	for {
		g, ok := b.gate.Pop()
		if !ok {
			return
		}
		switch {
		case g.do != nil:
			g.do()
		case g.conn != nil:
			g.conn.acks.Synced(t)
			b.touch(g.conn)
		}
		g.deferred.came()
	}
}

// came: one of the things that d waits for has come.
func (d *deferred) came() {
	if d == nil {
		return
	}
	if d.waits--; d.waits == 0 {
		d.do()
	}
}
