package modbus

import (
	"fmt"
	"slices"
	"time"
)

// split remembers a block that the device refused while its halves are tried.
//
// A device refuses a whole block for one register that it doesn't have: with an
// exception, or by not answering at all. The block is halved until the culprit is
// alone; the halves that work are readings at once, within the same round. What
// is learned:
//
//   - a point alone that is refused is parked, and no request reads over it;
//   - two halves that work, of a whole that doesn't, have the culprit in the gap
//     between them: the gap becomes a barrier;
//   - without a gap the request was too long: the limit goes down.
//
// Then the device is planned anew, so that the rest is read in as few requests as
// before. Nothing is learned for good: parked points are tried again after a
// while, barriers and limits are forgotten after an hour.
type split struct {
	parent *split
	left   span
	right  span
	tried  int  // halves that are done
	worked bool // all of them worked
}

// parking is why and until when a point isn't polled.
type parking struct {
	why   string
	retry time.Time
	wait  time.Duration
}

// How long a parked point is left alone, and what was learned is believed.
const (
	minParking = time.Minute
	maxParking = time.Hour
	believe    = time.Hour
)

// halve replaces block i by its halves. It is false for a block that can't be
// halved, because all its points lie in the same registers.
func (g *group) halve(i int) bool {
	b := g.blocks[i]
	n := len(b.points)
	for step := range n { // from the middle outwards
		m := n/2 + (step+1)/2*(1-2*(step%2))
		if m < 1 || m >= n {
			continue
		}
		left, right := newBlock(b.points[:m]), newBlock(b.points[m:])
		if left.span == b.span || right.span == b.span {
			continue
		}
		s := &split{parent: b.split, left: left.span, right: right.span, worked: true}
		left.split, right.split = s, s
		left.silent, right.silent = b.silent, b.silent
		left.answers, right.answers = g.device.answers, g.device.answers
		g.blocks = slices.Replace(g.blocks, i, i+1, left, right)
		g.splits++
		return true
	}
	return false
}

// settle tells the split of b, if it has one, what became of this half.
func (g *group) settle(b *block, worked bool, now time.Time) {
	s := b.split
	b.split = nil // it is asked once
	for s != nil {
		s.tried++
		s.worked = s.worked && worked
		if s.tried < 2 {
			return
		}
		g.splits--
		if s.worked {
			g.device.learn(s, now)
		}
		g.device.replan()
		s, worked = s.parent, false
	}
}

// learn draws the conclusion from two halves that work where the whole doesn't.
func (d *device) learn(s *split, now time.Time) {
	d.forgetAt = now.Add(believe)
	if gap := (span{s.left.table, s.left.end, s.right.start}); gap.end > gap.start {
		d.barriers = append(d.barriers, gap)
		return
	}
	works := max(s.left.end-s.left.start, s.right.end-s.right.start)
	fails := s.right.end - s.left.start
	if limit := (works + fails) / 2; s.left.table.bits() {
		d.limits.bits = min(d.limits.bits, limit)
	} else {
		d.limits.registers = min(d.limits.registers, limit)
	}
}

// forget gives up what was learned of the device, once it is old.
func (d *device) forget(now time.Time) {
	if d.forgetAt.IsZero() || now.Before(d.forgetAt) {
		return
	}
	d.forgetAt, d.barriers, d.limits = time.Time{}, nil, d.configured
	d.replan()
}

// park takes a point out of polling, for longer each time.
func (d *device) park(p *point, why string, now time.Time) {
	wait := minParking
	if p.parked != nil {
		wait = min(2*p.parked.wait, maxParking)
	}
	p.parked = &parking{why: why, retry: now.Add(wait), wait: wait}
	d.parkingChanged()
}

// unpark takes it back: the device has the register after all.
func (d *device) unpark(p *point) {
	p.parked = nil
	d.parkingChanged()
}

// parkingChanged asks for new plans and writes down what is parked.
func (d *device) parkingChanged() {
	d.replan()
	d.note = ""
	n := 0
	for _, p := range d.points {
		if p.parked == nil {
			continue
		}
		if n++; n == 1 {
			d.note = fmt.Sprintf("the first is %s (%s): %s", p.name, p.register, p.parked.why)
		}
	}
	if n > 0 {
		d.note = fmt.Sprintf("%d of %d points can't be read, %s", n, len(d.points), d.note)
	}
}
