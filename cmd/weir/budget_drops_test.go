package main

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-edge/weir/core"
)

const tightBridge = `
bridges:
  - name: cloud
    url: mqtt://127.0.0.1:1
    client_id: gw-1
    out:
      - {filter: "low/#", qos: 1, priority: 1, on_full: drop-oldest}
      - {filter: "high/#", qos: 1, priority: 5, on_full: drop-oldest}
      - {filter: "first/#", qos: 1, on_full: drop-newest}
`

// TestBudgetAddsUp gives three queues more than twice what the budget holds. What
// gives way is what the priorities say, and what is announced adds up to the message.
func TestBudgetAddsUp(t *testing.T) {
	need(t, "mosquitto_sub")
	g := startGateway(t, strings.Replace(bufferConfig, "reserve: 0", "reserve: 0, budget: 64MiB", 1)+tightBridge)
	const each = 64 << 10
	payload, random := make([]byte, each), rand.NewChaCha8([32]byte{1})
	c := dialRaw(t, g.port, "press", true)
	defer c.Close()
	sent := make(map[string]uint64)
	for _, part := range []struct {
		rule string
		n    uint64
	}{{"low", 800}, {"first", 50}, {"high", 1000}, {"first", 200}} {
		sent[part.rule] += part.n
		topic := part.rule + "/a"
		for range part.n {
			_, _ = random.Read(payload) // never fails; of no use to a compressor
			out := appendLength([]byte{0x32}, 2+len(topic)+2+each)
			out = append(append(out, 0, byte(len(topic))), topic...)
			out = append(append(out, 0, 1), payload...)
			if _, err := c.Write(out); err != nil {
				t.Fatal(err)
			}
			c.packet(t)
		}
	}
	dropped := make(map[string]uint64)
	var sum uint64
	for _, r := range g.status().Bridges[0].Rules {
		k, name := r.Dropped[core.DroppedStoreFull], strings.TrimSuffix(r.Filter, "/#")
		if len(r.Dropped) > 1 || k+r.Owed != sent[name] {
			t.Errorf("%s: dropped %v, %d owed of %d", r.Filter, r.Dropped, r.Owed, sent[name])
		}
		dropped[name] = k
		sum += k
	}
	t.Log(dropped)
	const segment = 8 << 20 / each // the last of low shares one with what does not give way
	if dropped["low"]+segment < sent["low"] || dropped["high"] == 0 || dropped["high"] > sent["high"]/2 || dropped["first"] == 0 {
		t.Errorf("what gave way is %v", dropped)
	}
	port := strconv.Itoa(g.port)
	for rule, k := range dropped {
		if out := mustRun(t, "mosquitto_sub", "-p", port, "-t", "$SYS/broker/rules/cloud "+rule+"%2F%23/dropped/store-full", "-C", "1", "-W", "120"); strings.TrimSpace(out) != strconv.FormatUint(k, 10) {
			t.Errorf("$SYS says of %s %q, not %d", rule, out, k)
		}
	}
	eventually(t, patience, "the gateway's topic to say so", func() bool {
		var told core.BufferStatus
		out, _ := run(t, lookPeer("mosquitto_sub"), "-p", port, "-t", "weir/+/buffer", "-C", "1", "-W", "5")
		return json.Unmarshal([]byte(out), &told) == nil && told.Dropped[core.DroppedStoreFull] == sum
	})
	if st := g.status().Buffer; st.Bytes > 80<<20 {
		t.Errorf("the store has %d MiB", st.Bytes>>20)
	}
}
