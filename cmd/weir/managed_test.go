package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/weir-edge/weir/core/packet"
)

// TestBridgesAtWork: a bridge is added, changed and removed over the console, while
// what other rules owe is not touched; a restart finds it again; mistakes are told all
// at once and change nothing.
func TestBridgesAtWork(t *testing.T) {
	need(t, "mosquitto", "mosquitto_pub", "mosquitto_sub")
	up := startMosquitto(t)
	g := startGateway(t, fmt.Sprintf(oneBridge, up.port))
	g.connected()
	at := "--config=" + g.config
	expect(t, 0, []string{"bridge", "pause", "cloud", "--rule", "meter/+/#", at}, "paused")
	publish(t, g.port, "meter/7/v/w", "kept") // of a bridge that nobody touches

	file := filepath.Join(t.TempDir(), "second.yaml")
	put := func(rules string, code int, want ...string) {
		t.Helper()
		text := fmt.Sprintf("name: second\nurl: mqtt://127.0.0.1:%d\nclient_id: gw-2\nbackoff: {min: 100ms, max: 500ms}\nout:\n%s", up.port, rules)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		expect(t, code, []string{"bridge", "add", file, at}, want...)
	}
	put("  - {filter: \"a/#\", qos: 3}\n  - {filter: \"b/#/c\", prio: 1}\n", exitUsage, "qos (3) must be", "b/#/c", "prio")
	put("  - {filter: \"a/#\", remote_prefix: \"x/\"}\npassword_file: /etc/passwd\nusername: ${HOME}\n", exitUsage, "password_file is not for what is added at work", "HOME is not set")
	if n := len(g.status().Bridges); n != 1 {
		t.Fatalf("%d bridges", n)
	}
	put("  - {filter: \"a/#\", remote_prefix: \"x/\"}\n  - {filter: \"b/#\", remote_prefix: \"x/\"}\n", 0, "added second")
	g.allConnected(2)
	shown := "bridges.d" + string(filepath.Separator) + "second.yaml"
	expect(t, 0, []string{"config", "show", g.config}, "- name: cloud", "# added at work: ", shown, "- name: second", "remote_prefix: x/")
	expect(t, 0, []string{"config", "check", g.config}, g.config+": ok", shown+": ok")
	expect(t, 0, []string{"bridge", "status", "second", at}, "added at work: ", shown)
	if b := g.status().Bridges; b[0].File != "" || !strings.HasSuffix(b[1].File, shown) {
		t.Errorf("configured in %q and %q", b[0].File, b[1].File)
	}
	watch := []string{"-p", strconv.Itoa(up.port), "-c", "-i", "watch", "-t", "x/#", "-t", "y/#", "-q", "1"}
	mustRun(t, "mosquitto_sub", append(slices.Clone(watch), "-E")...) // returns when it has subscribed
	sub := start(t, lookPeer("mosquitto_sub"), append(watch, "-v", "-C", "4", "-W", "120")...)
	publish(t, g.port, "a/1", "one")
	expect(t, 0, []string{"bridge", "pause", "second", at}, "paused")
	publish(t, g.port, "b/1", "two")
	put("  - {filter: \"b/#\", remote_prefix: \"y/\"}\n", 0, "changed second") // with its queue
	g.kill()
	g.start()
	publish(t, g.port, "b/1", "three")
	g.allConnected(2)
	eventually(t, patience, "the message of the first", func() bool { // nobody has paused it since the start
		r := g.status().Bridges[0].Rules[1]
		return r.Owed == 0 && r.Messages == 1
	})
	expect(t, 0, []string{"bridge", "test", "second", at}, "CONNACK")
	g.signal(syscall.SIGHUP)
	eventually(t, patience, "reloaded", func() bool { return strings.Contains(g.out.String(), "reloaded: no bridge has changed") })
	publish(t, g.port, "b/1", "four")
	if code := sub.wait(patience); code != 0 || sub.out.String() != "x/a/1 one\ny/b/1 two\ny/b/1 three\ny/b/1 four\n" {
		t.Errorf("exit code %d, output %q", code, sub.out)
	}

	expect(t, exitFailed, []string{"bridge", "rm", "cloud", at}, "bridge cloud stands in "+g.config+": change it there")
	expect(t, exitFailed, []string{"bridge", "rm", "third", at}, "bridge third is not known")
	expect(t, 0, []string{"bridge", "rm", "second", at}, "removed second")
	eventually(t, patience, "the audit", func() bool {
		out, code := weir(t, "audit", at)
		return code == 0 && strings.Contains(out, "bridge remove  bridge=second")
	})
	g.kill()
	g.start()
	if b := g.status().Bridges; len(b) != 1 || b[0].Name != "cloud" {
		t.Errorf("bridges %+v", b)
	}
}

