package modbus

import (
	"time"

	"github.com/weir-edge/weir/adapters"
	"github.com/weir-edge/weir/core"
)

// group is the points of a device that have the same period and phase. They are read in
// rounds: one request a block, one after the other; other groups and commands
// may go in between.
type group struct {
	// Static after construction.
	device *device
	period time.Duration
	phase  time.Duration
	points []*point

	// Owned by the loop.
	due      time.Time     // when the next round is to begin, or began
	begun    time.Time     // when the round did
	soon     bool          // a round before it is due: a point was set
	turn     time.Time     // its last one; of those that are late, who has waited longest is next
	errorDue time.Time     // when the next failure is to be reported
	blocks   []block       // of this round
	pos      int           // the next of them
	spending time.Duration // of the line's time, in this round
	cost     time.Duration // of a round: a moving average; 0 when none has ended
	splits   int           // blocks whose halves are being tried
	replan   bool          // blocks are to be made anew
	planned  int           // how many of blocks are the plan; behind them are trials
	readings []adapters.Reading
	rules    []adapters.Rule
}

// begin starts a round: by the plan, and with those parked points whose time has
// come, each in a request of its own.
func (g *group) begin(now time.Time) {
	g.pos, g.begun = 0, now
	g.device.forget(now)
	for i := range g.blocks {
		g.blocks[i].retried = false
	}
	if g.replan && g.splits == 0 {
		g.replan = false
		g.blocks = g.device.plan(g.points)
		g.planned = len(g.blocks)
	}
	if g.splits > 0 {
		return // the halves are among the blocks, and so are trials
	}
	g.blocks = g.blocks[:g.planned]
	for _, p := range g.points {
		if p.parked != nil && !now.Before(p.parked.retry) {
			g.blocks = append(g.blocks, newBlock([]*point{p}))
		}
	}
}

// next is the block to read; nil when the round has none.
func (g *group) next() *block {
	if g.pos >= len(g.blocks) {
		return nil
	}
	return &g.blocks[g.pos]
}

// took is a good answer to the block.
func (g *group) took(b *block, data []byte, at core.Stamp, now time.Time) {
	b.silent = 0

	for _, p := range b.points {
		if p.parked != nil {
			g.device.unpark(p)
		}
		g.add(p, p.reading(data, b.start, at))
	}
	g.settle(b, true, now)
	g.pos++
}

// refused says that the block, or a part of it, can't be read at all.
func (g *group) refused(b *block, err error, at core.Stamp, now time.Time) {
	if exceptionOf(err) != exceptionIllegalFunction && g.halve(g.pos) {
		return // the halves are next
	}
	why := explain(err)
	for _, p := range b.points {
		g.device.park(p, why, now)
		g.add(p, p.failed(adapters.DeviceError, why, at))
	}
	g.settle(b, false, now)
	g.pos++
}

// failed is a block without values that is to be read again the next time.
func (g *group) failed(b *block, quality adapters.Quality, why string, at core.Stamp) {
	for _, p := range b.points {
		g.add(p, p.failed(quality, why, at))
	}
	g.pos++
}

// ignored counts that the block was not answered. It is true when that happened
// so often, while the device answered others, that it must be the block: many
// devices are silent when they are asked for what they don't have.
func (g *group) ignored(b *block) bool {
	if b.answers != g.device.answers {
		b.silent++
	}
	b.answers = g.device.answers
	return b.silent >= maxSilent
}

// maxSilent is high enough for lines on which frames are lost.
const maxSilent = 4

// postpone puts the block behind the others of this round, and the group behind
// others of its device: who knows what these say.
func (g *group) postpone(b *block) {
	b.retried = true
	rotate(g.blocks[g.pos:])
	g.turn = later(g.turn, g.device.health.notBefore)
}

// abandon ends the round: the device or the line doesn't answer. All points of
// the group fail, but not more often than their period.
func (g *group) abandon(why string, at core.Stamp, now time.Time) {
	g.discard()
	if g.pos < len(g.blocks) { // the next time, begin with another
		whole := g.blocks
		if g.splits == 0 {
			whole = g.blocks[:g.planned]
		}
		rotate(whole)
	}
	g.pos, g.due, g.soon = 0, now, false
	if now.Before(g.errorDue) {
		return
	}
	g.errorDue = now.Add(g.period)
	for _, p := range g.points {
		if p.parked == nil {
			g.add(p, p.failed(adapters.CommError, why, at))
		}
	}
}

// rotate puts the first block behind the others.
func rotate(blocks []block) {
	if len(blocks) > 1 {
		first := blocks[0]
		copy(blocks, blocks[1:])
		blocks[len(blocks)-1] = first
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (g *group) add(p *point, r adapters.Reading) {
	g.readings, g.rules = append(g.readings, r), append(g.rules, p.rule)
}

// discard forgets the readings that were not reported.
func (g *group) discard() {
	clear(g.readings)
	g.readings, g.rules = g.readings[:0], g.rules[:0]
}

// finish ends a round at now and sets the time of the next. It says how many
// periods were missed: the line is too slow for what is asked of it, and the next
// round begins as soon as it can. Periods stay where they are, by their phase: so
// what is due together stays together.
func (g *group) finish(now time.Time) (missed int) {
	extra := g.soon && g.begun.Before(g.due)
	g.pos, g.soon = 0, false
	g.errorDue = time.Time{}
	g.turn = now
	if extra {
		return 0
	}
	if waited := g.begun.Sub(g.due); waited > 0 { // it stands for the period in which it began
		missed = int(waited / g.period)
		g.due = g.due.Add(time.Duration(missed) * g.period)
	}
	g.due = g.due.Add(g.period)
	if late := now.Sub(g.due); late > 0 {
		skipped := int(late / g.period)
		g.due = g.due.Add(time.Duration(skipped) * g.period)
		missed += 1 + skipped
	}
	return missed
}

// from is when the round is to begin, or to go on.
func (g *group) from() time.Time {
	if g.soon {
		return time.Time{}
	}
	return g.due
}

// deadline orders the groups that are due: the one whose period ends first.
func (g *group) deadline() time.Time { return later(g.due, g.turn).Add(g.period) }
