package modbus

import (
	"fmt"
	"log/slog"
	"time"
)

// demand says how much of the line's time polling asks for: what the rounds of
// all groups have really taken, each by its period. Devices that are down are left
// out, their probes have a budget.
type demand struct {
	checked time.Time // when it was last added up
	over    bool      // it is too much
	steady  time.Time // the last time that it was as over says
}

// Overload begins when more is asked for than there is, and ends when it is
// clearly less; both for a while, because a few lost frames are no overload.
const (
	overloadBegins = 1.0
	overloadEnds   = 0.95
	demandInterval = time.Second
	demandHolds    = 10 * time.Second
)

// spent adds a transaction to the group's round.
func (g *group) spent(took time.Duration) { g.spending += took }

// learnCost takes over what the round that ends has taken.
func (g *group) learnCost() {
	if g.cost == 0 {
		g.cost = g.spending
	}
	g.cost += (g.spending - g.cost) / 4
	g.spending = 0
}

// roundCost is what a round takes: measured, or at first by its plan.
func (g *group) roundCost() time.Duration {
	if g.cost > 0 {
		return g.cost
	}
	return g.device.line.cost(g.device.planned).ofAll(g.device.plan(g.points))
}

// assess adds the demand up, and tells everybody on the line.
func (l *loop) assess(now time.Time) {
	if now.Sub(l.demand.checked) < demandInterval {
		return
	}
	l.demand.checked = now
	asked := l.asked()
	was := l.demand.over
	l.demand.judge(asked, now)
	for _, m := range l.members {
		m.status.asked(asked, l.demand.achievable(asked, m.shortest()))
	}
	if l.demand.over == was || len(l.members) == 0 {
		return
	}
	m := l.members[0]
	log := m.log.With("asked", fmt.Sprintf("%.0f %%", 100*asked))
	if l.demand.over {
		log.Warn("the line has not enough time for its periods", slog.Duration("period", m.shortest()), slog.Duration("achievable", l.demand.achievable(asked, m.shortest())))
		return
	}
	log.Info("the line has enough time for its periods again")
}

// judge decides whether it is too much.
func (d *demand) judge(asked float64, now time.Time) {
	limit := overloadBegins
	if d.over {
		limit = overloadEnds
	}
	switch over := asked > limit; {
	case over == d.over || d.steady.IsZero():
		d.steady = now
	case now.Sub(d.steady) >= demandHolds:
		d.over, d.steady = over, now
	}
}

// asked is the part of the line's time that is asked for; above 1 the periods
// can't be kept.
func (l *loop) asked() (part float64) {
	for _, d := range l.devices {
		if d.health.down() {
			continue
		}
		for _, g := range d.groups {
			part += g.roundCost().Seconds() / g.period.Seconds()
		}
	}
	return part
}

// achievable is what becomes of a period when all are made longer by the same
// factor until they fit; 0 when they fit as they are.
func (d *demand) achievable(asked float64, period time.Duration) time.Duration {
	if !d.over {
		return 0
	}
	return time.Duration(max(1, asked) * float64(period)).Round(time.Millisecond)
}

// shortest is the adapter's shortest period.
func (a *Adapter) shortest() time.Duration {
	shortest := maxEvery
	for _, d := range a.devices {
		for _, g := range d.groups {
			shortest = min(shortest, g.period)
		}
	}
	return shortest
}
