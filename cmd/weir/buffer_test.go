package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/storage"
)

const bufferConfig = `
data_dir: %DATA%
listeners: [{name: lan, address: "%MQTT%"}]
console: {address: "%CONSOLE%"}
storage: {reserve: 0}
`

const bufferBridge = `
bridges:
  - name: cloud
    url: mqtt://127.0.0.1:1
    client_id: gw-1
    out: [{filter: "plant/#", qos: 1, remote_prefix: "site7/"}]
`

// TestBuffer works on a store as a technician does: a session and a rule are owed
// messages, and the rule is taken out of the configuration.
func TestBuffer(t *testing.T) {
	need(t, "mosquitto_pub", "mosquitto_sub")
	g := startGateway(t, bufferConfig+bufferBridge)
	port := strconv.Itoa(g.port)
	mustRun(t, "mosquitto_sub", "-p", port, "-c", "-i", "away", "-q", "1", "-t", "plant/#", "-E")
	for _, payload := range []string{"one", "two", "three"} {
		mustRun(t, "mosquitto_pub", "-p", port, "-q", "1", "-t", "plant/a", "-m", payload)
	}
	buffer := func(want int, args ...string) string {
		t.Helper()
		out, code := weir(t, append(append([]string{"buffer"}, args...), "--config", g.config)...)
		if code != want {
			t.Errorf("buffer %v: code %d\n%s", args, code, out)
		}
		return out
	}
	expect := func(out string, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(out, w) {
				t.Errorf("no %q in\n%s", w, out)
			}
		}
	}
	online(t, g, buffer, expect)
	g.stop()
	offline(t, g, buffer, expect)
	g.start()
	out := mustRun(t, "mosquitto_sub", "-p", port, "-c", "-i", "away", "-q", "1", "-t", "plant/#", "-C", "3", "-W", "120")
	if out != "one\ntwo\nthree\n" {
		t.Errorf("what was imported comes as %q", out)
	}
}

