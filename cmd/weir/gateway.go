package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-edge/weir/adapters"
	"github.com/weir-edge/weir/adapters/modbus"
	"github.com/weir-edge/weir/adapters/serial"
	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/configs"
	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/audit"
	"github.com/weir-edge/weir/core/auth"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/console"
	"github.com/weir-edge/weir/storage"
)

// gateway is all parts put together. open and run own the order of things:
//
// Start
//  1. the store is opened: what was owed at the last end is owed again
//  2. the broker gets the store's state, and bridges attach to their queues, so
//     that no message is acknowledged that is not owed to them
//  3. the listeners and the console open their addresses
//     — up to here an error means that nothing has started —
//  4. the broker's loop runs, and the checks of logins
//  5. bridges run
//  6. adapters run
//  7. ready
//
// Stop
//  1. adapters: no new readings
//  2. bridges say goodbye to their upstreams; what is unpaid stays owed
//  3. the broker's loop: clients are told, nothing is acknowledged any more
//  4. the store writes what is owed and still in memory
//  5. the console, which shows all of this until the end
type gateway struct {
	// static after open
	name    string
	cfg     *configs.Config
	log     *slog.Logger
	clock   *core.Clock
	started time.Time
	store   *storage.Log
	auth    *auth.Auth
	audit   *audit.Log     // nil: none
	without bool           // the store could not be opened: see bridgeOver
	broker  *broker.Broker // behind mu until open is done
	console *console.Console

	path       string           // of the configuration; "": there is no file
	hangups    <-chan os.Signal // SIGHUP; nil: none is listened for
	work       chan func()      // what is to be done beside reloads
	seen       *bridge.Seen
	supervisor *adapters.Supervisor

	fill    fill
	mu      sync.Mutex  // guards broker until open is done, and bridges
	bridges []*attached // written by run only
	ready   atomic.Bool
}

// newGateway makes a gateway of which nothing is open.
func newGateway(cfg *configs.Config, log *slog.Logger) *gateway {
	g := &gateway{cfg: cfg, log: log, clock: core.NewClock(), started: time.Now(), work: make(chan func()), fill: fill{reserve: uint64(cfg.Storage.Reserve)}}
	host, err := os.Hostname()
	if err != nil {
		host = "weir"
	}
	g.name = cmp.Or(cfg.Gateway, host)
	g.clock.SetSynced(clockKnown())
	return g
}

// open does steps 1 to 3.
func open(cfg *configs.Config, log *slog.Logger) (*gateway, error) {
	g := newGateway(cfg, log)
	if err := g.openStore(); err != nil {
		return nil, err
	}
	return g, g.openRest()
}

// openRest does steps 2 and 3. Where that fails the store is closed.
func (g *gateway) openRest() error {
	if err := errors.Join(g.openBroker(), g.openAdapters()); err != nil {
		return errors.Join(err, g.store.Close())
	}
	return nil
}

func (g *gateway) storeConfig() storage.Config {
	cfg := g.cfg.Store()
	cfg.Clock, cfg.Logger = g.clock, g.log
	// The store may have something to tell before there is a broker to tell it to.
	cfg.Notify = func() {
		if b := g.brokerOrNil(); b != nil {
			b.Wake()
		}
	}
	return cfg
}

func (g *gateway) openStore() error {
	store, err := storage.Open(g.storeConfig())
	if err != nil {
		return fmt.Errorf("open the store in %s: %w", g.cfg.Store().Dir, err)
	}
	g.store = store
	debug.FreeOSMemory() // what recovery needed for a moment
	return nil
}

// brokerOrNil is the broker for those who may come before it.
func (g *gateway) brokerOrNil() *broker.Broker {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.broker
}

func (g *gateway) openBroker() error {
	g.closeDataDir()
	g.openAuth()
	g.openAudit()
	cfg := g.cfg.Broker()
	cfg.Limits.Memory = availableMemory()
	cfg.Audit = g.audit
	cfg.Auth = g.auth
	cfg.Clock, cfg.Logger, cfg.Version, cfg.Fleeting = g.clock, g.log, version(), g.without
	b, err := broker.New(cfg, g.store)
	if err != nil {
		return err
	}
	g.mu.Lock()
	g.broker = b
	g.mu.Unlock()
	if g.bridges, err = g.attachBridges(); err != nil {
		return err
	}
	if err := b.Start(); err != nil {
		return err
	}
	if g.cfg.Console.Address == "" {
		return nil
	}
	cc := g.cfg.ConsoleConfig()
	cc.Audit = g.audit.Note
	cc.Snapshot, cc.Command, cc.Replay, cc.Trace, cc.Logger = g.status, g.command, b.Replay, g.trace, g.log
	cc.Bridges = managed{g}
	cc.Buffer = bufferAPI{liveStore{broker: b, store: g.store, dir: g.cfg.Store().Dir}}
	g.console = console.New(cc)
	return g.console.Start()
}

