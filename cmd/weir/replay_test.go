package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestReplay: what a rule with a history has delivered is sent again on request,
// marked, after a restart as well; and nothing else is.
func TestReplay(t *testing.T) {
	need(t, "mosquitto", "mosquitto_pub", "mosquitto_sub")
	up := startMosquitto(t)
	g := startGateway(t, bufferConfig+fmt.Sprintf(`
bridges:
  - name: cloud
    url: mqtt://127.0.0.1:%d
    client_id: gw-1
    protocol: 5
    out: [{filter: "plant/#", qos: 1, remote_prefix: "site7/", history: 7d}]
`, up.port))
	file := filepath.Join(t.TempDir(), "received")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	// A session, so that what comes before the subscriber waits for it.
	session := []string{"-V", "5", "-x", "600", "-c", "-i", "watcher", "-p", strconv.Itoa(up.port), "-q", "1", "-t", "site7/#"}
	mustRun(t, "mosquitto_sub", append(session, "-E")...)
	sub := exec.Command(lookPeer("mosquitto_sub"), append(session, "-F", "%t %p %P")...)
	sub.Stdout = out
	if err := sub.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Process.Kill(); _ = sub.Wait(); out.Close() })
	lines := func() []string {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	}
	for i := range 12 {
		mustRun(t, "mosquitto_pub", "-p", strconv.Itoa(g.port), "-q", "1", "-t", "plant/"+[]string{"a", "b", "c"}[i%3], "-m", strconv.Itoa(i))
	}
	eventually(t, patience, "delivered", func() bool { return len(lines()) == 12 })
	g.stop()
	g.start()
	eventually(t, patience, "connected", func() bool { return g.status().Bridges[0].State == "connected" })
	if st := g.status().Buffer; st.Messages != 0 || st.History != 12 {
		t.Errorf("%d owed, %d kept", st.Messages, st.History)
	}
	for _, topic := range []string{"plant/b", "nothing/#"} {
		said, code := weir(t, "replay", "--config", g.config, "--bridge", "cloud", "--from", "1h", "--topic", topic, "--rate", "50")
		if code != 0 || !strings.Contains(said, "of 12 kept") {
			t.Errorf("replay of %s: %d %s", topic, code, said)
		}
	}
	eventually(t, patience, "sent again", func() bool { return len(lines()) >= 16 })
	for i, line := range lines()[12:] {
		if want := fmt.Sprintf("site7/plant/b %d ", 1+3*i); !strings.HasPrefix(line, want) || !strings.Contains(line, "weir-replay:") || !strings.Contains(line, "weir-ts:") {
			t.Errorf("line %d: %q, want %q and the marks", i, line, want)
		}
	}
	wrongReplays(t, g)
	g.stop()
	said, code := weir(t, "buffer", "status", "--config", g.config)
	if code != 0 || !strings.Contains(said, "owed        0 messages") || !strings.Contains(said, "history     12 messages") {
		t.Errorf("what is kept, while no gateway runs: %d %s", code, said)
	}
}

func wrongReplays(t *testing.T, g *testGateway) {
	t.Helper()
	for args, want := range map[string]string{
		"--bridge other --from 1h":              "keeps no history",
		"--bridge cloud --from soon":            "must be a time",
		"--bridge cloud --from 1h --to 2h":      "not before",
		"--bridge cloud --from 1h --topic a/#b": "--topic",
		"--bridge cloud --from 1h --rate 0":     "--rate",
	} {
		said, code := weir(t, append([]string{"replay", "--config", g.config}, strings.Fields(args)...)...)
		if code == 0 || !strings.Contains(said, want) {
			t.Errorf("%s: %d %s", args, code, said)
		}
	}
}
