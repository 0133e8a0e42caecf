//go:build linux

package load

import (
	"context"
	"fmt"
	"os"
	"time"
)

// Run puts the broker under the load that o describes.
func Run(ctx context.Context, o Options) (*Result, error) {
	s, err := o.complete()
	if err != nil {
		return nil, err
	}
	e, err := newEngine(o)
	if err != nil {
		return nil, err
	}
	defer e.close()
	e.ended = ctx.Err
	r := &run{engine: e, o: o, broker: Probe{o.PID}, self: Probe{os.Getpid()}, result: &Result{Scenario: o.Scenario, QoS: o.QoS}}
	switch s.name {
	case "subscriptions":
		err = r.subscriptions()
	case "retained":
		err = r.retained()
	case "idle":
		err = r.idle()
	case "connect":
		err = r.connect()
	default:
		err = r.flow(s.shape)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	resident, _, err := r.broker.Memory()
	r.result.RSS = float64(resident) / (1 << 20)
	r.result.Refused = uint64(e.refused)
	return r.result, err
}

// run is one run of a scenario.
type run struct {
	*engine
	o      Options
	broker Probe
	self   Probe
	result *Result
}

// prefix is the level that the topics of this run are below.
func (r *run) prefix() string { return "bench/" + r.name[:len(r.name)-1] }

// cost is what a part of a run has cost.
type cost struct {
	wall        time.Duration
	broker, own time.Duration // CPU time
}

// measure runs do and counts what it costs.
func (r *run) measure(do func() error) (c cost, err error) {
	begin := time.Now()
	broker, err := r.broker.CPU()
	if err != nil {
		return c, err
	}
	own, err := r.self.CPU()
	if err != nil {
		return c, err
	}
	if err := do(); err != nil {
		return c, err
	}
	c.wall = time.Since(begin)
	if c.broker, err = r.broker.CPU(); err != nil {
		return c, err
	}
	c.own, err = r.self.CPU()
	c.broker -= broker
	c.own -= own
	return c, err
}

// each is the microseconds of d for each of n.
func each[N int | uint64](d time.Duration, n N) float64 {
	if n == 0 {
		return 0
	}
	return float64(d.Nanoseconds()) / 1e3 / float64(n)
}

// account writes the cost of n deliveries into the result.
func (r *run) account(c cost, n uint64, h *histogram) {
	r.result.Seconds = c.wall.Seconds()
	r.result.Rate = float64(n) / c.wall.Seconds()
	r.result.CPU = each(c.broker, n)
	r.result.OwnCPU = each(c.own, n)
	r.result.P50 = float64(h.quantile(0.50).Nanoseconds()) / 1e3
	r.result.P99 = float64(h.quantile(0.99).Nanoseconds()) / 1e3
}

// memory is the broker's own memory after it has come to rest.
func (r *run) memory() (int64, error) {
	if err := r.rest(r.o.Settle); err != nil {
		return 0, err
	}
	_, own, err := r.broker.Memory()
	return own, err
}
