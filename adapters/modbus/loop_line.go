package modbus

import (
	"context"
	"math/rand/v2"
	"time"
)

// How long the line stays closed before it is opened again. A serial device that
// was unplugged is looked for often: that costs nothing.
const (
	minReconnect    = 500 * time.Millisecond
	maxReconnect    = 30 * time.Second
	maxSerialReopen = time.Second
)

// connect opens the line; after a failure it waits before it returns false.
func (l *loop) connect(ctx context.Context) bool {
	link, err := l.trunk.open(ctx)
	if err == nil {
		l.bus = newBus(ctx, l.trunk.line, link, l.trunk.timeout, l.units, l.trunk.taps)
		l.bus.exchange.meanwhile = l.report
		l.lineIs("running", "")
		return true
	}
	if ctx.Err() != nil {
		return false
	}
	l.lineDown(plain(err))
	l.pause(ctx)
	return false
}

// reopen is called when the line broke in a transaction. One that has worked is
// opened again at once, so that the request can be repeated: many devices close
// a connection that was idle. Else the line is down, and reopen is false.
func (l *loop) reopen(ctx context.Context, broken *lineError) bool {
	worked := l.bus.used
	l.close()
	if ctx.Err() != nil {
		return false
	}
	if worked {
		return l.connect(ctx)
	}
	l.lineDown(broken.Error())
	l.pause(ctx)
	return false
}

// pause keeps the line closed for a while, longer each time.
func (l *loop) pause(ctx context.Context) {
	longest := maxReconnect
	if l.trunk.line.Local() {
		longest = maxSerialReopen
	}
	l.backoff = min(max(2*l.backoff, minReconnect), longest)
	again := time.Now().Add(l.backoff - rand.N(l.backoff/8))
	for ctx.Err() == nil && time.Now().Before(again) {
		l.admit()
		l.refuseAll(nil, "the line is down: "+l.problem)
		l.sleep(ctx, again)
	}
}

// lineDown reports that no device can be reached.
func (l *loop) lineDown(problem string) {
	now := time.Now()
	l.lineIs("waiting", problem)
	if problem != l.problem && len(l.members) > 0 {
		l.members[0].log.Warn("line is down", "error", problem)
	}
	l.problem = problem
	for _, d := range l.devices {
		d.health.lost(problem)
		d.stats.set(false, problem)
		l.abandon(d, l.trunk.clock.At(now), now)
	}
}

func (l *loop) close() {
	l.report()
	if l.bus != nil {
		l.bus.close()
		l.bus = nil
	}
}
