package modbus

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/weir-edge/weir/adapters"
	"github.com/weir-edge/weir/core"
)

// loop polls a line: it owns the bus and everything that is polled on it. One
// turn is one transaction.
//
// # What comes next
//
//  1. a command, if its device may be asked now: it goes ahead of all reads, and
//     waits for at most the transaction that is going on;
//  2. a request of another master ([proxy]), but not two in a row while a group is
//     due;
//  3. of the groups that are due, the one whose deadline is earliest;
//  4. nothing: sleep until a group is due, or a command comes.
//
// Groups of devices that are not ready ([health]) don't take part.
type loop struct {
	// Static after construction.
	trunk *trunk

	// Owned by who drives: see trunk.
	members []*member
	devices []*device           // of all members
	bus     *bus                // nil: the line is closed
	units   map[byte]*unitState // see newBus
	backoff time.Duration       // the last wait with the line closed; 0 once it has worked
	problem string              // why the line is down; "" once it has worked
	budget  probeBudget
	demand  demand
	obliged bool   // the last turn was another master's
	unsaid  *group // its readings are reported while the next transaction waits
}

// run works until ctx ends.
func (l *loop) run(ctx context.Context) {
	for ctx.Err() == nil {
		l.admit()
		if l.bus == nil && !l.connect(ctx) {
			continue
		}
		l.turn(ctx)
	}
}

// admit lets members come and go. One that goes takes its devices along.
func (l *loop) admit() {
	joining, leaving := l.trunk.changes()
	if len(leaving) > 0 {
		l.report()
	}
	now := time.Now()
	for _, m := range joining {
		l.members = append(l.members, m)
		for _, d := range m.devices {
			d.member = m
			d.reset(now)
			l.devices = append(l.devices, d)
		}
		if l.bus != nil {
			m.status.line("running", "")
		}
	}
	for _, m := range leaving {
		l.refuseAll(m, "the gateway is stopping")
		l.members = slices.DeleteFunc(l.members, func(other *member) bool { return other == m })
		l.devices = slices.DeleteFunc(l.devices, func(d *device) bool { return d.member == m })
		for _, d := range m.devices {
			d.member = nil
		}
		close(m.gone)
	}
}

// turn does one transaction, or sleeps when there is none to do.
func (l *loop) turn(ctx context.Context) {
	now := time.Now()
	o, next := l.nextCommand(now)
	if o != nil {
		l.carryOut(ctx, o)
		return
	}
	g, due := l.choose(now)
	if g == nil || !l.obliged {
		e, free := l.nextErrand(now)
		if e != nil {
			l.obliged = true
			l.errandTurn(ctx, e)
			return
		}
		next = earlier(next, free)
	}
	l.obliged = false
	if g != nil {
		l.poll(ctx, g, now)
		return
	}
	l.sleep(ctx, earlier(due, next))
}

// sleep waits until wake, a command or the end.
func (l *loop) sleep(ctx context.Context, wake time.Time) {
	l.report()
	timer := time.NewTimer(time.Until(wake))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-l.trunk.wake:
	}
}

// maxIdle is how long the loop sleeps at most.
const maxIdle = time.Hour

// choose gives the group to poll now; if there is none, when to look again.
func (l *loop) choose(now time.Time) (chosen *group, wake time.Time) {
	wake = now.Add(maxIdle)
	anyUp := l.anyUp()
	for _, d := range l.devices {
		from := d.health.notBefore
		if d.health.down() && anyUp && l.budget.next.After(from) {
			from = l.budget.next
		}
		for _, g := range d.groups {
			at := g.from()
			if from.After(at) {
				at = from
			}
			if at.After(now) {
				wake = earlier(wake, at)
				continue
			}
			if chosen == nil || g.deadline().Before(chosen.deadline()) {
				chosen = g
			}
		}
	}
	return chosen, wake
}

func (l *loop) anyUp() bool {
	for _, d := range l.devices {
		if d.health.up {
			return true
		}
	}
	return false
}

// poll reads the next block of g.
func (l *loop) poll(ctx context.Context, g *group, now time.Time) {
	if g.pos == 0 {
		g.begin(now)
	}
	b := g.next()
	if b == nil {
		l.idle(g, now)
		return
	}
	d := g.device
	data, err := l.bus.read(d.unit, b.table, uint16(b.start), b.count(), d.timeout())
	if broken, ok := errors.AsType[*lineError](err); ok {
		l.reopen(ctx, broken) // the block is next again
		return
	}
	at := l.account(d, b.count(), b.table, err)
	g.spent(l.bus.took())
	now = time.Now()
	switch code := exceptionOf(err); {
	case unreachable(err):
		l.unanswered(g, b, err, at, now)
	case err == nil:
		g.took(b, data, at, now)
	case errors.Is(err, errOutOfStep) && !b.retried:
		d.health.notBefore = l.bus.state(d.unit).quietUntil
		g.postpone(b)
	case errors.Is(err, errOutOfStep):
		g.failed(b, adapters.CommError, explain(err), at)
	case code == exceptionIllegalFunction, code == exceptionIllegalAddress, code == exceptionIllegalValue:
		g.refused(b, err, at, now)
	default:
		g.failed(b, adapters.DeviceError, explain(err), at)
	}
	if !d.member.batch {
		l.publish(g)
	}
	if g.next() == nil {
		l.finish(g)
	}
}

