package main

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// TestLazyUplink: an uplink that rests is shown as such, and connects when enough waits.
func TestLazyUplink(t *testing.T) {
	need(t, "mosquitto", "mosquitto_pub")
	up := startMosquitto(t)
	g := startGateway(t, fmt.Sprintf(`
data_dir: %%DATA%%
listeners: [{name: lan, address: "%%MQTT%%"}]
console: {address: "%%CONSOLE%%"}
bridges:
  - name: cloud
    url: mqtt://127.0.0.1:%d
    client_id: gw-1
    connect: {when_owed: 3, linger: 1s}
    out: [{filter: a}] # "#" would take what the gateway says of itself, too
`, up.port))
	at := "--config=" + g.config
	eventually(t, patience, "resting", func() bool { return g.bridgeState() == "resting" })
	publish(t, g.port, "a", "1")
	publish(t, g.port, "a", "2")
	expect(t, 0, []string{"bridge", "ls", at}, "resting", "3 messages wait")
	expect(t, 0, []string{"status", at}, "connects when it is time: 3 messages wait", "2 owed")
	if n := g.status().Bridges[0].Published; n != 0 {
		t.Errorf("%d went out early", n)
	}
	publish(t, g.port, "a", "3")
	eventually(t, patience, "all gone", func() bool { return g.status().Bridges[0].Published == 3 })
	eventually(t, patience, "resting again", func() bool { return g.bridgeState() == "resting" })
}

// TestClientIDTwice: another client has the bridge's client id, and people are told so.
func TestClientIDTwice(t *testing.T) {
	need(t, "mosquitto", "mosquitto_sub")
	up := startMosquitto(t)
	g := startGateway(t, fmt.Sprintf(oneBridge, up.port))
	g.connected()
	start(t, lookPeer("mosquitto_sub"), "-p", strconv.Itoa(up.port), "-i", "gw-1", "-V", "mqttv5", "-t", "x", "-W", "120")
	eventually(t, patience, "told", func() bool { // in 5 connections; Mosquitto 2.0 does not say why it closes them
		return strings.Contains(g.status().Bridges[0].Error, "does another client use the same client_id?")
	})
}