// TestSessionOfRemovedBridge: a bridge that is removed leaves no session at the upstream,
// one that is changed or whose gateway stops does, and what could not be done is said.
func TestSessionOfRemovedBridge(t *testing.T) {
	need(t, "mosquitto")
	for _, protocol := range []string{"5", "3.1.1"} {
		t.Run(protocol, func(t *testing.T) {
			up := startMosquitto(t)
			line, err := newUplink(fmt.Sprint("127.0.0.1:", up.port))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(line.cut)
			text := "data_dir: %DATA%\nlisteners: [{name: lan, address: \"%MQTT%\"}]\nconsole: {address: \"%CONSOLE%\"}\n"
			g := startGateway(t, text)
			at := "--config=" + g.config
			file := filepath.Join(t.TempDir(), "cloud.yaml")
			put := func(qos int) {
				t.Helper()
				bridge := fmt.Sprintf("name: cloud\nurl: mqtt://%s\nclient_id: gw-1\nprotocol: %q\nbackoff: {min: 100ms, max: 500ms}\nin: [{filter: \"down/#\", qos: %d}]\n",
					line.address, protocol, qos)
				if err := os.WriteFile(file, []byte(bridge), 0o600); err != nil {
					t.Fatal(err)
				}
				expect(t, 0, []string{"bridge", "add", file, at}, " cloud")
				g.connected()
			}
			present := func(want bool) { // while the gateway is not there
				t.Helper()
				if got := keptSession(t, up.port, "gw-1"); got != want {
					t.Errorf("a session is there: %v", got)
				}
			}
			put(1)
			put(0) // changed
			g.stop()
			present(true)
			g.start()
			g.connected()
			expect(t, 0, []string{"bridge", "rm", "cloud", at}, "removed cloud", "its session upstream is ended")
			present(false)

			put(1)
			line.cut()
			expect(t, 0, []string{"bridge", "rm", "cloud", at}, "removed cloud", "its session gw-1 could not be ended", "refused")
			if !strings.Contains(g.out.String(), "may stay at the upstream") {
				t.Error("the log does not say so")
			}
			present(true)
		})
	}
}

// keptSession says whether the broker at port has a session, which stays.
func keptSession(t *testing.T, port int, id string) bool {
	t.Helper()
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	hello := &packet.Connect{Version: packet.V311, ClientID: []byte(id)}
	if _, err := conn.Write(hello.AppendTo(nil, packet.V311)); err != nil {
		t.Fatal(err)
	}
	var connack [4]byte
	if _, err := io.ReadFull(conn, connack[:]); err != nil || connack[3] != 0 {
		t.Fatalf("% x %v", connack, err)
	}
	return connack[2] == 1
}

// TestSessionOfOtherClient: a bridge that is changed to another client id leaves neither its
// session nor, when it is removed, a state at the upstream, and says what it could not end.
func TestSessionOfOtherClient(t *testing.T) {
	need(t, "mosquitto", "mosquitto_sub")
	up := startMosquitto(t)
	line, err := newUplink(fmt.Sprint("127.0.0.1:", up.port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(line.cut)
	g := startGateway(t, "data_dir: %DATA%\nlisteners: [{name: lan, address: \"%MQTT%\"}]\nconsole: {address: \"%CONSOLE%\"}\n")
	at := "--config=" + g.config
	file := filepath.Join(t.TempDir(), "cloud.yaml")
	put := func(address, id string) {
		t.Helper()
		bridge := fmt.Sprintf("name: cloud\nurl: mqtt://%s\nclient_id: %s\nstate_topic: site7/state\nin: [{filter: \"down/#\", qos: 1}]\n", address, id)
		if err := os.WriteFile(file, []byte(bridge), 0o600); err != nil {
			t.Fatal(err)
		}
		expect(t, 0, []string{"bridge", "add", file, at}, " cloud")
		g.connected()
	}
	put(line.address, "gw-1")
	put(line.address, "gw-2")
	if keptSession(t, up.port, "gw-1") {
		t.Error("the session of gw-1 is still there")
	}
	line.cut()
	put(fmt.Sprint("127.0.0.1:", up.port), "gw-3")
	if !keptSession(t, up.port, "gw-2") || !strings.Contains(g.out.String(), "may stay at the upstream") {
		t.Error("the session of gw-2 could not be ended, and that was not said")
	}
	state := start(t, lookPeer("mosquitto_sub"), "-p", strconv.Itoa(up.port), "-t", "site7/state", "-v", "-C", "3", "-W", "120")
	eventually(t, patience, "the state", func() bool { return state.out.String() == "site7/state online\n" })
	expect(t, 0, []string{"bridge", "rm", "cloud", at}, "removed cloud", "its session upstream is ended")
	if code := state.wait(patience); code != 0 || !strings.HasSuffix(state.out.String(), "site7/state offline\nsite7/state (null)\n") {
		t.Errorf("exit code %d, states %q", code, state.out)
	}
}

// TestBridgesAtWorkGuarded: no page of another site, and nobody without the header,
// adds a bridge.
func TestBridgesAtWorkGuarded(t *testing.T) {
	g := startGateway(t, "data_dir: %DATA%\nlisteners: [{name: lan, address: \"%MQTT%\"}]\nconsole: {address: \"%CONSOLE%\"}\n")
	for name, header := range map[string]http.Header{
		"no header":  {},
		"other site": {"Weir-Action": {"bridge"}, "Sec-Fetch-Site": {"cross-site"}},
	} {
		req, err := http.NewRequest(http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d/api/v1/bridges", g.console), strings.NewReader("name: x"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s", name, resp.Status)
		}
	}
}
