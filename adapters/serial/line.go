package serial

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/weir-edge/weir/adapters/serialport"
	"github.com/weir-edge/weir/core"
)

// line turns what comes over the open line into readings. The goroutine of
// Adapter.Run owns it; it outlives the port, which may be opened many times.
type line struct {
	// Static after construction.
	cfg    Config
	dec    *decoder
	clock  *core.Clock
	log    *slog.Logger
	status *status
	out    *reports

	// While the line is open.
	port port
	poll poller
	last time.Time // when bytes came last, or the line was opened

	buf    [4096]byte
	doc    document
	values []value
}

// run reads the line until the port fails.
func (l *line) run(p port) error {
	l.port = p
	l.poll = poller{every: l.cfg.Request.Every, timeout: l.cfg.Request.Timeout}
	l.last = time.Now()
	l.dec.frames.join()
	for {
		if err := l.ask(time.Now()); err != nil {
			return err
		}
		n, err := l.port.Read(l.buf[:], l.deadline())
		now := time.Now()
		switch {
		case err == nil:
			l.received(l.buf[:n], now)
		case errors.Is(err, serialport.ErrTimeout):
			l.paused(now)
		default:
			return err
		}
	}
}

// deadline is when something is to be done even if no byte comes; zero: never.
func (l *line) deadline() time.Time {
	at := l.poll.deadline()
	if l.dec.frames.wantsQuiet() {
		if quiet := l.last.Add(l.cfg.quietAfter()); at.IsZero() || quiet.Before(at) {
			at = quiet
		}
	}
	return at
}

// ask sends the request when it is time to.
func (l *line) ask(now time.Time) error {
	if l.poll.overdue(now) {
		l.silent(fmt.Sprintf("no answer within %v", l.cfg.Request.Timeout), now)
	}
	if !l.poll.mustAsk(now) {
		return nil
	}
	// 1. what came unasked, or too late, is no answer to what is asked now;
	if err := l.port.Flush(); err != nil {
		return err
	}
	l.dec.frames.restart()
	// 2. ask;
	err := l.port.Write([]byte(l.cfg.Request.Send))
	l.status.asked()
	// 3. the answer has its time from now on.
	l.poll.asked(time.Now())
	if errors.Is(err, serialport.ErrTimeout) {
		l.poll.answered()
		l.silent("the line does not take the request", now)
		return nil
	}
	return err
}

// silent: the device did not answer.
func (l *line) silent(why string, now time.Time) {
	l.status.count(noAnswer)
	l.status.trouble(why, false)
	l.out.noValue(why, l.clock.At(now))
}

// received takes the bytes that have come.
func (l *line) received(b []byte, now time.Time) {
	l.last = now
	for frame := range l.dec.frames.feed(b) {
		l.frame(frame, now)
	}
}

// paused: nothing came until the deadline.
func (l *line) paused(now time.Time) {
	if !l.dec.frames.wantsQuiet() || now.Sub(l.last) < l.cfg.quietAfter() {
		return
	}
	if frame := l.dec.frames.quiet(); frame != nil {
		l.frame(frame, l.last)
	}
}

// frame reads a frame whose last byte came at a time, and reports what it says.
func (l *line) frame(frame []byte, at time.Time) {
	l.doc.reset()
	err := l.dec.parser.parse(frame, &l.doc)
	if err == nil {
		l.values, err = l.dec.shaper.shape(l.values[:0], &l.doc)
	}
	switch {
	case errors.Is(err, errForeign):
	case err != nil:
		l.status.count(unparsed)
		l.status.trouble("a frame was refused: "+err.Error(), true)
		l.log.Debug("frame refused", "error", err, "frame", frame)
	default:
		l.poll.answered()
		l.status.heard(at)
		l.out.report(l.doc.device, l.values, l.clock.At(at))
	}
}
