package modbus

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/weir-edge/weir/adapters"
)

// order is a command to one of our points.
type order struct {
	member  *member
	point   *point
	command *adapters.Command
}

// The reasons for which a command doesn't reach its device.
var (
	errTooManyCommands = errors.New("too many commands are waiting for this line")
	errSuperseded      = errors.New("a later command to this point has taken its place")
)

// accept takes a command from the bus. One that waits for the same point is
// superseded: nobody wants the older value any more.
func (t *trunk) accept(o *order) {
	old, replaced, ok := t.commands.put(o, func(other *order) bool {
		return other.point == o.point && o.point.coalesce
	})
	switch {
	case !ok:
		o.done(errTooManyCommands)
	case replaced:
		old.done(errSuperseded)
	}
}

// done answers the command. An answer for which there is no room is lost; the
// point's next reading tells the truth.
func (o *order) done(err error) {
	if err != nil {
		o.point.device.stats.count("write", 1)
		err = errors.New(explain(err))
	}
	_ = o.command.Done(err)
}

// nextCommand gives the oldest command that can be dealt with now: its device may
// be asked, or is down, so that the command is refused. A command to a device that
// is suspect waits; if there is no other, wake is when to look again.
func (l *loop) nextCommand(now time.Time) (o *order, wake time.Time) {
	wake = now.Add(maxIdle)
	o, _ = l.trunk.commands.take(func(o *order) bool {
		h := &o.point.device.health
		if o.point.device.member == nil {
			return false // its adapter has just come; see admit
		}
		if h.ready(now) || h.down() {
			return true
		}
		wake = earlier(wake, h.notBefore)
		return false
	})
	return o, wake
}

// carryOut sets a point and answers the command.
func (l *loop) carryOut(ctx context.Context, o *order) { o.done(l.set(ctx, o)) }

// set writes the value of o into its point. Its order of effects: check, write,
// read back where that is asked for, and have the point read again soon, so that
// its readers see what became of it.
func (l *loop) set(ctx context.Context, o *order) error {
	p := o.point
	if err := o.command.Expired(); err != nil {
		return err
	}
	if h := &p.device.health; h.down() {
		return fmt.Errorf("the device does not answer: %s", h.problem)
	}
	data, err := p.codec.encode(o.command.Value)
	if err != nil {
		return err
	}
	if err := l.write(ctx, p, data); err != nil {
		return err
	}
	defer l.readSoon(p)
	if !p.verify || p.device.write == WriteReadWrite && p.span.table == holdings && p.register.bit == noBit {
		return nil
	}
	return l.verify(ctx, p, data)
}

// write chooses the function with which a point is written; data is its
// registers.
func (l *loop) write(ctx context.Context, p *point, data []byte) error {
	d, address := p.device, uint16(p.span.start)
	on := data[0] != 0 || data[1] != 0
	switch {
	case p.register.bit != noBit && d.bits == BitsRewrite:
		return l.rewrite(ctx, p, on)
	case p.register.bit != noBit:
		return l.attempt(ctx, d, holdings, func() error {
			return l.bus.writeMask(d.unit, address, p.register.bit, on, d.reply)
		})
	case p.span.table.bits():
		return l.writeCoil(ctx, d, address, on)
	case d.write == WriteReadWrite:
		return l.exchange(ctx, p, data)
	}
	return l.writeRegisters(ctx, d, address, data)
}

// writeCoil uses function 5; a device that doesn't know it gets 15 from then on.
func (l *loop) writeCoil(ctx context.Context, d *device, address uint16, on bool) error {
	if d.write == WriteAuto && !d.onlyMultiple {
		err := l.attempt(ctx, d, coils, func() error { return l.bus.writeBit(d.unit, address, on, d.reply) })
		if exceptionOf(err) != exceptionIllegalFunction {
			return err
		}
		d.onlyMultiple = true
	}
	bit := []byte{0}
	if on {
		bit[0] = 1
	}
	return l.attempt(ctx, d, coils, func() error { return l.bus.writeBits(d.unit, address, 1, bit, d.reply) })
}