// run does the rest, until ctx ends and everything has stopped. say prints one
// line for the person who started it.
func (g *gateway) run(ctx context.Context, say func(format string, args ...any)) error {
	audited := g.background(g.audit.Run)
	g.audit.Note("start", "version", version(), "configuration", g.fingerprint())
	consoleEnd := g.background(g.runConsole)
	logins := g.background(g.auth.Run)
	brokerEnd := g.background(g.broker.Run) // 4
	err := g.runRest(ctx, say, brokerEnd.failed)
	g.ready.Store(false)
	err = errors.Join(err, brokerEnd.stop(), logins.stop()) // stop 3
	err = errors.Join(err, g.store.Close())                 // stop 4
	err = errors.Join(err, consoleEnd.stop())
	g.audit.Note("stop")
	return errors.Join(err, audited.stop())
}

// runRest starts what depends on the broker's loop and stops it in the reverse order.
func (g *gateway) runRest(ctx context.Context, say func(string, ...any), brokerFailed <-chan error) (err error) {
	for _, a := range g.uplinks() {
		a.run = g.background(a.Run) // 5
	}
	readers := g.background(g.supervisor.Run) // 6
	g.ready.Store(true)                       // 7
	g.announce(say)
	clock := g.background(g.watchClock)
	state := g.background(newStateTeller(g.name, g.overview, g.broker.Tell).run)
	err = g.attend(ctx, say, brokerFailed)
	err = errors.Join(err, clock.stop(), readers.stop()) // stop 1
	for _, a := range g.uplinks() {                      // stop 2
		a.run.cancel()
	}
	for _, a := range g.uplinks() {
		err = errors.Join(err, a.run.stop())
	}
	return errors.Join(err, state.stop())
}

// attend waits for the end, and reloads the configuration on SIGHUP.
func (g *gateway) attend(ctx context.Context, say func(string, ...any), brokerFailed <-chan error) error {
	for {
		select {
		case <-ctx.Done():
			say("stopping")
			return nil
		case err := <-brokerFailed:
			return err
		case do := <-g.work:
			do()
		case <-g.hangups:
			g.reloadCertificates()
			g.reload(say)
			g.broker.Recheck() // who may not come in any more
		}
	}
}

// background is a part that runs on a goroutine of its own.
type background struct {
	cancel context.CancelFunc
	failed chan error // gets the error with which it ended by itself
	done   chan struct{}
	err    error // valid after done
}

func (g *gateway) background(run func(context.Context) error) *background {
	ctx, cancel := context.WithCancel(context.Background())
	b := &background{cancel: cancel, failed: make(chan error, 1), done: make(chan struct{})}
	go func() {
		defer close(b.done)
		b.err = run(ctx)
		if ctx.Err() == nil {
			b.failed <- b.err
		}
	}()
	return b
}

// stop ends it and waits.
func (b *background) stop() error {
	b.cancel()
	<-b.done
	return b.err
}

func (g *gateway) runConsole(ctx context.Context) error {
	if g.console == nil {
		return nil
	}
	return g.console.Run(ctx)
}

// reloadCertificates reads the certificates of the listeners again.
func (g *gateway) reloadCertificates() {
	if err := g.broker.Reload(); err != nil {
		g.log.Error("certificates cannot be used: those before stay in force", "error", err)
		g.audit.Note("reload refused", "what", "certificates", "error", err)
		return
	}
	g.log.Info("certificates were read again")
}

// watchClock notices when the wall clock becomes known.
func (g *gateway) watchClock(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	before := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			g.auditStep(before, now)
			before = now
			known := clockKnown()
			if known != g.clock.Synced() {
				g.log.Info("what is known of the clock has changed", "synchronised", known)
				g.audit.Note("clock", "synchronised", known)
			}
			g.clock.SetSynced(known)
		}
	}
}

// attachBridges gives each out rule its queue. What was owed to it before the
// last end is found by its name.
func (g *gateway) attachBridges() ([]*attached, error) {
	g.seen = bridge.NewSeen()
	var bridges []*attached
	for _, cfg := range g.cfg.Bridges {
		a, err := g.attach(cfg, nil)
		if err != nil {
			return nil, err
		}
		bridges = append(bridges, a)
	}
	return bridges, nil
}

