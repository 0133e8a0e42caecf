package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-edge/weir/core"
)

const boundsConfig = `
data_dir: %%DATA%%
listeners: [{name: lan, address: "%%MQTT%%"}]
console: {address: "%%CONSOLE%%"}
storage: {reserve: 0, budget: 64MiB}
bridges:
  - name: cloud
    url: mqtt://127.0.0.1:%d
    client_id: gw-1
    backoff: {min: 100ms, max: 500ms}
    out:
      - {filter: "plant/#", qos: 1}
      - {filter: "alarm/#", qos: 1, priority: 9}
      - {filter: "bill/#", qos: 1, priority: 9, max_bytes: 8KiB, on_full: refuse}
      - {filter: "now/#", qos: 1, priority: 9, max_age: 1s}
`

// TestBounds fills a small budget while the uplink is down: what is bulk gives way,
// an alarm does not, a bill is refused when its own queue is full, and what has lost
// its worth by the time the uplink is back does not go out. Everything that gave way
// is counted, for whom and why.
func TestBounds(t *testing.T) {
	need(t, "mosquitto", "mosquitto_pub", "mosquitto_sub")
	up := startMosquitto(t)
	away(t, up.port, "#")
	up.stop()
	g := startGateway(t, fmt.Sprintf(boundsConfig, up.port))
	for i := range 2 {
		publish(t, g.port, "alarm/a", fmt.Sprint("alarm ", i))
		publish(t, g.port, "now/a", fmt.Sprint("now ", i))
	}
	bills, refused := 0, false
	for i := 0; i < 20 && !refused; i++ {
		out, _ := run(t, lookPeer("mosquitto_pub"), "-V", "mqttv5", "-p", strconv.Itoa(g.port), "-q", "1", "-t", "bill/a", "-m", strings.Repeat("x", 2000))
		if refused = strings.Contains(out, "Quota exceeded"); !refused {
			bills++
		}
	}
	if !refused || bills < 2 {
		t.Errorf("%d bills of two kilobytes in a queue of 8 KiB, refused: %v", bills, refused)
	}
	const n = 5000
	acksOf(t, g.port, n, 20, func(int) []byte { return randomBytes(20_000) }) // a hundred megabytes

	drops := func() map[string]core.ReceiverStatus {
		out, code := weir(t, "buffer", "ls", "--json", "--config", g.config)
		var list []core.ReceiverStatus
		if err := json.Unmarshal([]byte(out), &list); err != nil || code != exitOK {
			t.Fatalf("buffer ls: code %d, %v\n%s", code, err, out)
		}
		byName := make(map[string]core.ReceiverStatus)
		for _, r := range list {
			byName[r.Name] = r
		}
		return byName
	}
	d := drops()
	bulk, alarm, bill := d["cloud plant/#"], d["cloud alarm/#"], d["cloud bill/#"]
	if k := bulk.Dropped[core.DroppedStoreFull]; k == 0 || k+bulk.Owed != n || bulk.Owed < n/3 {
		t.Errorf("bulk: %+v", bulk)
	}
	if alarm.Owed != 2 || len(alarm.Dropped) > 0 || bill.Owed != uint64(bills) || len(bill.Dropped) > 0 {
		t.Errorf("what is worth more: %+v, %+v", alarm, bill)
	}

	up.start()
	g.connected()
	eventually(t, patience, "drained", func() bool { return g.status().Buffer.Messages == 0 })
	if n := g.status().Buffer.Dropped[core.DroppedExpired]; n != 2 {
		t.Errorf("%d were too old, of 2", n)
	}
	counts := received(t, up.port, int(bulk.Owed)+2+bills)
	if counts["plant"] != int(bulk.Owed) || counts["alarm"] != 2 || counts["bill"] != bills || counts["now"] != 0 {
		t.Errorf("arrived: %v", counts)
	}
}

// received takes n messages for the session that was away, and counts them by the
// first level of their topics.
func received(t *testing.T, port, n int) map[string]int {
	t.Helper()
	c := dialRaw(t, port, "away", false)
	defer c.Close()
	counts := make(map[string]int)
	for range n {
		_, body := c.packet(t)
		at := 2 + int(body[0])<<8 + int(body[1])
		first, _, _ := strings.Cut(string(body[2:at]), "/")
		counts[first]++
		if _, err := c.Write([]byte{0x40, 2, body[at], body[at+1]}); err != nil {
			t.Fatal(err)
		}
	}
	return counts
}
