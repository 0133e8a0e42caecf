package main

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-edge/weir/core"
)

// TestStateTeller: what changes in kind is told within a second, numbers every
// ten, and nothing is told twice.
func TestStateTeller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := core.Status{
			Gateway: "g",
			Buffer:  core.BufferStatus{State: "ok"},
			Bridges: []core.BridgeStatus{{Name: "cloud", State: "connected"}},
			Adapters: []core.AdapterStatus{{
				Name: "meters", State: "running", Devices: []core.DeviceStatus{{Name: "m1", Up: true}},
			}},
		}
		var mu sync.Mutex // guards s and heard
		var heard []*core.Message
		change := func(f func()) {
			mu.Lock()
			defer mu.Unlock()
			f()
		}
		teller := newStateTeller("g",
			func(context.Context) (core.Status, error) {
				mu.Lock()
				defer mu.Unlock()
				return s, nil
			},
			func(m *core.Message) error {
				change(func() { heard = append(heard, m) })
				return nil
			})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- teller.run(ctx) }()
		listen := func(d time.Duration) string {
			time.Sleep(d)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			var topics []string
			for _, m := range heard {
				if !m.Retain || m.QoS != 0 || !json.Valid(m.Payload) {
					t.Errorf("%s is told as %+v", m.Topic, m)
				}
				topics = append(topics, strings.TrimPrefix(m.Topic, "weir/g/"))
			}
			heard = nil
			return strings.Join(topics, " ")
		}
		hears := func(what, got, want string) {
			t.Helper()
			if got != want {
				t.Errorf("%s: told %q, want %q", what, got, want)
			}
		}

		hears("at the start", listen(10*time.Millisecond), "info health buffer adapters/meters bridges/cloud")
		change(func() { s.Buffer.Messages = 7 })
		hears("a number, soon", listen(8*time.Second), "")
		hears("a number, later", listen(3*time.Second), "buffer")
		change(func() {
			s.Bridges = []core.BridgeStatus{{Name: "cloud", State: "waiting", Error: "connection refused"}}
		})
		hears("a bridge", listen(time.Second), "health bridges/cloud")
		change(func() {
			s.Adapters = []core.AdapterStatus{{Name: "meters", State: "running", Devices: []core.DeviceStatus{{Name: "m1"}}}}
		})
		hears("a device", listen(time.Second), "health adapters/meters")
		hears("nothing new", listen(time.Minute), "")
		cancel()
		hears("the end", listen(0), "health")
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestStateTopics: somebody who subscribes sees the state, and none of it is
// written to disk.
func TestStateTopics(t *testing.T) {
	need(t, "mosquitto_sub")
	g := startGateway(t, `
gateway: cabinet-7
data_dir: %DATA%
listeners: [{name: lan, address: "%MQTT%"}]
console: {address: "%CONSOLE%"}
`)
	out := mustRun(t, "mosquitto_sub", "-p", strconv.Itoa(g.port), "-t", "weir/#", "-C", "3", "-W", "120", "-v")
	for _, want := range []string{
		`weir/cabinet-7/info {"gateway":"cabinet-7"`, `weir/cabinet-7/health {"state":"ok","problems":[]`, `weir/cabinet-7/buffer {"messages":0`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%s is missing in\n%s", want, out)
		}
	}
}
