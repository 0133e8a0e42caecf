package serial

import (
	"errors"

	"github.com/weir-edge/weir/adapters"
	"github.com/weir-edge/weir/adapters/serial/parse"
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
	points   map[pointKey]int // its place among the device's
	devices  []*knownDevice   // in the order in which they came
	readings []adapters.Reading
	rules    []adapters.Rule
	lost     uint64
}

type pointKey struct{ device, point string }

// knownDevice is a device with the points that it has reported.
type knownDevice struct {
	name   string
	points []parse.Value // with their last values
}

// maxPoints bounds the points of one line. Names may come from the device, and
// without a checksum from noise; each costs memory here and in the reporter.
const maxPoints = 1024

func newReports(cfg Config, rep *adapters.Reporter, s *status) *reports {
	r := &reports{
		rep:    rep,
		status: s,
		before: s.snapshot().Readings,
		points: make(map[pointKey]int),
	}
	r.knowFields("", cfg.Parse, len(cfg.Requests) == 0)
	for _, q := range cfg.Requests {
		p := cfg.Parse
		if q.Parse != nil {
			p = *q.Parse
		}
		r.knowFields("", p, len(cfg.Devices) == 0)
		for _, d := range cfg.Devices {
			r.knowFields(d.Name, p, true)
		}
	}
	return r
}

// knowFields remembers the points that the configuration names, if that is so.
// Of NMEA sentences, the sentence is the device.
func (r *reports) knowFields(device string, p parse.Config, so bool) {
	if !so || p.Kind == "nmea" {
		return
	}
	for _, f := range p.Fields {
		if !f.Skipped() {
			r.know(device, parse.Value{Name: f.Name, Unit: f.Unit, Rule: f.Rule})
		}
	}
}

// report publishes the values of one frame.
func (r *reports) report(device string, values []parse.Value, at core.Stamp) {
	r.readings, r.rules = r.readings[:0], r.rules[:0]
	for _, v := range values {
		if !r.know(device, v) {
			r.status.count(tooMany)
			continue
		}
		r.readings = append(r.readings, adapters.Reading{
			Device: device, Point: v.Name, Value: v.Any, Unit: v.Unit, Quality: adapters.Good, Time: at,
		})
		r.rules = append(r.rules, v.Rule)
	}
	r.publish(device)
}

// noValue publishes that no point of a device has a value, and why; "" is all
// devices.
func (r *reports) noValue(device, why string, at core.Stamp) {
	for _, d := range r.devices {
		if device == "" || d.name == device {
			r.all(d, adapters.CommError, why, at)
		}
	}
}

// stale publishes that the values of all points are old, and why.
func (r *reports) stale(why string, at core.Stamp) {
	for _, d := range r.devices {
		r.all(d, adapters.Stale, why, at)
	}
}

// all publishes all points of a device with one quality.
func (r *reports) all(d *knownDevice, quality adapters.Quality, why string, at core.Stamp) {
	r.readings, r.rules = r.readings[:0], r.rules[:0]
	for i, p := range d.points {
		if quality != adapters.Stale {
			d.points[i].Any = nil
		}
		r.readings = append(r.readings, adapters.Reading{
			Device: d.name, Point: p.Name, Value: d.points[i].Any, Unit: p.Unit, Quality: quality, Error: why, Time: at,
		})
		r.rules = append(r.rules, p.Rule)
	}
	r.publish(d.name)
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

// know remembers a point and its value. It is false when there are too many.
func (r *reports) know(device string, v parse.Value) bool {
	key := pointKey{device, v.Name}
	if i, known := r.points[key]; known {
		r.device(device).points[i].Any = v.Any
		return true
	}
	if len(r.points) == maxPoints {
		return false
	}
	d := r.device(device)
	r.points[key] = len(d.points)
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
