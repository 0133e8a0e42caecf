//go:build linux

package load

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startBroker runs a broker on the loopback for as long as the test.
func startBroker(t *testing.T, change func(*broker.Config)) (address string) {
	t.Helper()
	store := brokertest.NewStore()
	cfg := broker.Config{Listeners: []broker.Listener{{Name: "load", Address: "127.0.0.1:0", Anonymous: true}}}
	if change != nil {
		change(&cfg)
	}
	b, err := broker.New(cfg, store)
	if err != nil {
		t.Fatal(err)
	}
	store.Notify(b.Wake)
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("run the broker: %v", err)
		}
	})
	return b.Addr("load").String()
}

func TestScenarios(t *testing.T) {
	address := startBroker(t, nil)
	for name, o := range map[string]Options{
		"fan-in":       {Scenario: "fan-in", QoS: 1},
		"fan-out":      {Scenario: "fan-out", Subscribers: 7},
		"pairs":        {Scenario: "pairs", QoS: 2},
		"pairs, v5":    {Scenario: "pairs", QoS: 1, Version: packet.V5},
		"telemetry":    {Scenario: "telemetry"},
		"paced":        {Scenario: "telemetry", QoS: 1, Rate: 5000, Messages: 500},
		"timed":        {Scenario: "fan-in", Duration: 300 * time.Millisecond},
		"large":        {Scenario: "large", QoS: 1, Messages: 8},
		"large, small": {Scenario: "large", Messages: 8, Size: bigSize + 10},
	} {
		t.Run(name, func(t *testing.T) {
			if o.Messages == 0 && o.Duration == 0 {
				o.Messages = 5000
			}
			r := run1(t, address, o)
			if r.Sent == 0 || r.Delivered == 0 || r.P50 == 0 || r.Rate == 0 || r.RSS == 0 {
				t.Errorf("something is not measured: %+v", r)
			}
		})
	}
}

// run1 runs a scenario that must not lose anything.
func run1(t *testing.T, address string, o Options) *Result {
	t.Helper()
	o.Address, o.PID, o.Settle = address, os.Getpid(), 10*time.Millisecond
	o.Patience = time.Minute // what is late on a busy machine is not lost
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Lost+r.Duplicate+r.OutOfOrder+r.Refused > 0 {
		t.Errorf("lost %d, duplicate %d, out of order %d, refused %d", r.Lost, r.Duplicate, r.OutOfOrder, r.Refused)
	}
	return r
}

func TestScenariosWithFigures(t *testing.T) {
	address := startBroker(t, nil)
	for _, tt := range []struct {
		o         Options
		delivered uint64
		figures   []string
	}{
		{Options{Scenario: "connect", Count: 200}, 200, nil},
		{Options{Scenario: "idle", Count: 200, Duration: 10 * time.Millisecond}, 200, []string{"memory per connection"}},
		{Options{Scenario: "subscriptions", Count: 3000, Messages: 2000}, 0, []string{"memory per filter", "growth"}},
		{Options{Scenario: "retained", Count: 1000}, 2000, []string{"memory per retained message", "CPU per message read at QoS 0", "never delivered at QoS 1"}},
	} {
		t.Run(tt.o.Scenario, func(t *testing.T) {
			r := run1(t, address, tt.o)
			if tt.delivered > 0 && r.Delivered != tt.delivered {
				t.Errorf("delivered %d, want %d", r.Delivered, tt.delivered)
			}
			for _, name := range tt.figures {
				if _, ok := r.Figure(name); !ok {
					t.Errorf("no figure %q in %+v", name, r.Figures)
				}
			}
		})
	}
}

// TestUnreliableBroker: what a broker loses, repeats and exchanges is counted, and
// does not hang the run.
func TestUnreliableBroker(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	u := &unreliable{}
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { u.serve(conn) })
		}
	})
	r, err := Run(t.Context(), Options{
		Scenario: "fan-in", Publishers: 1, Address: l.Addr().String(),
		Messages: 1000, Patience: 2 * time.Second, // what comes later is lost, too
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Sent != 1100 || r.Lost != 11 || r.Duplicate != 11 || r.OutOfOrder != 11 {
		t.Errorf("got %+v, want 1100 sent, 11 each lost, duplicate, out of order", r)
	}
}

// unreliable is a relay to its first client that treats every hundredth message badly.
type unreliable struct {
	mu  sync.Mutex
	sub net.Conn
	n   int
	old []byte
}

func (u *unreliable) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		begin, _ := in.Peek(2) // shorter at the end of the connection
		if len(begin) < 2 {
			return
		}
		if begin[1] >= 0x80 {
			begin, _ = in.Peek(3)
		}
		h, n, _ := packet.ReadHeader(begin)
		b := make([]byte, n+h.Length)
		if _, err := io.ReadFull(in, b); err != nil {
			return
		}
		u.take(conn, h.Type, b)
	}
}

func (u *unreliable) take(conn net.Conn, t packet.Type, b []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch t {
	case packet.CONNECT:
		conn.Write((&packet.Connack{}).AppendTo(nil, packet.V311))
	case packet.SUBSCRIBE:
		u.sub = conn
		conn.Write([]byte{byte(packet.SUBACK) << 4, 3, b[2], b[3], 0})
	case packet.PUBLISH:
		u.relay(b)
	}
}

func (u *unreliable) relay(b []byte) {
	u.n++
	switch u.n % 100 {
	case 10: // lost
	case 20:
		u.sub.Write(b)
		u.sub.Write(b)
	case 30: // comes after the next
		u.old = b
	case 31:
		u.sub.Write(b)
		u.sub.Write(u.old)
	default:
		u.sub.Write(b)
	}
}

func TestRunErrors(t *testing.T) {
	address := startBroker(t, nil)
	small := startBroker(t, func(c *broker.Config) { c.Limits.MaxPacket = 2000 })
	ended, end := context.WithCancel(t.Context())
	end()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		o    Options
		want string
	}{
		{"unknown scenario", t.Context(), Options{Scenario: "storm"}, "unknown scenario"},
		{"payload without room for the stamp", t.Context(), Options{Scenario: "pairs", Size: 10}, "size (10) must be at least 24"},
		{"payload too large for the broker", t.Context(), Options{Scenario: "pairs", Address: small, Size: 5000}, "connection lost"},
		{"nobody listens", t.Context(), Options{Scenario: "pairs", Address: "127.0.0.1:1"}, "connection refused"},
		{"no such process", t.Context(), Options{Scenario: "connect", Address: address, Count: 1, PID: 5_000_000}, "CPU time"},
		{"cancelled", ended, Options{Scenario: "connect", Address: address}, "context canceled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.o.Address == "" {
				tt.o.Address = address
			}
			if _, err := Run(tt.ctx, tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}
