package serial

import (
	"errors"
	"log/slog"
	"time"

	"github.com/weir-edge/weir/adapters/serial/exchange"
	"github.com/weir-edge/weir/adapters/serial/frame"
	"github.com/weir-edge/weir/adapters/serial/parse"
	"github.com/weir-edge/weir/adapters/serialport"
	"github.com/weir-edge/weir/core"
)

// The kinds of errors that Status shows beside those of package frame.
const (
	unparsed = "parse"      // a whole frame that is not what was expected
	noAnswer = "no-answer"  // to a request, in time
	unexpect = "unexpected" // a frame that is not the answer to what was asked
	overRate = "rate"       // a frame beyond the maximum rate
	silent   = "silent"     // nothing came for so long that the values are stale
	full     = "full"       // no room in the gateway for the reading
	refused  = "refused"    // the gateway can't publish the reading
	gone     = "gone"       // the device vanished
	tooMany  = "points"     // more names than one line may have
)

// line turns what comes over the open line into readings. The goroutine of
// Adapter.Run owns it; it outlives the port, which may be opened many times.
type line struct {
	// Static after construction.
	cfg     Config
	unasked reader
	clock   *core.Clock
	log     *slog.Logger
	status  *status
	watch   func(Event)
	asks    []*ask

	// Owned by the adapter's goroutine.
	frames   *frame.Deframer
	out      *reports
	rotation *exchange.Rotation
	commands *inbox // what is put in comes from others
	limit    limiter
	pace     pace

	// While the line is open.
	port    port
	current *ask      // whose answer is awaited
	wrong   string    // what came instead of it
	last    time.Time // when bytes came last, or the line was opened
	good    time.Time // when the last good frame came, or the line was opened
	stale   bool

	buf    [4096]byte
	doc    parse.Document
	values []parse.Value
}

// run reads the line until the port fails.
func (l *line) run(p port) error {
	l.port, l.current, l.stale = p, nil, false
	l.rotation.Restart()
	l.last = time.Now()
	l.good = l.last
	l.frames.Join()
	for {
		if err := l.talk(time.Now()); err != nil {
			return err
		}
		n, err := l.port.Read(l.buf[:], l.deadline())
		now := time.Now()
		switch {
		case err == nil:
			l.received(l.buf[:n], now)
			l.rest(n, now)
		case errors.Is(err, serialport.ErrTimeout):
			l.paused(now)
		default:
			return err
		}
	}
}

// deadline is when something is to be done even if no byte comes; zero: never.
func (l *line) deadline() time.Time {
	at := l.rotation.Deadline()
	if l.commands.waiting() && l.current == nil {
		at = earlier(at, l.rotation.Free())
	}
	if l.frames.WantsQuiet() {
		at = earlier(at, l.last.Add(l.cfg.quietAfter()))
	}
	if l.mayBeStale() {
		at = earlier(at, l.good.Add(l.cfg.StaleAfter))
	}
	return at
}

// earlier is the earlier of two times, of which the first may be zero.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// rest leaves the line alone for a moment, so that more bytes come together.
func (l *line) rest(came int, now time.Time) {
	d := l.pace.rest(came, l.frames.Unfinished(), now)
	if at := l.deadline(); !at.IsZero() {
		d = min(d, at.Sub(now))
	}
	if d > 0 {
		l.port.Rest(d) // too short to be worth an interruption
	}
}

// received takes the bytes that have come.
func (l *line) received(b []byte, now time.Time) {
	l.last = now
	for f := range l.frames.Feed(b) {
		l.pace.framed(l.frames.Size())
		l.frame(f, now)
	}
}

// paused: nothing came until the deadline.
func (l *line) paused(now time.Time) {
	if l.mayBeStale() && now.Sub(l.good) >= l.cfg.StaleAfter {
		l.stale = true
		why := "nothing was received for " + l.cfg.StaleAfter.String()
		l.status.count(silent)
		l.status.trouble("", why, false)
		l.out.stale(why, l.clock.At(now))
	}
	if !l.frames.WantsQuiet() || now.Sub(l.last) < l.cfg.quietAfter() {
		return
	}
	if f := l.frames.Quiet(); f != nil {
		l.frame(f, l.last)
	}
}

// mayBeStale says whether silence can make the values stale.
func (l *line) mayBeStale() bool {
	return l.cfg.StaleAfter > 0 && !l.stale && len(l.cfg.Requests) == 0
}

// frame gives a frame whose last byte came at a time to whom it is for.
func (l *line) frame(f []byte, at time.Time) {
	switch a := l.current; {
	case a != nil && a.answeredBy(f):
		l.answer(a, f, at)
	case a != nil && (a.command == nil || len(l.asks) > 0):
		l.wrong = string(f[:min(len(f), 40)])
		l.drop(unexpect, f, at)
	case a != nil:
		l.wrong = string(f[:min(len(f), 40)])
		l.read(l.unasked, "", f, at)
	case len(l.asks) > 1 || len(l.asks) == 1 && l.asks[0].expect != nil:
		l.drop(unexpect, f, at) // too late: nobody knows whose it is
	case len(l.asks) == 1:
		l.read(l.asks[0].reader, l.asks[0].device, f, at)
	default:
		l.read(l.unasked, "", f, at)
	}
}

func (l *line) drop(kind string, f []byte, at time.Time) {
	l.status.count(kind)
	l.watch(Event{at, Dropped, f, kind})
}

// read reports what a frame says; false: it could not be read.
func (l *line) read(r reader, device string, f []byte, at time.Time) bool {
	if !l.limit.allow(at) {
		l.drop(overRate, f, at)
		return false
	}
	l.doc.Reset()
	err := r.parser.Parse(f, &l.doc)
	if err == nil {
		l.values, err = r.shaper.Shape(l.values[:0], &l.doc)
	}
	switch {
	case errors.Is(err, parse.ErrForeign):
		l.watch(Event{at, Received, f, "not asked for"})
		return false
	case err != nil:
		l.status.count(unparsed)
		l.status.trouble(device, "a frame was refused: "+err.Error(), true)
		l.log.Debug("frame refused", "error", err, "frame", f)
		l.watch(Event{at, Refused, f, err.Error()})
		return false
	}
	l.good, l.stale = at, false
	l.watch(Event{at, Received, f, device})
	l.status.heard(device, at)
	if l.doc.Device != "" {
		device = l.doc.Device
	}
	l.out.report(device, l.values, l.clock.At(at))
	return true
}
