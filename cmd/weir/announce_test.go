package main

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// TestStateUpstream: those at the upstream see, retained, whether the gateway is there:
// when it comes, says goodbye, is paused, and is killed.
func TestStateUpstream(t *testing.T) {
	need(t, "mosquitto", "mosquitto_sub")
	for _, protocol := range []string{"5", "3.1.1"} {
		t.Run(protocol, func(t *testing.T) {
			up := startMosquitto(t)
			g := startGateway(t, strings.Replace(fmt.Sprintf(oneBridge, up.port), "client_id: gw-1", "client_id: gw-1\n    state_topic: site7/weir/state\n    protocol: "+protocol, 1))
			at := "--config=" + g.config
			shows := func(want string) {
				t.Helper()
				eventually(t, patience, want, func() bool {
					out, _ := run(t, lookPeer("mosquitto_sub"), "-p", strconv.Itoa(up.port), "-t", "site7/weir/state", "-C", "1", "-W", "5", "-F", "%r %p")
					return strings.TrimSpace(out) == "1 "+want
				})
			}
			shows("online")
			expect(t, 0, []string{"bridge", "test", at}, "echo") // with a client id of its own
			shows("online")
			expect(t, 0, []string{"bridge", "pause", "cloud", at}, "paused")
			shows("offline")
			expect(t, 0, []string{"bridge", "resume", "cloud", at}, "resumed")
			shows("online")
			g.kill()
			shows("offline")
			g.start()
			shows("online")
			g.stop()
			shows("offline")
		})
	}
}
