package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-edge/weir/core"
)

// DefaultAddress is where the console listens by default.
const DefaultAddress = "127.0.0.1:8080"

// Limits of the server. What it serves is small and the peers are few.
const (
	readTimeout     = 5 * time.Second
	writeTimeout    = 10 * time.Second
	idleTimeout     = time.Minute
	snapshotTimeout = 3 * time.Second
	stopTimeout     = 2 * time.Second
	maxHeader       = 16 << 10
	maxBody         = 64 << 10
	maxConnections  = 64
)

// Config is what a console needs. The zero Address is [DefaultAddress].
type Config struct {
	Address string // host:port, or unix:///path/of/socket
	// Token is what everybody must show; "": nobody must.
	Token string
	// Audit is told of logins and of what is done here; nil: nobody is.
	Audit    func(event string, args ...any)
	Snapshot func(context.Context) (core.Status, error)
	Command  Command // nil: commands are refused
	Bridges  Bridges // nil: they stay as they are
	// Replay sends again what a bridge has kept, until it is done or ctx ends.
	// Its progress function does not wait and is not called after it has returned.
	Replay func(ctx context.Context, want core.Replay, progress func(core.ReplayProgress)) error
	// Buffer answers under /api/v1/buffer/, to those who may be trusted with it.
	Buffer http.Handler
	// Trace has the transactions of an adapter's line told until stop is called.
	Trace  func(adapter string, tell func(core.Transaction)) (stop func(), err error)
	Logger *slog.Logger
}

// Console is the HTTP server. Start it, then run it.
type Console struct {
	// static after New
	cfg      Config
	log      *slog.Logger
	families []family
	assets   map[string]asset
	hub      *hub
	logins   *logins
	tracers  atomic.Int32 // who read a trace

	// set by Start
	listener net.Listener
	loopback bool // the Host header is checked
	local    bool // only this machine reaches it
}

// New makes a console; nothing is opened yet.
func New(cfg Config) *Console {
	cfg.Address = cmp.Or(cfg.Address, DefaultAddress)
	c := &Console{cfg: cfg, log: cfg.Logger, families: families(), assets: loadAssets()}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.hub, c.logins = newHub(c.event), newLogins(cfg.Token)
	return c
}

// Start opens the address, so that an error comes before anything runs.
func (c *Console) Start() error {
	l, err := listen(c.cfg.Address)
	if err != nil {
		return fmt.Errorf("open console: %w", err)
	}
	c.loopback = isLoopback(l.Addr())
	c.local = c.loopback || l.Addr().Network() == "unix"
	c.listener = newLimitListener(l, maxConnections)
	return nil
}

// Addr is the address that Start opened.
func (c *Console) Addr() net.Addr { return c.listener.Addr() }

// Run serves until ctx ends and everything it started has returned. The address
// is closed then.
func (c *Console) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	server := c.server(ctx)
	var children sync.WaitGroup
	children.Go(func() { c.hub.run(ctx) })
	children.Go(func() {
		<-ctx.Done()
		stop(server)
	})
	err := server.Serve(c.listener)
	cancel()
	children.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve console: %w", err)
}

// server is bounded in everything that a peer could draw out. The requests live
// in ctx, so the streams of events end with it.
func (c *Console) server(ctx context.Context) *http.Server {
	return &http.Server{
		Handler:           c.Handler(),
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(c.log.Handler(), slog.LevelDebug),
	}
}

// stop lets the running answers finish, but not for long.
func stop(server *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		server.Close()
	}
}

// Handler answers all requests. It may be used without Start and Run, except for
// the events, which come from Run.
func (c *Console) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", c.serveHealth)
	mux.HandleFunc("GET /readyz", c.serveReady)
	mux.HandleFunc("GET /metrics", c.serveMetrics)
	mux.HandleFunc("GET /api/v1/status", c.serveStatus)
	mux.HandleFunc("GET /api/v1/events", c.serveEvents)
	mux.HandleFunc("GET /api/v1/adapters/{adapter}/trace", c.serveTrace)
	mux.HandleFunc("POST /api/v1/bridges/{bridge}/{verb}", c.serveCommand)
	mux.Handle("POST /api/v1/bridges", c.trusted(c.cfg.Bridges != nil, http.HandlerFunc(c.servePutBridge)))
	mux.Handle("DELETE /api/v1/bridges/{bridge}", c.trusted(c.cfg.Bridges != nil, http.HandlerFunc(c.serveRemoveBridge)))
	mux.Handle("POST /api/v1/replay", c.trusted(c.cfg.Replay != nil, http.HandlerFunc(c.serveReplay)))
	mux.HandleFunc("GET /login", c.servePageOfLogins)
	mux.HandleFunc("POST /login", c.serveLogin)
	mux.HandleFunc("POST /logout", c.serveLogout)
	mux.HandleFunc("GET /{file...}", c.serveAsset)
	all := http.NewServeMux()
	all.Handle("POST /api/v1/buffer/", c.trusted(c.cfg.Buffer != nil, http.HandlerFunc(c.serveBuffer))) // an import is as long as it is
	all.Handle("/", bounded(mux))
	return c.guard(http.NewCrossOriginProtection().Handler(c.admit(all)))
}

// serveBuffer hands on what is about the buffer.
func (c *Console) serveBuffer(w http.ResponseWriter, r *http.Request) {
	c.note("buffer "+path.Base(r.URL.Path), "what", r.URL.RawQuery, "address", r.RemoteAddr)
	c.cfg.Buffer.ServeHTTP(w, r)
}
