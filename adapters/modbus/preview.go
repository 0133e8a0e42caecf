package modbus

import (
	"cmp"
	"slices"
	"time"
)

// Request is a read request as it is planned.
type Request struct {
	Device string
	Unit   int
	Table  string
	Start  int
	Count  int // registers or bits
	Points int
	Bytes  int           // of request and answer on the line
	Every  time.Duration // the period
	Takes  time.Duration // on the line, silences and the device's thinking included
}

// Preview is what polling will cost, before anything is sent.
type Preview struct {
	Requests []Request
	Cycle    time.Duration // all requests once
	Load     float64       // of the line's time; above 1 the periods can't be kept
	Exact    bool          // the line has a known speed
}

// NewPreview plans the requests of a valid configuration for devices that need
// turnaround to answer; 0 is what is assumed of them at first.
func NewPreview(c Config, turnaround time.Duration) (Preview, error) {
	if err := c.Validate(); err != nil {
		return Preview{}, err
	}
	line, _ := c.Line()
	p := Preview{Exact: line.Local()}
	for i := range c.Devices {
		d := newDevice(line, &c, &c.Devices[i])
		d.reset(time.Time{})
		d.planned = cmp.Or(turnaround, assumedTurnaround)
		for _, g := range d.groups {
			for _, b := range d.plan(g.points) {
				p.add(line, d, g, b)
			}
		}
	}
	slices.SortStableFunc(p.Requests, func(a, b Request) int { return cmp.Compare(a.Every, b.Every) })
	return p, nil
}

func (p *Preview) add(line Line, d *device, g *group, b block) {
	size := b.end - b.start
	data := 2 * size
	if b.table.bits() {
		data = (size + 7) / 8
	}
	frames := 8 + 5 + data // RTU
	switch {
	case !line.Serial():
		frames = 12 + 9 + data
	case line.ascii():
		frames = 2*frames + 2
	}
	takes := line.cost(d.planned).of(b.table, size)
	p.Cycle += takes
	p.Load += takes.Seconds() / g.period.Seconds()
	p.Requests = append(p.Requests, Request{
		Device: d.name, Unit: int(d.unit), Table: b.table.String(), Start: b.start, Count: size,
		Points: len(b.points), Bytes: frames, Every: g.period, Takes: takes,
	})
}
