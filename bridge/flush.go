package bridge

import (
	"fmt"
	"time"
)

// flush gives the writer what has come together, if it is free.
func (l *link) flush() {
	if l.writing || len(l.filling) == 0 {
		return
	}
	l.b.status.writes.Add(1)
	l.unread = 0
	n, err := l.wire.tryWrite(l.filling)
	switch {
	case err != nil:
		l.fail(fmt.Errorf("write: %w", err))
		return
	case n == len(l.filling):
		l.sent = l.now
		if l.filling = l.filling[:0]; cap(l.filling) > keepBuffer {
			l.filling = nil
		}
		return
	}
	l.filling = append(l.filling[:0], l.filling[n:]...)
	l.wire.send(l.filling)
	l.filling, l.spare = l.spare, nil
	l.writing, l.sent = true, l.now
}

// keepBuffer is the largest buffer that is used again: a large message now and
// then does not cost its size for ever.
const keepBuffer = 4 * fillMost

func (l *link) wrote(w batch) {
	l.writing = false
	if w.err != nil {
		l.fail(w.err)
		return
	}
	if cap(w.buf) <= keepBuffer {
		l.spare = w.buf[:0]
	}
}

// idle lets the buffers go when nothing was sent for a while.
func (l *link) idle() {
	if len(l.filling) == 0 && !l.writing && l.now.Sub(l.sent) >= time.Second {
		l.filling, l.spare = nil, nil
	}
}
