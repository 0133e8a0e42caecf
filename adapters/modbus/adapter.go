package modbus

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/weir-edge/weir/adapters"
	"github.com/weir-edge/weir/core"
)

// Adapter polls the devices of one bus and sets their points.
type Adapter struct {
	config  Config
	line    Line
	open    func(context.Context) (link, error)
	devices []*device // owned by Run, but for their stats
	points  map[adapters.Settable]*point
	clock   *core.Clock
	log     *slog.Logger
	status  status
}

var _ adapters.Adapter = (*Adapter)(nil)

// New makes the adapter of a bus. The error is that of [Config.Validate].
func New(c Config, clock *core.Clock, log *slog.Logger) (*Adapter, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("modbus adapter %s: %w", c.Output.Adapter, err)
	}
	line, _ := ParseURL(c.URL)
	timeout := cmp.Or(c.Timeout, defaultTimeout)
	a := &Adapter{
		config: c,
		line:   line,
		points: make(map[adapters.Settable]*point),
		clock:  clock,
		log:    log.With("adapter", c.Output.Adapter),
	}
	a.open = func(ctx context.Context) (link, error) { return line.open(ctx, max(timeout, minConnectTimeout)) }
	a.status.line("starting", "")
	for i := range c.Devices {
		d := newDevice(line, c.Every, &c.Devices[i])
		a.devices = append(a.devices, d)
		for _, p := range d.points {
			if p.writable {
				a.points[adapters.Settable{Device: d.name, Point: p.name}] = p
			}
		}
	}
	return a, nil
}

// Run polls until ctx ends. What goes wrong on the line or with a device is
// dealt with here, so the only error is that commands can't be subscribed to.
func (a *Adapter) Run(ctx context.Context, bus adapters.Bus) error {
	commands := newInbox()
	settable := make([]adapters.Settable, 0, len(a.points))
	for s := range a.points {
		settable = append(settable, s)
	}
	cancel, err := adapters.SubscribeCommands(bus, a.config.Output, a.clock, settable, commands.put)
	if err != nil {
		return err
	}
	defer cancel()
	report := adapters.NewReporter(a.config.Output, a.clock, bus)
	a.status.reportedBy(report)
	l := &loop{
		line:     a.line,
		open:     a.open,
		timeout:  cmp.Or(a.config.Timeout, defaultTimeout),
		batch:    a.config.Output.Format == adapters.JSONBatch,
		devices:  a.devices,
		points:   a.points,
		commands: commands,
		report:   report,
		clock:    a.clock,
		status:   &a.status,
		log:      a.log,
		units:    make(map[byte]*unitState),
	}
	l.run(ctx)
	return nil
}

// Status is a snapshot.
func (a *Adapter) Status() core.AdapterStatus {
	s := a.status.snapshot()
	s.Name, s.Type = a.config.Output.Adapter, "modbus"
	for _, d := range a.devices {
		ds := d.stats.status(d.name)
		for kind, n := range ds.Errors {
			s.Errors[kind] += n
		}
		s.Devices = append(s.Devices, ds)
	}
	return s
}

// status is the state of the line. The loop writes, anybody reads.
type status struct {
	mu       sync.Mutex
	state    string             // guarded by mu
	problem  string             // guarded by mu
	since    time.Time          // guarded by mu
	load     loadMeter          // guarded by mu
	report   *adapters.Reporter // of the current run; guarded by mu
	readings uint64             // of earlier runs; guarded by mu
}

// line records the state of the line; changed says whether it is news.
func (s *status) line(state, problem string) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == state && s.problem == problem {
		return false
	}
	s.state, s.problem, s.since = state, problem, time.Now()
	return true
}

// busy records that the line was in use until now.
func (s *status) busy(now time.Time, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.load.add(now, took)
}

func (s *status) reportedBy(r *adapters.Reporter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.report != nil {
		s.readings += s.report.Readings()
	}
	s.report = r
}

func (s *status) snapshot() core.AdapterStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	snapshot := core.AdapterStatus{
		Errors:   make(map[string]uint64),
		State:    s.state,
		Error:    s.problem,
		Since:    s.since,
		BusLoad:  s.load.load(time.Now()),
		Readings: s.readings,
	}
	if s.report != nil {
		snapshot.Readings += s.report.Readings()
		if lost := s.report.Lost(); lost > 0 {
			snapshot.Errors["lost"] = lost
		}
	}
	return snapshot
}
