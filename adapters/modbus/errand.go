package modbus

import (
	"context"
	"errors"
	"time"

	"github.com/goburrow/modbus"
)

// errand is the request of another master, which the loop carries out in its
// turn: see proxy.
type errand struct {
	member *member
	unit   byte
	pdu    []byte
	reply  chan<- errandResult // one slot: the loop never waits
}

type errandResult struct {
	pdu []byte // the caller's to keep
	err error
}

func (e *errand) done(pdu []byte, err error) { e.reply <- errandResult{pdu, err} }

// nextErrand gives the oldest request of another master to a unit that may be
// asked now.
func (l *loop) nextErrand(now time.Time) (e *errand, wake time.Time) {
	wake = now.Add(maxIdle)
	e, _ = l.trunk.errands.take(func(e *errand) bool {
		if until := l.quietUntil(e.unit); until.After(now) {
			wake = earlier(wake, until)
			return false
		}
		return true
	})
	return e, wake
}

func (l *loop) quietUntil(unit byte) time.Time {
	if u := l.units[unit]; u != nil {
		return u.quietUntil
	}
	return time.Time{}
}

// errandTurn carries e out. What the device refuses is an answer; that it doesn't answer
// at all is what a gateway has an exception for.
func (l *loop) errandTurn(ctx context.Context, e *errand) {
	answer, err := l.bus.raw(e.unit, e.pdu, l.trunk.timeout)
	if broken, ok := errors.AsType[*lineError](err); ok {
		l.reopen(ctx, broken)
		e.done(nil, err)
		return
	}
	b := l.bus
	l.busy(b.ended, b.took())
	code := exceptionOf(err)
	switch {
	case code != 0:
		e.done([]byte{e.pdu[0] | exceptionFlag, code}, nil)
	case errors.Is(err, errOutOfStep):
		e.done([]byte{e.pdu[0] | exceptionFlag, modbus.ExceptionCodeServerDeviceBusy}, nil)
	case err != nil:
		e.done([]byte{e.pdu[0] | exceptionFlag, modbus.ExceptionCodeGatewayTargetDeviceFailedToRespond}, nil)
	default:
		e.done(append([]byte{e.pdu[0]}, answer...), nil)
	}
}
