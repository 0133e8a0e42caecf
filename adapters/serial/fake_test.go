package serial

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/weir-edge/weir/adapters"
	"github.com/weir-edge/weir/adapters/serialport"
	"github.com/weir-edge/weir/core"
)

// message is what a test looks at in a published message.
type message struct {
	topic   string
	value   any
	unit    string
	quality string
	error   string
	at      time.Time
}

// fakeBus keeps what is published, in order.
type fakeBus struct {
	messages chan message
	refuse   error // Publish returns it; set before the start
}

func newFakeBus() *fakeBus { return &fakeBus{messages: make(chan message, 100_000)} }

func (b *fakeBus) Publish(m *core.Message) error {
	if b.refuse != nil {
		return b.refuse
	}
	var r struct {
		Value   any
		Unit    string
		Quality string
		Error   string
	}
	if err := json.Unmarshal(m.Payload, &r); err != nil {
		return err
	}
	b.messages <- message{m.Topic, r.Value, r.Unit, r.Quality, r.Error, m.Received.Time()}
	return nil
}

func (b *fakeBus) Subscribe(string, func(*core.Message)) (func(), error) {
	return func() {}, nil
}

// next waits for the next message.
func (b *fakeBus) next(t *testing.T) message {
	t.Helper()
	select {
	case m := <-b.messages:
		return m
	case <-time.After(time.Minute):
		t.Fatal("no message")
		return message{}
	}
}

// fakePort is a line in memory, for tests whose time is synctest's.
type fakePort struct {
	in       chan []byte // from the device
	unplug   chan struct{}
	woken    chan struct{}
	onWrite  func(request string) error
	mu       sync.Mutex
	stop     chan struct{}
	stopOnce sync.Once
	closed   bool
}

func newFakePort() *fakePort {
	return &fakePort{
		in:      make(chan []byte, 100),
		unplug:  make(chan struct{}),
		woken:   make(chan struct{}, 1),
		stop:    make(chan struct{}),
		onWrite: func(string) error { return nil },
	}
}

func (p *fakePort) Read(b []byte, deadline time.Time) (int, error) {
	var timeout <-chan time.Time
	if !deadline.IsZero() {
		timeout = time.After(time.Until(deadline))
	}
	select {
	case chunk := <-p.in:
		return copy(b, chunk), nil
	case <-timeout:
		return 0, serialport.ErrTimeout
	case <-p.woken:
		return 0, serialport.ErrTimeout
	case <-p.unplug:
		return 0, serialport.ErrGone
	case <-p.stop:
		return 0, serialport.ErrInterrupted
	}
}

func (p *fakePort) Write(b []byte) error { return p.onWrite(string(b)) }

func (p *fakePort) Flush() error {
	for {
		select {
		case <-p.in:
		default:
			return nil
		}
	}
}

func (p *fakePort) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return nil
}

func (p *fakePort) Rest(d time.Duration) { time.Sleep(d) }

func (p *fakePort) Wake() {
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

func (p *fakePort) Interrupt() { p.stopOnce.Do(func() { close(p.stop) }) }

// newTestAdapter makes an adapter that publishes under t/, on open's ports.
func newTestAdapter(t *testing.T, cfg Config, open func(serialport.Config) (port, error)) *Adapter {
	t.Helper()
	cfg.Name = "line"
	if cfg.Port.Device == "" {
		cfg.Port.Device = "/dev/fake"
	}
	if cfg.Output.Topic == "" {
		cfg.Output.Topic = "t/{device}/{field}"
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	a := New(cfg, core.NewClock(), discard())
	if open != nil {
		a.open = open
	}
	return a
}

// start runs the adapter until the end of the test or the call of stop, which
// waits for it.
func start(t *testing.T, a *Adapter, bus adapters.Bus) (stop func()) {
	t.Helper()
	ctx, cancel := contextOf(t)
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx, bus) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}