// unanswered decides what a missing answer says: of the device, of the line, or
// of the block.
func (l *loop) unanswered(g *group, b *block, err error, at core.Stamp, now time.Time) {
	d := g.device
	l.deviceFailed(d, err, now)
	_, probing := errors.AsType[*probeError](err)
	switch {
	case !probing && (g.ignored(b) || b.points[0].parked != nil):
		g.refused(b, errIgnored, at, now)
	case d.health.down():
		l.abandon(d, at, now)
	case b.retried:
		g.failed(b, adapters.CommError, explain(err), at)
	default:
		g.postpone(b)
	}
}

// idle lets a group whose points are all parked wait for the first to be tried.
func (l *loop) idle(g *group, now time.Time) {
	g.due, g.soon = now.Add(maxParking), false
	for _, p := range g.points {
		if p.parked != nil {
			g.due = earlier(g.due, p.parked.retry)
		}
	}
}

func (l *loop) finish(g *group) {
	l.publish(g)
	g.device.learnTurnaround()
	g.learnCost()
	now := time.Now()
	g.device.stats.count("overrun", uint64(g.finish(now)))
	l.assess(now)
}

// publish lets report have what the group has read.
func (l *loop) publish(g *group) {
	if l.unsaid != g {
		l.report()
	}
	l.unsaid = g
}

// report reports what was read before. That is put off until the next request is
// on its way, or there is none: so the devices' time to think is used, and the
// answer of a fast one is there when it is asked for, without a sleep. What the bus
// has no room for is counted by the reporter.
func (l *loop) report() {
	g := l.unsaid
	if g == nil {
		return
	}
	l.unsaid = nil
	if len(g.readings) > 0 {
		_ = g.device.member.report.ReportBatch(g.device.name, g.readings, g.rules)
	}
	g.discard()
}

// account counts a transaction and gives the time in its middle.
func (l *loop) account(d *device, count uint16, t table, err error) core.Stamp {
	b := l.bus
	took := b.ended.Sub(b.begun)
	l.busy(b.ended, b.took())
	d.stats.count("late", b.takeLate())
	if b.probed {
		l.deviceAnswered(d)
	}
	if unreachable(err) {
		d.stats.failed(errorKind(err))
	} else {
		l.deviceAnswered(d)
		d.stats.answered(b.ended, took, took-l.onWire(t, count), d.note)
		if err != nil {
			d.stats.count(errorKind(err), 1)
		}
	}
	return l.trunk.clock.At(b.begun.Add(took / 2))
}

// busy counts the time of a transaction, for everybody on the line.
func (l *loop) busy(now time.Time, took time.Duration) {
	for _, m := range l.members {
		m.status.busy(now, took)
	}
}

// lineIs tells everybody on the line how it is.
func (l *loop) lineIs(state, problem string) {
	for _, m := range l.members {
		m.status.line(state, problem)
	}
}

func (l *loop) deviceAnswered(d *device) {
	if !d.health.up {
		d.member.log.Info("device answers", "device", d.name, "unit", d.unit)
		l.dueNow(d)
	}
	d.health.answered()
	d.answers++
	l.backoff, l.problem = 0, ""
}

// dueNow begins all rounds of a device that came back, at once.
func (l *loop) dueNow(d *device) {
	now := time.Now()
	for _, g := range d.groups {
		g.due = now.Add(g.phase)
	}
}

// onWire is what a transaction needs on the line, without the device's thinking.
func (l *loop) onWire(t table, count uint16) time.Duration {
	return l.trunk.line.cost(0).of(t, int(count))
}

// deviceFailed is a request without an answer.
func (l *loop) deviceFailed(d *device, err error, now time.Time) {
	wasDown := d.health.down()
	d.health.failed(now, l.bus.state(d.unit).quietUntil, explain(err))
	if d.health.failures >= maxUnanswered && !l.anyUp() && !l.trunk.line.Local() {
		defer l.close()
	}
	if !d.health.down() {
		return // one more chance
	}
	d.stats.set(false, d.health.problem)
	if wasDown {
		l.budget.spent(now, l.bus.ended.Sub(l.bus.begun))
		return
	}
	d.member.log.Warn("device does not answer", "device", d.name, "unit", d.unit, "error", d.health.problem)
	l.dueNow(d)
}

// maxUnanswered is after how many requests without any answer a connection is
// taken as dead, because its other end has gone without a word.
const maxUnanswered = 4

// abandon ends the rounds of a device that is down, and reports it.
func (l *loop) abandon(d *device, at core.Stamp, now time.Time) {
	for _, g := range d.groups {
		if !g.due.After(now) {
			g.abandon(d.health.problem, at, now)
			l.publish(g)
		}
	}
}
