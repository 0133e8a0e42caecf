package modbus

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/weir-edge/weir/adapters"
	"github.com/weir-edge/weir/adapters/modbus/simulator"
	"github.com/weir-edge/weir/core"
)

// recorder is a Bus that keeps what is published.
type recorder struct {
	mu       sync.Mutex
	messages []*core.Message
	deliver  map[string]func(*core.Message)
	news     chan struct{}
	refuse   error
}

func newRecorder() *recorder {
	return &recorder{deliver: make(map[string]func(*core.Message)), news: make(chan struct{}, 1)}
}

func (r *recorder) Publish(m *core.Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil {
		return r.refuse
	}
	r.messages = append(r.messages, m)
	select {
	case r.news <- struct{}{}:
	default:
	}
	return nil
}

func (r *recorder) Subscribe(filter string, deliver func(*core.Message)) (func(), error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deliver[filter] = deliver
	return func() {}, nil
}

// send delivers a command.
func (r *recorder) send(m *core.Message) {
	r.mu.Lock()
	deliver := r.deliver[m.Topic]
	r.mu.Unlock()
	deliver(m)
}

// take gives what was published since it was last asked.
func (r *recorder) take() []*core.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.messages
	r.messages = nil
	return m
}

// reading is the JSON form of a reading.
type readingDoc struct {
	Time    time.Time `json:"ts"`
	Value   any       `json:"value"`
	Quality string    `json:"quality"`
	Unit    string    `json:"unit"`
	Error   string    `json:"error"`
}

func decode(t testing.TB, m *core.Message) (d readingDoc) {
	t.Helper()
	if err := json.Unmarshal(m.Payload, &d); err != nil {
		t.Fatalf("%s: %v in %s", m.Topic, err, m.Payload)
	}
	return d
}

// latest gives the last reading of each topic.
func latest(t testing.TB, messages []*core.Message) map[string]readingDoc {
	t.Helper()
	last := make(map[string]readingDoc)
	for _, m := range messages {
		last[m.Topic] = decode(t, m)
	}
	return last
}

// patience is how long a test waits for what has to come: only a failure takes as long.
const patience = 2 * time.Minute

// await waits until what was published so far satisfies done.
func (r *recorder) await(t testing.TB, what string, done func(map[string]readingDoc) bool) map[string]readingDoc {
	t.Helper()
	all := make(map[string]readingDoc)
	limit := time.After(patience)
	for {
		maps.Copy(all, latest(t, r.take()))
		if done(all) {
			return all
		}
		select {
		case <-r.news:
		case <-limit:
			t.Fatalf("no %s; there is %v", what, all)
		}
	}
}

// testOutput publishes as "p/DEVICE/POINT".
func testOutput() adapters.Output {
	return adapters.Output{Adapter: "test", Topic: "p/{device}/{point}", QoS: 1}
}

func newAdapter(t testing.TB, c Config) *Adapter {
	t.Helper()
	if c.Output.Adapter == "" {
		c.Output = testOutput()
	}
	a, err := New(c, core.NewClock(), slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// start runs a until the test ends.
func start(t testing.TB, a *Adapter, bus adapters.Bus) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- a.Run(ctx, bus) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// serveTCP serves s on a free port of the loopback interface.
func serveTCP(t testing.TB, s *simulator.Slave) (url string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.ServeTCP(ctx, ln) }()
	t.Cleanup(func() { cancel(); <-done })
	return "tcp://" + ln.Addr().String()
}

// dialPipe makes a speak to s through memory, with the framing that a's line
// has it, so that a test can run in a bubble of fake time.
func dialPipe(t testing.TB, a *Adapter, s *simulator.Slave) {
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	t.Cleanup(func() { cancel(); serving.Wait() })
	a.trunk.open = func(context.Context) (link, error) {
		ours, theirs := net.Pipe()
		serving.Go(func() {
			switch {
			case a.trunk.line.ascii():
				_ = s.ServeASCII(ctx, theirs, simulator.Wire{})
			case a.trunk.line.Serial():
				_ = s.ServeRTU(ctx, theirs, simulator.Wire{})
			default:
				_ = s.ServeConn(ctx, theirs)
			}
			theirs.Close()
		})
		return a.trunk.line.translated(&netLink{ours}), nil
	}
}
