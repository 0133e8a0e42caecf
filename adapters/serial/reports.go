package serial

import (
	"errors"

	"github.com/weir-edge/weir/adapters"
	"github.com/weir-edge/weir/core"
)

// reports hands values to the reporter and remembers which points there are, so
// that they can be said to have no value when the line is lost.
type reports struct {
	// Static after construction.
	rep    *adapters.Reporter
	status *status
	before uint64 // readings of earlier runs

	// Owned by the adapter's goroutine.
	points   map[pointKey]bool
	devices  []*knownDevice // in the order in which they came
	readings []adapters.Reading
	rules    []adapters.Rule
	lost     uint64
}

type pointKey struct{ device, point string }

// knownDevice is a device with the points that it has reported.
type knownDevice struct {
	name   string
	points []value // without their values
}

// maxPoints bounds the points of one line. Names may come from the device, and
// without a checksum from noise; each costs memory here and in the reporter.
const maxPoints = 1024

func newReports(cfg Config, rep *adapters.Reporter, s *status) *reports {
	r := &reports{
		rep:    rep,
		status: s,
		before: s.snapshot().Readings,
		points: make(map[pointKey]bool),
	}
	if cfg.Parse.Kind != "nmea" { // there the sentence is the device
		for _, f := range cfg.Parse.Fields {
			if !f.skipped() {
				r.know("", value{name: f.Name, unit: f.Unit, rule: f.Rule})
			}
		}
	}
	return r
}

// report publishes the values of one frame.
func (r *reports) report(device string, values []value, at core.Stamp) {
	r.readings, r.rules = r.readings[:0], r.rules[:0]
	for _, v := range values {
		if !r.know(device, v) {
			r.status.count(tooMany)
			continue
		}
		r.readings = append(r.readings, adapters.Reading{
			Device: device, Point: v.name, Value: v.any, Unit: v.unit, Quality: adapters.Good, Time: at,
		})
		r.rules = append(r.rules, v.rule)
	}
	r.publish(device)
}

// noValue publishes that no point has a value, and why.
func (r *reports) noValue(why string, at core.Stamp) {
	for _, d := range r.devices {
		r.readings, r.rules = r.readings[:0], r.rules[:0]
		for _, p := range d.points {
			r.readings = append(r.readings, adapters.Reading{
				Device: d.name, Point: p.name, Unit: p.unit, Quality: adapters.CommError, Error: why, Time: at,
			})
			r.rules = append(r.rules, p.rule)
		}
		r.publish(d.name)
	}
}

// publish gives what was gathered to the reporter. What the gateway doesn't take
// is counted: an adapter has nobody to hand it back to.
func (r *reports) publish(device string) {
	if len(r.readings) == 0 {
		return
	}
	err := r.rep.ReportBatch(device, r.readings, r.rules)
	r.status.published(r.before + r.rep.Readings())
	if err == nil {
		return
	}
	kind := refused
	if errors.Is(err, core.ErrFull) {
		kind = full
	}
	lost := r.rep.Lost()
	r.status.add(kind, lost-r.lost)
	r.lost = lost
}

// know remembers a point. It is false when there are too many.
func (r *reports) know(device string, v value) bool {
	key := pointKey{device, v.name}
	if r.points[key] {
		return true
	}
	if len(r.points) == maxPoints {
		return false
	}
	r.points[key] = true
	d := r.device(device)
	v.any = nil
	d.points = append(d.points, v)
	return true
}

func (r *reports) device(name string) *knownDevice {
	for _, d := range r.devices {
		if d.name == name {
			return d
		}
	}
	d := &knownDevice{name: name}
	r.devices = append(r.devices, d)
	return d
}