// ruleConfig is the broker's side of an out rule. Its name is made of what the
// rule takes, so that its queue stays with it when other rules come and go.
func ruleConfig(bridgeName string, rule bridge.OutRule, names map[string]int, wake chan struct{}) broker.RuleConfig {
	name := bridgeName + " " + rule.LocalFilter()
	names[name]++
	if n := names[name]; n > 1 {
		name = fmt.Sprintf("%s (%d)", name, n)
	}
	return broker.RuleConfig{
		Name:              name,
		Filters:           []string{rule.LocalFilter()},
		Excludes:          rule.LocalExcludes(),
		QoS:               rule.QoS,
		BufferQoS0:        rule.BufferQoS0,
		RetainAsPublished: rule.Retain != bridge.Strip,
		NoPublisher:       "bridge:" + bridgeName,
		Policy:            rule.Policy(),
		Wake:              wake,
		History:           rule.History,
	}
}

func (g *gateway) openAdapters() error {
	var (
		all   []adapters.Supervised
		lines modbus.Lines // those that adapters share
	)
	for _, a := range g.cfg.Adapters {
		s := adapters.Supervised{Name: a.Name}
		switch {
		case a.Modbus != nil:
			m, err := lines.New(*a.Modbus, g.clock, g.log)
			if err != nil {
				return err
			}
			s.Type, s.Adapter = "modbus", m
		case a.Serial != nil:
			s.Type, s.Adapter = "serial", serial.New(*a.Serial, g.clock, g.log)
		}
		all = append(all, s)
	}
	g.supervisor = adapters.NewSupervisor(g.log, auditedBus{g.broker, g.audit}, all)
	return nil
}

// trace is the console's: it is asked once everything is there.
func (g *gateway) trace(adapter string, tell func(core.Transaction)) (stop func(), err error) {
	return g.supervisor.Trace(adapter, tell)
}

// status is the whole state, for the console.
func (g *gateway) status(ctx context.Context) (core.Status, error) {
	s, err := g.overview(ctx)
	s.Clients = g.broker.Clients()
	return s, err
}

// overview is the state without a line for each session: with 10,000 of them the
// list is megabytes.
func (g *gateway) overview(context.Context) (core.Status, error) {
	s := core.Status{
		Gateway:     g.name,
		Version:     version(),
		Started:     g.started,
		Uptime:      time.Since(g.started).Seconds(),
		Ready:       g.ready.Load(),
		ClockSynced: g.clock.Synced(),
		Broker:      g.broker.Status(),
		Auth:        g.auth.Status(),
		Buffer:      g.broker.Buffer(),
		Bridges:     []core.BridgeStatus{},
		Adapters:    g.supervisor.Statuses(),
		Process:     processStatus(),
	}
	s.Buffer.FullSeconds = g.fill.seconds(&s.Buffer, time.Now())
	for _, b := range g.uplinks() {
		bs := b.status()
		joinRules(&bs, &s.Buffer)
		s.Bridges = append(s.Bridges, bs)
	}
	return s, nil
}

// announce says in one line each what was started.
func (g *gateway) announce(say func(string, ...any)) {
	for _, l := range g.cfg.Listeners {
		say("listener  %s  %s on %s%s", l.Name, describeListener(l), g.broker.Addr(l.Name), choose(l.Anonymous, ", anybody may connect", ""))
	}
	if r := g.cfg.Auth.Rules; r.Users != nil || r.Tokens != nil {
		say("users     %s", describeLogins(r.Users.Len(), r.Tokens.Len()))
	}
	if g.cfg.Access != nil {
		say("rules     %s", describeRules(g.cfg.Access))
	}
	buffer := g.broker.Buffer()
	if g.without {
		say("store     %s", buffer.Error)
	} else {
		say("store     %s, %s messages waiting, %s of %s used, promise: %s", g.cfg.Store().Dir, count(buffer.Messages), size(buffer.Bytes), size(buffer.Budget), cmp.Or(string(g.cfg.Storage.Promise), string(storage.Synced)))
	}
	for _, b := range g.cfg.Bridges {
		say("bridge    %s  to %s, rules: %d out, %d in", b.Name, b.URLs[0], len(b.Out), len(b.In))
	}
	for _, a := range g.cfg.Adapters {
		say("adapter   %s  %s", a.Name, describeAdapter(a))
	}
	if g.console != nil {
		say("console   http://%s", g.console.Addr())
	}
	say("ready     after %s", time.Since(g.started).Round(time.Millisecond))
}

func describeListener(l broker.Listener) string {
	s := "MQTT"
	if l.WebSocket != nil {
		s += " over WebSocket"
	}
	if l.TLS != nil {
		s += " with TLS"
	}
	if len(l.ProxyFrom) > 0 {
		s += " behind proxies"
	}
	return s
}

func describeAdapter(a configs.Adapter) string {
	if a.Modbus != nil {
		return fmt.Sprintf("Modbus on %s, %d devices", a.Modbus.URL, len(a.Modbus.Devices))
	}
	return "serial line " + a.Serial.Port.Device
}
