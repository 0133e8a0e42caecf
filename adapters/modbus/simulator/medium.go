package simulator

import (
	"context"
	"io"
	"os"
	"time"
)

// Line carries the bytes of RTU or ASCII frames: the master side of a
// pseudo-terminal, a connection.
type Line interface {
	io.ReadWriter
	SetReadDeadline(time.Time) error
}

// medium is a line with the time that bytes take on it, for the framings of
// serial lines.
type medium struct {
	slave *Slave
	line  Line
	wire  Wire
	count *counts
	done  <-chan struct{}

	frameEnd time.Time // when the last request's last byte was on the wire; owned by next

	turn turn
	idle time.Time // when the wire is free again; guarded by turn
}

// serveLine answers what comes over line until ctx ends, or the line is gone.
func (s *Slave) serveLine(ctx context.Context, line Line, wire Wire, framed func(medium) framing) error {
	m := medium{slave: s, line: line, wire: wire, count: &s.count, done: ctx.Done(), turn: newTurn()}
	defer context.AfterFunc(ctx, func() { _ = line.SetReadDeadline(time.Unix(1, 0)) })()
	err := s.serve(ctx, framed(m))
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// read reads into b; patience is how long, and 0 is for ever.
func (m *medium) read(b []byte, patience time.Duration) (int, error) {
	deadline := time.Time{}
	if patience > 0 {
		deadline = time.Now().Add(patience)
	}
	// The end of ctx sets a deadline too, and must not be undone.
	if err := m.line.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	if m.stopped() {
		return 0, os.ErrDeadlineExceeded
	}
	return m.line.Read(b)
}

func (m *medium) stopped() bool {
	select {
	case <-m.done:
		return true
	default:
		return false
	}
}

// onWire accounts for a request of n bytes that begins now. It is not heard on a
// strict wire, when it came too early.
func (m *medium) onWire(begun time.Time, n int) (heard bool) {
	m.turn.take()
	defer m.turn.give()
	heard = true
	if m.wire.Char > 0 && begun.Sub(m.idle) < m.wire.Quiet-m.wire.slack() {
		m.count.violations.Add(1)
		heard = !m.wire.Strict
	}
	took := time.Duration(n) * m.wire.Char
	m.frameEnd = begun.Add(took)
	m.idle = later(m.idle, m.frameEnd)
	m.count.busy.Add(int64(took))
	return heard
}

// emit puts b onto the wire, where each byte takes its time. A line that is gone
// makes next fail, so the error of writing says nothing new.
func (m *medium) emit(b []byte, from time.Time) {
	m.turn.take()
	defer m.turn.give()
	from = later(from, m.idle)
	m.wire.write(m.line, b, from)
	took := time.Duration(len(b)) * m.wire.Char
	m.idle = from.Add(took)
	m.count.busy.Add(int64(took))
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
