package bridge_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/bridge/bridgetest"
	"github.com/weir-edge/weir/core/packet"
)

// TestTrial: the steps, and under which names it goes through them. Azure IoT Hub takes
// none but the device's, and closes the connection at what it does not know.
func TestTrial(t *testing.T) {
	for _, tc := range []struct {
		preset, client, topic string
		steps                 []string // in the order of the alphabet: echo and PUBACK come as they like
	}{
		{"generic", "gw-1-test", "weir/test/gw-1", []string{"CONNACK", "PUBACK", "TCP", "echo", "subscribe"}},
		{"azure-iot-hub", "gw-1", "devices/gw-1/messages/events/", []string{"CONNACK", "PUBACK", "TCP"}},
	} {
		t.Run(tc.preset, func(t *testing.T) {
			up := new(bridgetest.Upstream)
			var echo sync.WaitGroup
			defer echo.Wait()
			up.Quirks.Refuse = func(c *packet.Connect) packet.Reason {
				if string(c.ClientID) != tc.client {
					return packet.BadUserNameOrPassword
				}
				return packet.Success
			}
			up.Quirks.Publish = func(r bridgetest.Received) bridgetest.Reaction {
				echo.Go(func() { up.Publish(r.Topic, r.Payload, 1, nil) }) // it passes nothing on by itself
				return bridgetest.Reaction{Close: !strings.HasPrefix(r.Topic, tc.topic)}
			}
			cfg := bridge.Config{
				Name: "cloud", ClientID: "gw-1", Preset: tc.preset, URLs: []string{"mqtt://" + listenUp(t, up.Serve)},
				Out: []bridge.OutRule{{Filter: "#", QoS: 1}},
			}
			var steps []string
			err := bridge.Trial(t.Context(), cfg, cfg.URLs[0], "", "", func(s bridge.Step) { steps = append(steps, s.Name) })
			slices.Sort(steps)
			if diff := cmp.Diff(tc.steps, steps); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}
