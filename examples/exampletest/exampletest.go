// Package exampletest runs the recipes: it loads a recipe's weir.yaml, gives its
// serial line a pseudo-terminal with a simulated device at the other end, and
// collects what the adapter publishes.
package exampletest

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/weir-edge/weir/adapters"
	"github.com/weir-edge/weir/adapters/serial"
	"github.com/weir-edge/weir/adapters/serialport/pty"
	"github.com/weir-edge/weir/configs"
	"github.com/weir-edge/weir/core"
)

// Line is the serial line of a recipe, with its adapter running.
type Line struct {
	t        testing.TB
	device   *os.File
	messages chan *core.Message

	mu      sync.Mutex // guards all below
	deliver map[string]func(*core.Message)
}

// Start runs the only adapter of ./weir.yaml until the test ends.
func Start(t testing.TB) *Line {
	t.Helper()
	cfg, err := configs.Load("weir.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Adapters) != 1 || cfg.Adapters[0].Serial == nil {
		t.Fatal("a recipe has one adapter, which is serial")
	}
	device, path, err := pty.New()
	if err != nil {
		t.Fatal(err)
	}
	l := &Line{t: t, device: device, messages: make(chan *core.Message, 10_000), deliver: make(map[string]func(*core.Message))}
	line := *cfg.Adapters[0].Serial
	line.Port.Device = path
	a := serial.New(line, core.NewClock(), slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		device.Close()
	})
	for a.Status().State != "running" {
		select {
		case <-time.After(time.Millisecond):
		case <-t.Context().Done():
			t.Fatal("the line was not opened")
		}
	}
	return l
}

// Play sends the lines of a file, behind the rest of a line in whose middle we
// came.
func (l *Line) Play(file string) {
	l.t.Helper()
	stream, err := os.ReadFile(file)
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := l.device.WriteString("9.9\r\n" + string(stream)); err != nil {
		l.t.Fatal(err)
	}
}

// Answer answers requests in the manner of the device until the test ends.
func (l *Line) Answer(answer func(request string) string) {
	go func() {
		b := make([]byte, 256)
		for {
			n, err := l.device.Read(b)
			if err != nil {
				return
			}
			if _, err := l.device.WriteString(answer(string(b[:n]))); err != nil {
				return
			}
		}
	}()
}

// Expect reads messages until all topics of want have had their values, each the
// first of its topic. A value of a document is named topic#name.
func (l *Line) Expect(want map[string]any) {
	l.t.Helper()
	got := make(map[string]any)
	timeout := time.After(20 * time.Second)
	for len(got) < len(want) {
		select {
		case m := <-l.messages:
			for topic, v := range values(m) {
				if _, asked := want[topic]; asked && got[topic] == nil {
					got[topic] = v
				}
			}
		case <-timeout:
			l.t.Fatalf("got %v; want %v", got, want)
		}
	}
	for topic, v := range want {
		if got[topic] != v {
			l.t.Errorf("%s = %v; want %v", topic, got[topic], v)
		}
	}
}

// values are the good values of a message.
func values(m *core.Message) map[string]any {
	var r struct {
		Value   any
		Values  map[string]any
		Quality string
		OK      *bool
	}
	if err := json.Unmarshal(m.Payload, &r); err != nil {
		return map[string]any{m.Topic: string(m.Payload)}
	}
	all := make(map[string]any)
	switch {
	case r.OK != nil:
		all[m.Topic] = *r.OK
	case r.Quality == string(adapters.Good) && r.Values == nil:
		all[m.Topic] = r.Value
	}
	for name, v := range r.Values {
		all[m.Topic+"#"+name] = v
	}
	return all
}

// Set publishes a command.
func (l *Line) Set(topic, payload string) {
	l.mu.Lock()
	deliver := l.deliver[topic]
	l.mu.Unlock()
	if deliver == nil {
		l.t.Fatalf("nobody has subscribed to %s", topic)
	}
	deliver(&core.Message{Topic: topic, Payload: []byte(payload)})
}

// Publish implements [adapters.Bus].
func (l *Line) Publish(m *core.Message) error {
	l.messages <- m
	return nil
}

// Subscribe implements [adapters.Bus].
func (l *Line) Subscribe(filter string, deliver func(*core.Message)) (cancel func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deliver[filter] = deliver
	return func() {}, nil
}
