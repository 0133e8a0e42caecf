package modbus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weir-edge/weir/adapters"
)

// nextCommand gives the oldest command that can be dealt with now: its device may
// be asked, or is down, so that the command is refused. A command to a device that
// is suspect waits; if there is no other, wake is when to look again.
func (l *loop) nextCommand(now time.Time) (c *adapters.Command, wake time.Time) {
	wake = now.Add(maxIdle)
	c = l.commands.take(func(c *adapters.Command) bool {
		h := &l.pointOf(c).device.health
		if h.ready(now) || h.down() {
			return true
		}
		wake = earlier(wake, h.notBefore)
		return false
	})
	return c, wake
}

func (l *loop) pointOf(c *adapters.Command) *point {
	return l.points[adapters.Settable{Device: c.Device, Point: c.Point}]
}

// carryOut sets a point and answers the command. An answer for which there is no
// room is lost; the point's next reading tells the truth.
func (l *loop) carryOut(ctx context.Context, c *adapters.Command) {
	p := l.pointOf(c)
	err := l.set(ctx, p, c)
	if err != nil {
		p.device.stats.count("write", 1)
		err = errors.New(explain(err))
	}
	_ = c.Done(err)
}

// set writes the value of c into p. Its order of effects: check, write, and have
// the point read again soon, so that its readers see what became of it.
func (l *loop) set(ctx context.Context, p *point, c *adapters.Command) error {
	d := p.device
	if err := c.Expired(); err != nil {
		return err
	}
	if d.health.down() {
		return fmt.Errorf("the device does not answer: %s", d.health.problem)
	}
	data, err := p.codec.encode(c.Value)
	if err != nil {
		return err
	}
	err = l.write(p, data)
	if broken, ok := errors.AsType[*lineError](err); ok && l.reopen(ctx, broken) {
		// All writes set an absolute value, so doing it twice does no harm.
		err = l.write(p, data)
	}
	if l.bus == nil {
		return err
	}
	at := l.account(d, 1, p.span.table, err)
	if unreachable(err) {
		now := time.Now()
		if l.deviceFailed(d, err, now); d.health.down() {
			l.abandon(d, at, now)
		}
		return err
	}
	l.readSoon(p)
	return err
}

// write sends one write request; data is the point's registers.
func (l *loop) write(p *point, data []byte) error {
	unit, address := p.device.unit, uint16(p.span.start)
	on := data[0] != 0 || data[1] != 0
	switch {
	case p.span.table.bits():
		return l.bus.writeBit(unit, address, on)
	case p.register.bit != noBit:
		return l.bus.writeMask(unit, address, p.register.bit, on)
	}
	return l.bus.writeRegisters(unit, address, data)
}

// readSoon begins the round of p's group at the next opportunity.
func (l *loop) readSoon(p *point) {
	now := time.Now()
	for _, g := range p.device.groups {
		for _, q := range g.points {
			if q == p {
				g.due = earlier(g.due, now)
			}
		}
	}
}

// refuseAll answers all commands that wait.
func (l *loop) refuseAll(why string) {
	for {
		c := l.commands.take(func(*adapters.Command) bool { return true })
		if c == nil {
			return
		}
		l.pointOf(c).device.stats.count("write", 1)
		_ = c.Done(errors.New(why))
	}
}