// writeRegisters uses function 6 for a single register; a device that doesn't
// know it gets 16 from then on.
func (l *loop) writeRegisters(ctx context.Context, d *device, address uint16, data []byte) error {
	if len(data) == 2 && d.write == WriteAuto && !d.onlyMultiple {
		value := binary.BigEndian.Uint16(data)
		err := l.attempt(ctx, d, holdings, func() error { return l.bus.writeRegister(d.unit, address, value, d.reply) })
		if exceptionOf(err) != exceptionIllegalFunction {
			return err
		}
		d.onlyMultiple = true
	}
	return l.attempt(ctx, d, holdings, func() error { return l.bus.writeRegisters(d.unit, address, data, d.reply) })
}

// exchange writes with function 23, whose answer is what the registers hold then.
func (l *loop) exchange(ctx context.Context, p *point, data []byte) error {
	d, got := p.device, []byte(nil)
	err := l.attempt(ctx, d, holdings, func() (err error) {
		got, err = l.bus.exchangeRegisters(d.unit, uint16(p.span.start), data, d.reply)
		return err
	})
	if err != nil || !p.verify {
		return err
	}
	return p.compare(data, got)
}

// rewrite sets a bit of a register in a device that doesn't know function 22: the
// register is read and written back. We let nothing come in between, but the
// device itself may, or another master.
func (l *loop) rewrite(ctx context.Context, p *point, on bool) error {
	var word [2]byte
	if err := l.readBack(ctx, p, word[:]); err != nil {
		return err
	}
	value := binary.BigEndian.Uint16(word[:]) &^ (1 << p.register.bit)
	if on {
		value |= 1 << p.register.bit
	}
	return l.writeRegisters(ctx, p.device, uint16(p.span.start), binary.BigEndian.AppendUint16(nil, value))
}

// verify reads back what was written.
func (l *loop) verify(ctx context.Context, p *point, data []byte) error {
	got := make([]byte, len(data))
	if err := l.readBack(ctx, p, got); err != nil {
		return fmt.Errorf("written, but it could not be read back: %s", explain(err))
	}
	return p.compare(data, got)
}

// readBack reads the registers of p into data, a coil as its lowest bit.
func (l *loop) readBack(ctx context.Context, p *point, data []byte) error {
	d := p.device
	return l.attempt(ctx, d, p.span.table, func() error {
		count := uint16(p.span.end - p.span.start)
		b, err := l.bus.read(d.unit, p.span.table, uint16(p.span.start), count, d.reply)
		if err != nil {
			return err
		}
		copy(data[len(data)-min(len(data), len(b)):], b)
		return nil
	})
}

// compare says how what was read back differs from what was written.
func (p *point) compare(wrote, got []byte) error {
	same := bytes.Equal(wrote, got)
	if p.codec.kind == kindBool {
		bit := max(p.register.bit, 0)
		on := wrote[0] != 0 || wrote[1] != 0
		same = on == (binary.BigEndian.Uint16(got)>>bit&1 == 1)
		if p.register.bit == noBit && !p.span.table.bits() {
			same = on == (binary.BigEndian.Uint16(got) != 0)
		}
	}
	if same {
		return nil
	}
	return fmt.Errorf("written, but the device then holds % X instead of % X", got, wrote)
}

// attempt carries out one transaction of a command with all that a poll would do
// about its failure. A line that breaks is opened again and the request repeated:
// all writes set an absolute value, so doing it twice does no harm.
func (l *loop) attempt(ctx context.Context, d *device, t table, do func() error) error {
	err := do()
	if broken, ok := errors.AsType[*lineError](err); ok && l.reopen(ctx, broken) {
		err = do()
	}
	if l.bus == nil || isLineError(err) {
		return err
	}
	at := l.account(d, 1, t, err)
	if unreachable(err) {
		now := time.Now()
		if l.deviceFailed(d, err, now); d.health.down() {
			l.abandon(d, at, now)
		}
	}
	return err
}

// readSoon begins the round of p's group at the next opportunity.
func (l *loop) readSoon(p *point) {
	for _, g := range p.device.groups {
		for _, q := range g.points {
			if q == p {
				g.soon = true
			}
		}
	}
}

// refuseAll answers all commands and requests of m that wait, or of everybody.
func (l *loop) refuseAll(m *member, why string) {
	for {
		o, ok := l.trunk.commands.take(func(o *order) bool { return m == nil || o.member == m })
		if !ok {
			break
		}
		o.done(errors.New(why))
	}
	for {
		e, ok := l.trunk.errands.take(func(e *errand) bool { return m == nil || e.member == m })
		if !ok {
			return
		}
		e.done(nil, errors.New(why))
	}
}
