package modbus

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/weir-edge/weir/adapters"
	"github.com/weir-edge/weir/core"
)

// point is one configured point, ready to be read and written.
type point struct {
	// Static after construction.
	device   *device
	name     string
	unit     string
	rule     adapters.Rule
	register register
	span     span
	codec    codec
	writable bool
	verify   bool
	coalesce bool // a later command takes the place of one that waits

	parked *parking // nil: the point is polled; owned by the loop
}

// newPoint makes a point of a valid configuration.
func newPoint(d *device, dc *Device, pc *Point) *point {
	r, _ := parseRegister(pc.Register)
	c, _ := pc.codec(dc, r)
	width := 1
	if !r.table.bits() && r.table != fifos {
		width = int(c.width())
	}
	start := int(r.address)
	return &point{
		device:   d,
		name:     pc.Name,
		unit:     pc.Unit,
		rule:     pc.Rule,
		register: r,
		span:     span{r.table, start, start + width},
		codec:    c,
		writable: pc.Writable,
		verify:   pc.Verify,
		coalesce: !pc.EveryCommand,
	}
}

// reading is the point's reading in the data of a block that starts at start.
func (p *point) reading(data []byte, start int, at core.Stamp) adapters.Reading {
	r := adapters.Reading{Device: p.device.name, Point: p.name, Unit: p.unit, Quality: adapters.Good, Time: at}
	offset := p.span.start - start
	var err error
	if p.span.table.bits() {
		r.Value = data[offset/8]>>(offset%8)&1 == 1
		return r
	}
	if p.span.table == fifos {
		r.Value, err = p.codec.decodeList(data)
	} else {
		r.Value, err = p.codec.decode(data[2*offset : 2*(p.span.end-start)])
	}
	if err != nil {
		r.Quality, r.Error = adapters.DeviceError, err.Error()
		if _, beyond := errors.AsType[*rangeError](err); beyond {
			r.Quality = adapters.OutOfRange
		}
	}
	return r
}

// failed is the point's reading when there is no value.
func (p *point) failed(quality adapters.Quality, why string, at core.Stamp) adapters.Reading {
	return adapters.Reading{Device: p.device.name, Point: p.name, Unit: p.unit, Quality: quality, Error: why, Time: at}
}

// device is one unit on the bus. The loop owns it, but for its stats.
type device struct {
	// Static after construction.
	name       string
	unit       byte
	line       Line
	groups     []*group
	points     []*point
	configured limits
	reply      time.Duration // what it has to answer
	write      WriteMode
	bits       BitMode

	member       *member // nil: its adapter doesn't run
	onlyMultiple bool    // it has refused the functions that write one
	health       health
	answers      int           // ever
	limits       limits        // as configured, or less where the device refuses that
	barriers     []span        // gaps that no request may read along
	forgetAt     time.Time     // when limits and barriers are given up; zero: nothing was learned
	planned      time.Duration // the turnaround that the plans are made for
	note         string        // which points are parked
	stats        deviceStats
}

// newDevice makes a device of a valid configuration.
func newDevice(line Line, c *Config, dc *Device) *device {
	d := &device{
		name: dc.Name,
		unit: byte(dc.Unit),
		line: line,
		configured: limits{
			registers: cmp.Or(dc.MaxRegisters, maxRegisters),
			bits:      cmp.Or(dc.MaxBits, maxBits),
			gap:       maxBits,
		},
		reply: cmp.Or(dc.Timeout, c.Timeout, defaultTimeout),
		write: cmp.Or(dc.Write, WriteAuto),
		bits:  cmp.Or(dc.BitWrites, BitsMask),
	}
	if dc.MaxGap != nil {
		d.configured.gap = *dc.MaxGap
	}
	type rhythm struct{ period, phase time.Duration }
	byRhythm := make(map[rhythm]*group)
	for i := range dc.Points {
		pc := &dc.Points[i]
		p := newPoint(d, dc, pc)
		r := rhythm{cmp.Or(pc.Every, dc.Every, c.Every, defaultEvery), cmp.Or(pc.Phase, dc.Phase)}
		g := byRhythm[r]
		if g == nil {
			g = &group{device: d, period: r.period, phase: r.phase}
			byRhythm[r] = g
			d.groups = append(d.groups, g)
		}
		g.points = append(g.points, p)
		d.points = append(d.points, p)
	}
	return d
}

// reset makes the device as it was at first, but for its stats: what was learned
// in an earlier run of the adapter may be what that run failed by.
func (d *device) reset(now time.Time) {
	d.health, d.answers, d.planned, d.onlyMultiple = health{}, 0, assumedTurnaround, false
	d.limits, d.barriers, d.forgetAt, d.note = d.configured, nil, time.Time{}, ""
	for _, p := range d.points {
		p.parked = nil
	}
	for _, g := range d.groups {
		*g = group{device: d, period: g.period, phase: g.phase, points: g.points, due: now.Add(g.phase), replan: true}
	}
}

// plan is the list of requests for those of points that are not parked.
func (d *device) plan(points []*point) []block {
	active, barriers := make([]*point, 0, len(points)), slices.Clone(d.barriers)
	for _, p := range points {
		if p.parked == nil {
			active = append(active, p)
		}
	}
	for _, p := range d.points {
		if p.parked != nil {
			barriers = append(barriers, p.span)
		}
	}
	return plan(active, d.line.cost(d.planned), d.limits, barriers)
}

// replan makes new plans for all groups, from their next rounds on.
func (d *device) replan() {
	for _, g := range d.groups {
		g.replan = true
	}
}

// learnTurnaround plans anew once the device has shown how fast it answers, if
// that differs much from what the plan was made for.
func (d *device) learnTurnaround() {
	learned, ok := d.stats.turnaround()
	learned = max(learned, time.Millisecond) // less makes no difference
	if ok && d.line.Local() && (learned > 2*d.planned || 2*learned < d.planned) {
		d.planned = learned
		d.replan()
	}
}

// timeout is how long the device may take: for one that is down, as long as it
// ever needed and some, so that asking it costs the others little.
func (d *device) timeout() time.Duration {
	if d.health.up {
		return d.reply
	}
	slowest, known := d.stats.slowest()
	if !known {
		return d.reply
	}
	return min(d.reply, 4*slowest+minProbeTimeout)
}

// minProbeTimeout allows for a device that has just been switched on.
const minProbeTimeout = 50 * time.Millisecond