// offline works on the store alone; what it leaves was imported.
func offline(t *testing.T, g *testGateway, buffer func(int, ...string) string, expect func(string, ...string)) {
	t.Helper()
	config, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	without, _, _ := strings.Cut(string(config), "bridges:")
	if err := os.WriteFile(g.config, []byte(without), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(buffer(0, "status"), "state       ok\n")
	expect(buffer(0, "ls"), "cloud plant/#", "not in the configuration", "session")
	expect(buffer(0, "peek", "away", "-n", "2"), `"one"`, `"two"`)
	var v storage.Verified
	if err := json.Unmarshal([]byte(buffer(0, "verify", "--json")), &v); err != nil || v.Messages < 3 || v.Damaged != 0 {
		t.Errorf("verify: %+v, %v", v, err)
	}
	file := filepath.Join(t.TempDir(), "out.jsonl")
	expect(buffer(0, "export", "away", "-o", file), "3 messages exported")
	expect(buffer(0, "import", "away", file), "3 messages imported")
	expect(buffer(0, "drop", "cloud plant/#", "--all"), "3 messages given up, 0 still owed")
	expect(buffer(0, "drop", "away", "--before", "1h"), "0 messages given up, 6 still owed")
	expect(buffer(0, "drop", "away", "--before", "2100-01-01T00:00:00Z"), "6 messages given up, 0 still owed")
	expect(buffer(0, "import", "away", file), "3 messages imported")
	expect(buffer(0, "quarantine", "ls"), "nothing is in quarantine")

	expect(buffer(exitUsage, "peek", "stranger"), "weir buffer ls")
	expect(buffer(exitUsage, "drop", "away"), "--before")
	expect(buffer(exitUsage, "stats"), `unknown command "stats"`, `did you mean "status"`)
	expect(buffer(exitUsage, "quarantine", "list"), `unknown command "list"`, "weir buffer quarantine --help")
	expect(buffer(exitUsage, "import", "away", t.TempDir()), "is a directory")
	expect(buffer(exitUsage, "drop", "away", "--before", "soon"), "must be a time")
	expect(buffer(exitFailed, "quarantine", "rm", "../q"), "not the name")
	bad := filepath.Join(t.TempDir(), "bad.jsonl")
	if err := os.WriteFile(bad, []byte(`{"topic":"plant/+","qos":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(buffer(exitFailed, "import", "away", bad), "message 1", "plant/+")
	expect(buffer(exitUnavailable, "status", "--data-dir", t.TempDir()), "no store there", "--config")
	expect(buffer(exitUnavailable, "quarantine", "ls", "--data-dir", t.TempDir()), "no store there")
	missing(t, buffer, expect)
}

// missing exports what is not there: no file may look as if it were.
func missing(t *testing.T, buffer func(int, ...string) string, expect func(string, ...string)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "none.jsonl")
	expect(buffer(exitUsage, "export", "stranger", "-o", file), "nobody called")
	if fileExists(file) {
		t.Error("an export that failed leaves a file")
	}
}

// TestBufferOfAnotherGateway: what is meant for a store in use is not done to that of
// a gateway that happens to have the console of the defaults.
func TestBufferOfAnotherGateway(t *testing.T) {
	data := t.TempDir()
	startGateway(t, strings.Replace(bufferConfig, "%DATA%", data, 1))
	for _, args := range [][]string{{"status"}, {"verify"}, {"drop", "away", "--all"}} {
		out, code := weir(t, append(append([]string{"buffer"}, args...), "--data-dir", data)...)
		if code != exitUsage || !strings.Contains(out, "in use by a gateway") || !strings.Contains(out, "--config") {
			t.Errorf("%v: code %d\n%s", args, code, out)
		}
	}
}

// online does the same through the running gateway, and leaves things as they were.
func online(t *testing.T, g *testGateway, buffer func(int, ...string) string, expect func(string, ...string)) {
	t.Helper()
	port, dir := strconv.Itoa(g.port), t.TempDir()
	if out := buffer(0, "ls"); strings.Count(out, "3 ") < 2 || !strings.Contains(out, "away") {
		t.Errorf("ls, online: %s", out)
	}
	expect(buffer(0, "status"), "state       ok", "owed        3 messages")
	expect(buffer(0, "peek", "away", "-n", "2"), `"one"`, `"two"`)
	var v storage.Verified
	if err := json.Unmarshal([]byte(buffer(0, "verify", "--json")), &v); err != nil || v.Messages != 3 || v.Damaged != 0 {
		t.Errorf("verify: %+v, %v", v, err)
	}
	file := filepath.Join(dir, "out.jsonl")
	expect(buffer(0, "export", "away", "-o", file), "3 messages exported")
	mustRun(t, "mosquitto_sub", "-p", port, "-c", "-i", "second", "-q", "1", "-t", "other/#", "-E")
	expect(buffer(0, "import", "second", file), "3 messages imported")
	expect(buffer(0, "drop", "second", "--before", "1h"), "0 messages given up, 3 still owed")
	if out := take(t, g.port, "second", 3); out != "one two three" {
		t.Errorf("what was imported comes as %q", out)
	}
	if out := buffer(0, "ls"); strings.Contains(out, "second") {
		t.Errorf("what was acknowledged is owed:\n%s", out)
	}
	expect(buffer(0, "import", "second", file), "3 messages imported")
	expect(buffer(0, "drop", "second", "--before", "2100-01-01T00:00:00Z"), "3 messages given up, 0 still owed")
	if n := g.status().Buffer.Dropped[core.DroppedByHand]; n != 3 {
		t.Errorf("%d counted as given up", n)
	}
	expect(buffer(0, "drop", "second", "--all"), "0 messages given up")
	expect(buffer(exitFailed, "drop", "cloud plant/#", "--all"), "in the configuration")
	expect(buffer(exitUsage, "peek", "stranger"), "weir buffer ls")
	expect(buffer(exitFailed, "quarantine", "rm", "../q"), "not the name")
	expect(buffer(exitUsage, "import", "away", t.TempDir()), "is a directory")
	missing(t, buffer, expect)
	bad := filepath.Join(dir, "bad.jsonl")
	if err := os.WriteFile(bad, []byte(`{"topic":"plant/+","qos":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(buffer(exitFailed, "import", "away", bad), "message 1", "plant/+")
}

// take receives what a session that was away is owed, n messages, and returns when
// the gateway has every acknowledgement. A client that closes its socket with
// something unread in it, as mosquitto_sub -C does with the SUBACK that comes behind
// the messages, ends it with a reset, and its kernel throws away the acknowledgements
// that were still waiting for Nagle: these messages are owed, and rightly so.
func take(t *testing.T, port int, client string, n int) string {
	t.Helper()
	c := dialRaw(t, port, client, false)
	defer c.Close()
	var payloads []string
	var out []byte
	for len(payloads) < n {
		kind, body := c.packet(t)
		if kind != packet.PUBLISH {
			t.Fatalf("no PUBLISH but %v", kind)
		}
		at := 2 + int(body[0])<<8 + int(body[1])
		payloads = append(payloads, string(body[at+2:]))
		out = append(out, 0x40, 2, body[at], body[at+1])
	}
	out = append(out, 0xc0, 0) // its answer comes behind all that was read before
	if _, err := c.Write(out); err != nil {
		t.Fatal(err)
	}
	if kind, _ := c.packet(t); kind != packet.PINGRESP {
		t.Fatalf("no PINGRESP but %v", kind)
	}
	return strings.Join(payloads, " ")
}

// mustRun runs a peer's command to its end.
func mustRun(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := run(t, lookPeer(name), args...)
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return out
}
