package serial

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"github.com/weir-edge/weir/adapters"
	"github.com/weir-edge/weir/adapters/serial/exchange"
	"github.com/weir-edge/weir/adapters/serial/frame"
	"github.com/weir-edge/weir/adapters/serialport"
	"github.com/weir-edge/weir/core"
)

// Adapter reads one serial line. It is an [adapters.Adapter].
type Adapter struct {
	// Static after construction.
	cfg    Config // with its defaults
	clock  *core.Clock
	log    *slog.Logger
	open   func(serialport.Config) (port, error)
	status *status
	watch  func(Event)
}

// port is what the adapter needs of a [serialport.Port].
type port interface {
	Read(b []byte, deadline time.Time) (int, error)
	Write(b []byte) error
	Flush() error
	Rest(d time.Duration)
	Close() error
	Interrupt()
	Wake()
}

// New makes the adapter of a valid configuration.
func New(cfg Config, clock *core.Clock, log *slog.Logger) *Adapter {
	cfg = cfg.withDefaults()
	return &Adapter{
		cfg:    cfg,
		clock:  clock,
		log:    log.With("adapter", cfg.Name, "device", cfg.Port.Device),
		open:   openPort,
		watch:  func(Event) {},
		status: newStatus(cfg),
	}
}

// openPort keeps a nil *Port from becoming a port that isn't nil.
func openPort(cfg serialport.Config) (port, error) {
	p, err := serialport.Open(cfg)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Status implements [adapters.Adapter].
func (a *Adapter) Status() core.AdapterStatus { return a.status.snapshot() }

// How long to wait before the line is opened again: the first is doubled up to
// the second, so that a device is read again soon after it was plugged in. Who
// is kept out by somebody else, or by its rights, waits longer.
const (
	reopenMin    = 100 * time.Millisecond
	reopenMax    = time.Second
	reopenDenied = 5 * time.Second
	stableAfter  = 5 * time.Second
)

// Run implements [adapters.Adapter]: it opens the line, reads it until the
// device vanishes, and opens it again when the device is back.
func (a *Adapter) Run(ctx context.Context, bus adapters.Bus) error {
	l, err := a.newLine(bus)
	if err != nil {
		return err
	}
	unsubscribe, err := l.commands.subscribe(a.cfg, a.clock, bus)
	if err != nil {
		return err
	}
	defer unsubscribe()
	wait := reopenMin
	for ctx.Err() == nil {
		started := time.Now()
		err := a.serve(ctx, l)
		if ctx.Err() != nil {
			break
		}
		if time.Since(started) >= stableAfter {
			wait = reopenMin
		}
		a.lost(l, err)
		l.commands.refuse(errNoLine)
		sleep(ctx, max(wait, deniedWait(err)))
		wait = min(2*wait, reopenMax)
	}
	return nil
}

// newLine makes all that outlives the port.
func (a *Adapter) newLine(bus adapters.Bus) (*line, error) {
	count := func(kind string) {
		a.status.count(kind)
		a.watch(Event{Time: time.Now(), Kind: Dropped, Text: kind})
	}
	frames, err := frame.New(a.cfg.Framing, a.cfg.Checksum, a.cfg.MaxFrame, count)
	if err != nil {
		return nil, err
	}
	unasked, err := newReader(a.cfg.Parse, a.cfg.Rule)
	if err != nil {
		return nil, err
	}
	asks, err := a.cfg.asks()
	if err != nil {
		return nil, err
	}
	return &line{
		cfg:      a.cfg,
		frames:   frames,
		unasked:  unasked,
		clock:    a.clock,
		log:      a.log,
		status:   a.status,
		watch:    a.watch,
		out:      newReports(a.cfg, adapters.NewReporter(a.cfg.Output, a.clock, bus), a.status),
		asks:     asks,
		rotation: exchange.NewRotation(exchanges(asks)),
		commands: newInbox(),
		limit:    newLimiter(a.cfg.MaxRate),
		pace:     pace{charTime: a.cfg.Port.CharTime(), short: a.cfg.restAfter()},
	}, nil
}

// serve opens the line and reads it until it fails or ctx ends. It owns the port.
func (a *Adapter) serve(ctx context.Context, l *line) error {
	p, err := a.open(a.cfg.Port)
	if err != nil {
		return err
	}
	defer p.Close() // after stop: see serialport, one owner
	stop := context.AfterFunc(ctx, p.Interrupt)
	defer stop()
	l.commands.wakeBy(p.Wake)
	defer l.commands.wakeBy(nil)
	a.status.opened()
	a.log.Info("serial line is open")
	err = l.run(p)
	if ctx.Err() == nil {
		a.status.count(gone)
	}
	return err
}

// lost shows that the line isn't there, and says it once.
func (a *Adapter) lost(l *line, err error) {
	why := plain(a.cfg.Port.Device, err)
	isNew, isOther := a.status.lost(why)
	if isNew || isOther {
		a.log.Warn("waiting for the serial line", "why", why)
	}
	if isNew {
		l.out.noValue("", why, a.clock.Now())
	}
}

// deniedWait is the longer wait for a line that is there but not for us.
func deniedWait(err error) time.Duration {
	if errors.Is(err, serialport.ErrBusy) || errors.Is(err, fs.ErrPermission) {
		return reopenDenied
	}
	return 0
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
