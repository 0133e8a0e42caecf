package modbus

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/weir-edge/weir/adapters"
	"github.com/weir-edge/weir/core"
)

// Adapter polls the devices of one bus and sets their points.
type Adapter struct {
	config  Config
	trunk   *trunk
	devices []*device // owned by who drives the trunk, but for their stats
	points  map[adapters.Settable]*point
	log     *slog.Logger
	status  status
}

var _ adapters.Adapter = (*Adapter)(nil)

// New makes the adapter of a bus that it has for itself. The error is that of
// [Config.Validate].
func New(c Config, clock *core.Clock, log *slog.Logger) (*Adapter, error) {
	return new(Lines).New(c, clock, log)
}

// buildAdapter makes an adapter of a valid configuration.
func buildAdapter(c Config, t *trunk, log *slog.Logger) *Adapter {
	a := &Adapter{
		config: c,
		trunk:  t,
		points: make(map[adapters.Settable]*point),
		log:    log.With("adapter", c.Output.Adapter),
	}
	a.status.line("starting", "")
	for i := range c.Devices {
		d := newDevice(t.line, &c, &c.Devices[i])
		a.devices = append(a.devices, d)
		for _, p := range d.points {
			if p.writable {
				a.points[adapters.Settable{Device: d.name, Point: p.name}] = p
			}
		}
	}
	return a
}

// Run polls until ctx ends. What goes wrong on the line or with a device is
// dealt with here, so the only error is that commands can't be subscribed to, or
// that the proxy's address is taken.
func (a *Adapter) Run(ctx context.Context, bus adapters.Bus) error {
	clock := a.trunk.clock
	m := &member{
		Adapter: a,
		report:  adapters.NewReporter(a.config.Output, clock, bus),
		batch:   a.config.Output.Format == adapters.JSONBatch,
		gone:    make(chan struct{}),
	}
	a.status.reportedBy(m.report)
	a.trunk.join(m)
	defer a.trunk.leave(m)
	settable := make([]adapters.Settable, 0, len(a.points))
	for s := range a.points {
		settable = append(settable, s)
	}
	cancel, err := adapters.SubscribeCommands(bus, a.config.Output, clock, settable, func(c *adapters.Command) {
		a.trunk.accept(&order{m, a.points[adapters.Settable{Device: c.Device, Point: c.Point}], c})
	})
	if err != nil {
		return err
	}
	defer cancel()
	if a.config.Proxy.Address != "" {
		stop, err := m.openProxy(ctx)
		if err != nil {
			return err
		}
		defer stop()
	}
	a.trunk.drive(ctx)
	return nil
}

// openProxy lets other masters in until ctx ends; stop waits for the last of them.
func (m *member) openProxy(ctx context.Context) (stop func(), err error) {
	ln, err := net.Listen("tcp", m.config.Proxy.Address)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		serveProxy(ctx, ln, m.config.Proxy, m)
	}()
	return func() { cancel(); <-done }, nil
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
	demand   float64            // guarded by mu
	longer   time.Duration      // the period that can be kept, while too much is asked for; guarded by mu
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

// asked records how much of the line's time is asked for, and the period that is
// possible if that is too much, else 0.
func (s *status) asked(part float64, achievable time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.demand, s.longer = part, achievable
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
		Asked:    s.demand,
		Possible: s.longer.Seconds(),
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
