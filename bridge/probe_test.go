package bridge_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/bridge/bridgetest"
	"github.com/weir-edge/weir/core/packet"
)

// Probe against upstreams with the quirks of services. The fake does not route, so
// what has to come back does not, and is found missing.
func TestProbe(t *testing.T) {
	for _, tc := range probeCases() {
		t.Run(tc.name, func(t *testing.T) { synctest.Test(t, tc.run) })
	}
}

type probeCase struct {
	name   string
	quirks bridgetest.Quirks
	limits bridge.Limits
	want   map[string]string // some of the findings
}

func (tc probeCase) run(t *testing.T) {
	w := newWorld(t, nil)
	w.up.Quirks = tc.quirks
	cfg := w.cfg
	cfg.ClientID = "probe"
	got := make(map[string]string)
	limits, err := bridge.Probe(t.Context(), cfg, "weir/probe", func(f bridge.Finding) { got[f.Name] = f.Detail })
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tc.limits, limits); diff != "" {
		t.Error(diff)
	}
	for name, want := range tc.want {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	w.net.Close()
	synctest.Wait()
}

func probeCases() []probeCase {
	closeAt := func(f func(bridgetest.Received) bool) bridgetest.Quirks {
		return bridgetest.Quirks{Publish: func(r bridgetest.Received) bridgetest.Reaction { return bridgetest.Reaction{Close: f(r)} }}
	}
	return []probeCase{
		{
			"all is well",
			bridgetest.Quirks{ReceiveMaximum: 10, Aliases: 5, MaxPacket: 1 << 20, ServerKeepalive: new(uint16(17))},
			bridge.Limits{Protocol: "5", QoS: 2, Keep: 17 * time.Second, Preset: "generic"},
			map[string]string{
				"receive maximum": "10", "topic alias maximum": "5", "maximum packet": "1048576 bytes", "keep-alive": "17s, whatever is asked for",
				"QoS 2": "works", "session kept": "works",
			},
		},
		{
			"closes at QoS 2", closeAt(func(r bridgetest.Received) bool { return r.QoS == 2 }),
			bridge.Limits{Protocol: "5", QoS: 1, Preset: "generic"},
			map[string]string{"QoS 1": "works", "QoS 2": "closes the connection"},
		},
		{
			"no answer to QoS 2",
			bridgetest.Quirks{Publish: func(r bridgetest.Received) bridgetest.Reaction {
				return bridgetest.Reaction{Ignore: r.QoS == 2}
			}},
			bridge.Limits{Protocol: "5", QoS: 1, Preset: "generic"},
			map[string]string{"QoS 2": "gives no answer"},
		},
		{
			"closes at retain", closeAt(func(r bridgetest.Received) bool { return r.Retain }),
			bridge.Limits{Protocol: "5", QoS: 2, Preset: "generic"},
			map[string]string{"retained": "closes the connection"},
		},
		{
			"says no to QoS 2 and retain",
			bridgetest.Quirks{MaximumQoS: new(byte(1)), NoRetain: true},
			bridge.Limits{Protocol: "5", QoS: 1, Preset: "generic"},
			map[string]string{"QoS 2": "not tried: the CONNACK says no", "retained": "not tried: the CONNACK says no"},
		},
		{
			"only 3.1.1, of 200 KiB",
			bridgetest.Quirks{
				Refuse: func(c *packet.Connect) packet.Reason {
					if c.Version == packet.V5 {
						return packet.UnsupportedProtocolVersion
					}
					return packet.Success
				},
				Publish: func(r bridgetest.Received) bridgetest.Reaction {
					return bridgetest.Reaction{Close: len(r.Payload) > 200<<10}
				},
			},
			bridge.Limits{Protocol: "3.1.1", QoS: 2, Preset: "generic"},
			map[string]string{"128 KiB": "works", "256 KiB": "closes the connection", "512 KiB": ""},
		},
		{
			"no wildcards",
			bridgetest.Quirks{Subscribe: func(f string) packet.Reason {
				if f[len(f)-1] == '+' {
					return packet.NotAuthorized
				}
				return packet.Success
			}},
			bridge.Limits{Protocol: "5", QoS: 2, Preset: "generic"},
			map[string]string{"wildcard +": "the upstream refused the subscription: Not authorized", "wildcard #": "works"},
		},
		{
			"sessions do not last",
			bridgetest.Quirks{Forget: true},
			bridge.Limits{Protocol: "5", QoS: 2, Preset: "generic"},
			map[string]string{"session kept": "the session is gone on the next connection: QoS 2 is not exact there, and commands do not wait"},
		},
	}
}

// Without a connection there is nothing to be found out, and why is said.
func TestProbeRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.up.Quirks.Refuse = func(*packet.Connect) packet.Reason { return packet.BadUserNameOrPassword }
		_, err := bridge.Probe(t.Context(), w.cfg, "weir/probe", func(bridge.Finding) { t.Error("a finding") })
		if err == nil || err.Error() != "the upstream refused the connection: Bad User Name or Password (0x86): check username and password" {
			t.Error(err)
		}
		w.net.Close()
		synctest.Wait()
	})
}
