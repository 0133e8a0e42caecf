// Package energymeter_test runs the recipe against a simulated meter.
package energymeter_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"github.com/weir-edge/weir/adapters/modbus"
	"github.com/weir-edge/weir/adapters/modbus/simulator"
	"github.com/weir-edge/weir/configs"
	"github.com/weir-edge/weir/core"
)

// bus hands on what the adapter publishes.
type bus chan *core.Message

func (b bus) Publish(m *core.Message) error { b <- m; return nil }

func (b bus) Subscribe(string, func(*core.Message)) (func(), error) { return func() {}, nil }

func TestRecipe(t *testing.T) {
	want := map[string]float64{"voltage": 230.5, "current": 4.25, "power": 980, "frequency": 50, "energy-imported": 1234.5}
	registers := map[string]uint16{"voltage": 0, "current": 6, "power": 12, "frequency": 70, "energy-imported": 72}
	slave := simulator.New()
	for name, at := range registers {
		slave.Unit(1).Float32(simulator.Inputs, at, func(time.Time) float32 { return float32(want[name]) })
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go slave.ServeTCP(t.Context(), listener)
	got := run(t, "tcp://"+listener.Addr().String(), len(want))
	for name, value := range want {
		if got["plant/feed-in/"+name] != value {
			t.Errorf("%s: got %v, want %v", name, got["plant/feed-in/"+name], value)
		}
	}
}

// run loads the recipe for a meter and gives the first value of n points.
func run(t *testing.T, meter string, n int) map[string]float64 {
	t.Helper()
	text, err := os.ReadFile("weir.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := configs.Parse("weir.yaml", text, func(string) (string, bool) { return meter, true })
	if err != nil {
		t.Fatal(err)
	}
	adapter, err := modbus.New(*cfg.Adapters[0].Modbus, core.NewClock(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	out, ended, got := make(bus), make(chan error, 1), map[string]float64{}
	go func() { ended <- adapter.Run(ctx, out) }()
	for len(got) < n && ctx.Err() == nil {
		select {
		case m := <-out:
			var r struct{ Value *float64 }
			if err := json.Unmarshal(m.Payload, &r); err != nil {
				t.Errorf("%s: %v", m.Topic, err)
			}
			if r.Value != nil { // there is none when an answer was late
				got[m.Topic] = *r.Value
			}
		case <-ctx.Done():
		}
	}
	cancel()
	for {
		select {
		case <-out:
		case <-ended:
			return got
		}
	}
}
