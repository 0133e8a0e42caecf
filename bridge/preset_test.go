package bridge_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/bridge/bridgetest"
	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
)

// What each service does that its CONNACK does not say: the preset knows it, so that
// everything arrives that can, and no connection is lost over it.
func TestPresets(t *testing.T) {
	closeAt := func(bad func(bridgetest.Received) bool) bridgetest.Quirks {
		return bridgetest.Quirks{Publish: func(r bridgetest.Received) bridgetest.Reaction { return bridgetest.Reaction{Close: bad(r)} }}
	}
	deep := "a/b/c/d/e/f/g/h/i/j/k"
	for _, tc := range []struct {
		preset string
		quirks bridgetest.Quirks
		unfit  int // of the messages below
		rate   bool
	}{
		{preset: "generic"},
		{preset: "mosquitto"},
		{preset: "weir"},
		{preset: "emqx"},
		{preset: "emqx-serverless", unfit: 1, rate: true, quirks: closeAt(func(r bridgetest.Received) bool { return strings.Count(r.Topic, "/") >= 10 })},
		{preset: "hivemq", quirks: bridgetest.Quirks{ReceiveMaximum: 10}},
		{preset: "aws-iot", unfit: 1, quirks: closeAt(func(r bridgetest.Received) bool { return r.QoS == 2 || strings.Count(r.Topic, "/") > 7 })},
		{preset: "azure-iot-hub", quirks: closeAt(func(r bridgetest.Received) bool {
			return r.QoS == 2 || r.Retain || !strings.HasPrefix(r.Topic, "devices/gw-1/messages/events/topic=")
		})},
		{preset: "azure-event-grid", quirks: closeAt(func(r bridgetest.Received) bool { return r.QoS == 2 || r.Retain })},
		{preset: "nats", unfit: 1, quirks: func() bridgetest.Quirks {
			q := closeAt(func(r bridgetest.Received) bool { return strings.Contains(r.Topic, " ") })
			q.Refuse = func(c *packet.Connect) packet.Reason {
				if c.Version == packet.V5 {
					return packet.UnsupportedProtocolVersion
				}
				return packet.Success
			}
			return q
		}()},
		{preset: "rabbitmq", unfit: 1, quirks: closeAt(func(r bridgetest.Received) bool { return r.QoS == 2 || strings.Contains(r.Topic, ".") })},
	} {
		t.Run(tc.preset, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var aside []bridge.Quarantined
				w := newWorld(t, func(c *bridge.Config) {
					c.Preset = tc.preset
					c.Quarantine = func(q bridge.Quarantined) error { aside = append(aside, q); return nil }
				})
				w.up.Quirks = tc.quirks
				w.start()
				after(time.Second)
				topics := []string{"a", deep, "b c", "d.e", "a"}
				for i := range 100 {
					w.put(core.QoS(1+i%2), "a", fmt.Sprint(i))
				}
				for _, topic := range topics {
					w.putMessage(&core.Message{Topic: topic, Payload: []byte("x"), QoS: 2, Retain: true})
				}
				begin := time.Now()
				w.local.Queues()[0].WaitPaid()
				took := time.Since(begin)
				after(time.Second)
				if got, want := len(w.up.Got()), 100+len(topics)-tc.unfit; got != want || len(aside) != tc.unfit {
					t.Errorf("%d arrived, want %d; set aside: %+v", got, want, aside)
				}
				if n := w.bridge.Status().Reconnects; n != 0 {
					t.Errorf("%d reconnects", n)
				}
				if slow := took > 10*time.Second; slow != tc.rate {
					t.Errorf("it took %v", took)
				}
				w.end()
			})
		})
	}
	if n := len(bridge.Presets()); n != 11 {
		t.Errorf("%d presets, not all of which are tried here", n)
	}
}

// The password of Azure IoT Hub is made anew before it ends, without a loss.
func TestAzureToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *bridge.Config) { c.Preset, c.SASKey = "azure-iot-hub", "aGVsbG8=" })
		w.start()
		for i := range 300 {
			w.put(1, "t", fmt.Sprint(i))
			after(time.Minute)
		}
		connects := w.up.Connects()
		if len(connects) != 1+300/48 {
			t.Errorf("%d connections in five hours", len(connects))
		}
		seen := make(map[string]bool)
		for _, c := range connects {
			seen[string(c.Password)] = true
			if user := string(c.Username); user != "cloud/gw-1/?api-version=2021-04-12" {
				t.Errorf("user %s", user)
			}
			if !strings.HasPrefix(string(c.Password), "SharedAccessSignature sr=cloud%2Fdevices%2Fgw-1&sig=") {
				t.Errorf("password %s", c.Password)
			}
		}
		if len(seen) != len(connects) || len(w.up.Got()) != 300 {
			t.Errorf("%d passwords for %d connections, %d messages", len(seen), len(connects), len(w.up.Got()))
		}
		w.end()
	})
}

func TestRoutes(t *testing.T) {
	c := bridge.Config{
		Name: "cloud", Gateway: "gw", ClientID: "id", Preset: "aws-iot",
		Out: []bridge.OutRule{
			{Filter: "plant/#", QoS: 2, RemotePrefix: "site7/", Exclude: []string{"plant/debug/#"}},
			{Filter: "+/+/#", LocalPrefix: "l/", QoS: 1, RemoteTopic: "{gateway}/{bridge}/{client_id}/{2}/{1}/x{#}/{topic}"},
			{Filter: "one", QoS: 1, RemoteTopic: "{3}b"},
		},
		In: []bridge.InRule{
			{Filter: "cmd/#", QoS: 1, RemotePrefix: "site7/", LocalPrefix: "cloud/"},
			{Filter: "set/+", QoS: 1, LocalTopic: "plant/{2}/set"},
		},
	}
	for topic, want := range map[string][]bridge.Route{
		"plant/a":       {{"out", "plant/#", "site7/plant/a", 1, ""}},
		"plant/debug/x": {{"out", "plant/#", "site7/plant/debug/x", 1, "excluded by plant/debug/#"}},
		"l/a/b/c":       {{"out", "l/+/+/#", "gw/cloud/id/b/a/xc/a/b/c", 1, "the topic has more than 8 levels"}},
		"one":           {{"out", "one", "b", 1, ""}},
		"site7/cmd/x":   {{"in", "site7/cmd/#", "cloud/cmd/x", 1, ""}},
		"set/valve":     {{"in", "set/+", "plant/valve/set", 1, ""}},
		"other":         nil,
	} {
		if diff := cmp.Diff(want, c.Routes(topic)); diff != "" {
			t.Errorf("%s: %s", topic, diff)
		}
	}
}
