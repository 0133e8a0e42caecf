package main

import (
	"fmt"
	"testing"
)

// TestProbeMosquitto: what probe finds out is what mosquitto was told to be.
func TestProbeMosquitto(t *testing.T) {
	need(t, "mosquitto")
	for name, tc := range map[string]struct {
		conf []string
		want []string
	}{
		"as it comes": {nil, []string{"MQTT 5.0", "maximum QoS          ok  2", "QoS 2                ok  works", "1024 KiB             ok  works", "protocol: 5", "qos: 2, retain: keep"}},
		"with limits": {
			[]string{"max_qos 1", "retain_available false", "max_packet_size 100000", "max_inflight_messages 7", "max_keepalive 40"},
			[]string{
				"maximum QoS          no  1", "retain               no  no", "maximum packet       ok  100000 bytes", "receive maximum      ok  7",
				"QoS 2                no  not tried: the CONNACK says no", "qos: 1, retain: strip",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			up := startMosquitto(t, tc.conf...)
			expect(t, 0, []string{"bridge", "probe", fmt.Sprintf("mqtt://127.0.0.1:%d", up.port)}, tc.want...)
		})
	}
}
