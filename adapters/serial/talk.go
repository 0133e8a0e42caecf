package serial

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/weir-edge/weir/adapters"
	"github.com/weir-edge/weir/adapters/serial/exchange"
	"github.com/weir-edge/weir/adapters/serialport"
)

// ask is one request to one device, or one command.
type ask struct {
	*exchange.Exchange
	name    string
	device  string // "" where the line has only one
	send    []byte
	expect  []byte // nil: any frame is the answer
	at      int    // where it stands in the answer
	reader  reader
	command *adapters.Command // nil: a request
}

// answeredBy says whether a frame is the answer.
func (a *ask) answeredBy(f []byte) bool {
	if a.command != nil && a.expect == nil {
		return false // nothing was to come
	}
	return len(f) >= a.at && bytes.HasPrefix(f[a.at:], a.expect)
}

// asks makes what is asked in rotation: each request to each device.
func (c Config) asks() ([]*ask, error) {
	var all []*ask
	devices := c.Devices
	if len(devices) == 0 {
		devices = []Device{{}}
	}
	for _, r := range c.Requests {
		p := c.Parse
		if r.Parse != nil {
			p = *r.Parse
		}
		reader, err := newReader(p, c.Rule)
		if err != nil {
			return nil, err
		}
		for _, d := range devices {
			a := &ask{
				Exchange: &exchange.Exchange{Every: r.Every, Timeout: r.Timeout, Retries: r.Retries, Pause: r.Pause},
				name:     r.Name, device: d.Name, reader: reader,
			}
			if err := a.fill(r.Send, r.Expect, exchange.Values{Address: d.Address}); err != nil {
				return nil, err
			}
			all = append(all, a)
		}
	}
	return all, nil
}

// fill makes the bytes to send and to expect.
func (a *ask) fill(send exchange.Template, expect Expect, v exchange.Values) (err error) {
	if a.send, err = send.Execute(v); err != nil {
		return err
	}
	a.at = expect.At
	if expect.Bytes != "" {
		a.expect, err = expect.Bytes.Execute(v)
	}
	return err
}

func exchanges(asks []*ask) (all []*exchange.Exchange) {
	for _, a := range asks {
		all = append(all, a.Exchange)
	}
	return all
}

// talk says to the device what is to be said now.
func (l *line) talk(now time.Time) error {
	if l.current != nil && l.rotation.Overdue(now) {
		l.failed(l.current, l.whyNoAnswer(l.current), now)
	}
	if !l.rotation.Idle(now) {
		return nil
	}
	// A command that waits goes before the next request, but not before one that is
	// repeated: its answer may be on its way.
	next := l.picked(now)
	if next == nil || next.command == nil && !l.rotation.Repeats() {
		if c := l.nextCommand(now); c != nil {
			next = c
		}
	}
	if next == nil {
		return nil
	}
	return l.ask(next, now)
}

// picked is what the rotation has chosen; a command that is repeated isn't in l.asks.
func (l *line) picked(now time.Time) *ask {
	e := l.rotation.Pick(now)
	if e == nil {
		return nil
	}
	if l.commands.current != nil && l.commands.current.Exchange == e {
		return l.commands.current
	}
	for _, a := range l.asks {
		if a.Exchange == e {
			return a
		}
	}
	return nil
}

// ask sends a request or a command.
func (l *line) ask(a *ask, now time.Time) error {
	// 1. what came unasked, or too late, is no answer to what is asked now; where
	//    nobody is asked, what comes is worth keeping;
	if len(l.asks) > 0 {
		if err := l.port.Flush(); err != nil {
			return err
		}
		l.frames.Restart()
	}
	// 2. ask;
	err := l.port.Write(a.send)
	l.status.asked(a.device)
	// 3. the answer has its time from now on.
	sent := time.Now()
	l.rotation.Sent(a.Exchange, sent)
	l.current, l.wrong = a, ""
	l.watch(Event{sent, Sent, a.send, a.name})
	switch {
	case errors.Is(err, serialport.ErrTimeout):
		l.failed(a, "the line does not take the request", now)
		return nil
	case err == nil && a.command != nil && a.expect == nil:
		l.done(a, nil, sent) // what the device makes of it, it doesn't tell
	}
	return err
}

func (l *line) whyNoAnswer(a *ask) string {
	if l.wrong != "" && a.expect != nil {
		return fmt.Sprintf("no answer within %v, but %q", a.Timeout, l.wrong)
	}
	return fmt.Sprintf("no answer within %v", a.Timeout)
}

// failed: the device did not answer, or could not be asked.
func (l *line) failed(a *ask, why string, now time.Time) {
	l.status.count(noAnswer)
	l.status.failed(a.device)
	l.current = nil
	if l.rotation.Failed(now) {
		return
	}
	if a.command != nil {
		l.commands.done(errors.New(why))
		return
	}
	l.status.trouble(a.device, why, false)
	l.out.noValue(a.device, why, l.clock.At(now))
}

// answer takes the answer of the device. One that can't be read is none: a better
// one may follow.
func (l *line) answer(a *ask, f []byte, at time.Time) {
	if a.command != nil {
		l.watch(Event{at, Received, f, a.name})
		l.done(a, nil, at)
		return
	}
	if l.read(a.reader, a.device, f, at) {
		l.done(a, nil, at)
	}
}

// done ends the exchange.
func (l *line) done(a *ask, err error, at time.Time) {
	l.current = nil
	took := l.rotation.Answered(at)
	if a.command != nil {
		l.commands.done(err)
		return
	}
	l.status.answered(a.device, took)
}
