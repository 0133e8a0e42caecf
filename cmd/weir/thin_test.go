package main

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/weir-edge/weir/core"
)

// TestThinnedRule: what a metered link is spared is counted where people look.
func TestThinnedRule(t *testing.T) {
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
    out:
      - {filter: "fast/#", min_interval: 3s, retain: keep}
      - {filter: "slow/#", deadband: 5%%}
`, up.port))
	g.connected()
	for _, p := range []string{"100", "104", "106"} {
		publish(t, g.port, "slow/a", p)
	}
	for i := range 5 {
		publish(t, g.port, "fast/a", strconv.Itoa(i))
	}
	eventually(t, patience, "all settled", func() bool { return g.status().Bridges[0].Owed == 0 })
	rules := g.status().Bridges[0].Rules
	if n := rules[0].Dropped[core.DroppedSuperseded]; n == 0 || rules[0].Messages+n != 5 {
		t.Errorf("min_interval: %+v", rules[0])
	}
	if n := rules[1].Dropped[core.DroppedDeadband]; n != 1 || rules[1].Messages != 2 {
		t.Errorf("deadband: %+v", rules[1])
	}
	expect(t, 0, []string{"bridge", "status", "--config=" + g.config}, "superseded", "1 deadband")
}
