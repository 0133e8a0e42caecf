package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/storage"
)

const dropsBridge = `
bridges:
  - name: cloud
    url: mqtt://127.0.0.1:1
    client_id: gw-1
    out:
      - {filter: "old/#", qos: 1, max_bytes: 16KiB, on_full: drop-oldest}
      - {filter: "new/#", qos: 1, max_bytes: 16KiB, on_full: drop-newest}
`

// TestDropsAreAnnounced fills the queues of two rules and reads what is said about
// what had to give way: under $SYS, on the gateway's topic, by the command.
func TestDropsAreAnnounced(t *testing.T) {
	need(t, "mosquitto_sub")
	g := startGateway(t, bufferConfig+dropsBridge)
	c := dialRaw(t, g.port, "press", true)
	defer c.Close()
	const n, each = 60, 1000
	for i := range n {
		for k, topic := range []string{"old/a", "new/a"} {
			payload := strings.Repeat("x", each)
			out := appendLength([]byte{0x32}, 2+len(topic)+2+len(payload))
			out = append(append(out, 0, byte(len(topic))), topic...)
			out = append(append(out, 0, byte(1+i*2+k)), payload...)
			if _, err := c.Write(out); err != nil {
				t.Fatal(err)
			}
			c.packet(t)
		}
	}
	port := strconv.Itoa(g.port)
	said := func(topic string) string {
		out, _ := run(t, lookPeer("mosquitto_sub"), "-p", port, "-t", topic, "-C", "1", "-W", "120", "-F", "%p")
		return strings.TrimSpace(out)
	}
	for _, rule := range []string{"cloud old%2F%23", "cloud new%2F%23"} {
		all, why := said("$SYS/broker/rules/"+rule+"/dropped"), said("$SYS/broker/rules/"+rule+"/dropped/queue-full")
		if k, err := strconv.Atoi(why); err != nil || all != why || k < n-20 || k >= n {
			t.Errorf("%s: dropped %q, because its queue was full %q", rule, all, why)
		}
	}
	for _, r := range g.status().Bridges[0].Rules {
		if k := r.Dropped[core.DroppedQueueFull]; k+r.Owed != n {
			t.Errorf("%s: %d dropped, %d owed of %d", r.Filter, k, r.Owed, n)
		}
	}
	var told core.BufferStatus
	eventually(t, patience, "the gateway's topic to say so", func() bool {
		out, _ := run(t, lookPeer("mosquitto_sub"), "-p", port, "-t", "weir/+/buffer", "-C", "1", "-W", "5")
		if json.Unmarshal([]byte(out), &told) != nil {
			return false
		}
		dropping := 0
		for _, r := range told.Receivers {
			if r.Dropped[core.DroppedQueueFull] >= n-20 {
				dropping++
			}
		}
		return dropping == 2
	})
	if out, code := weir(t, "buffer", "ls", "--config", g.config); code != 0 || strings.Count(out, "queue-full") != 2 {
		t.Errorf("ls: %d %s", code, out)
	}
}

// TestQuarantineReplay damages what is on disk between two runs, and owes what can
// be read of it once more, through the running gateway and without it.
func TestQuarantineReplay(t *testing.T) {
	need(t, "mosquitto_pub", "mosquitto_sub")
	g := startGateway(t, bufferConfig)
	port := strconv.Itoa(g.port)
	mustRun(t, "mosquitto_sub", "-p", port, "-c", "-i", "away", "-q", "1", "-t", "plant/#", "-E")
	for _, payload := range []string{"one", "two", "three"} {
		mustRun(t, "mosquitto_pub", "-p", port, "-q", "1", "-t", "plant/a", "-m", payload)
	}
	g.stop()
	config, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	data := regexp.MustCompile(`data_dir: (\S+)`).FindSubmatch(config)[1]
	tables, _ := filepath.Glob(filepath.Join(string(data), "store", "q", "[0-9]*", "*.sst"))
	if len(tables) == 0 {
		t.Fatal("there is no table to damage")
	}
	for _, name := range tables {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(name, info.Size()-20); err != nil {
			t.Fatal(err)
		}
	}
	g.start()
	if g.status().Buffer.Quarantined != len(tables) {
		t.Errorf("%d parts in quarantine instead of %d", g.status().Buffer.Quarantined, len(tables))
	}
	if out := take(t, g.port, "away", 3); out != "one two three" {
		t.Errorf("what can be read of it comes as %q", out)
	}
	name := asideName(t, g)
	for _, running := range []bool{true, false} {
		if !running {
			g.stop()
		}
		out, code := weir(t, "buffer", "quarantine", "replay", name, "--config", g.config)
		if code != 0 || !strings.Contains(out, "3 messages are owed once more; 0 belong") {
			t.Errorf("replay, running %t: %d %s", running, code, out)
		}
		if !running {
			g.start()
		}
		if out := take(t, g.port, "away", 3); out != "one two three" {
			t.Errorf("running %t: what is owed once more comes as %q", running, out)
		}
	}
	if out, code := weir(t, "buffer", "quarantine", "rm", name, "--config", g.config); code != 0 {
		t.Errorf("rm: %d %s", code, out)
	}
	if n := g.status().Buffer.Quarantined; n != len(tables)-1 {
		t.Errorf("%d parts in quarantine after rm", n)
	}
}

// asideName is what quarantine ls names first.
func asideName(t *testing.T, g *testGateway) string {
	t.Helper()
	out, code := weir(t, "buffer", "quarantine", "ls", "--json", "--config", g.config)
	var list []storage.Aside
	if json.Unmarshal([]byte(out), &list) != nil || len(list) == 0 || code != 0 {
		t.Fatalf("quarantine ls: %d %s", code, out)
	}
	if !regexp.MustCompile(`^\d{8}T`).MatchString(list[0].Name) {
		t.Errorf("named %q", list[0].Name)
	}
	return list[0].Name
}
