package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/bridge/bridgetest"
	"github.com/weir-edge/weir/core"
)

const oneBridge = `
data_dir: %%DATA%%
listeners: [{name: lan, address: "%%MQTT%%"}]
console: {address: "%%CONSOLE%%"}
bridges:
  - name: cloud
    url: mqtt://127.0.0.1:%d
    client_id: gw-1
    keepalive: 5s
    backoff: {min: 100ms, max: 500ms}
    out:
      - {filter: "plant/#", qos: 1, remote_prefix: "site7/", exclude: ["plant/debug/#"]}
      - {filter: "meter/+/#", qos: 1, remote_topic: "m/{2}/{#}", properties: ["site=7"]}
    in:
      - {filter: "cmd/#", qos: 1, local_prefix: "cloud/"}
`

func (g *testGateway) bridgeState() string { return g.status().Bridges[0].State }

func (g *testGateway) connected() {
	g.t.Helper()
	eventually(g.t, patience, "connected", func() bool { return g.bridgeState() == "connected" })
}

// publish sends one message to a port with Debian's client.
func publish(t testing.TB, port int, topic, payload string) {
	t.Helper()
	if out, err := run(t, lookPeer("mosquitto_pub"), "-p", strconv.Itoa(port), "-t", topic, "-q", "1", "-m", payload); err != nil {
		t.Fatalf("publish to %s: %v\n%s", topic, err, out)
	}
}

// expect runs a command of the real binary and wants words in its output.
func expect(t *testing.T, code int, args []string, words ...string) {
	t.Helper()
	out, got := weir(t, args...)
	if got != code {
		t.Errorf("weir %s: exit code %d, want %d\n%s", strings.Join(args, " "), got, code, out)
	}
	for _, w := range words {
		if !strings.Contains(out, w) {
			t.Errorf("weir %s: no %q in\n%s", strings.Join(args, " "), w, out)
		}
	}
}

// TestBridgeCommands is what a technician does with an uplink.
func TestBridgeCommands(t *testing.T) {
	need(t, "mosquitto", "mosquitto_pub", "mosquitto_sub")
	up := startMosquitto(t)
	g := startGateway(t, fmt.Sprintf(oneBridge, up.port))
	g.connected()
	at := "--config=" + g.config

	expect(t, 0, []string{"bridge", "ls", at}, "cloud", "connected", fmt.Sprint(up.port))
	expect(t, 0, []string{"bridge", "status", "cloud", at}, "MQTT 5.0", "plant/#")
	expect(t, exitUsage, []string{"bridge", "status", "clod", at}, "there is no bridge clod")
	expect(t, 0, []string{"bridge", "test", at}, "TCP", "CONNACK", "MQTT 5.0, QoS up to 2", "PUBACK", "echo")
	expect(t, 0, []string{"bridge", "rules", "test", "plant/a/b", at}, "→ site7/plant/a/b")
	expect(t, 0, []string{"bridge", "rules", "test", "plant/debug/x", at}, "excluded by plant/debug/#")
	expect(t, 0, []string{"bridge", "rules", "test", "meter/7/v/w", at}, "→ m/7/v/w")
	expect(t, 0, []string{"bridge", "rules", "test", "cmd/x", at}, "→ cloud/cmd/x")
	expect(t, exitFailed, []string{"bridge", "rules", "test", "other", at}, "no rule takes other")
	expect(t, exitUsage, []string{"bridge", "rules", "test", "plant/#", at}, "is no topic")
	expect(t, exitUsage, []string{"bridge", "test", "clod", at}, "there is no bridge clod, but cloud")
	expect(t, exitUsage, []string{"bridge", "test", "cloud", "--topic", "a/#", at}, "is no topic")
	expect(t, exitUsage, []string{"bridge", "probe", "mqtt://127.0.0.1:1", "--topic", "a/#"}, "is no topic")
	expect(t, exitUsage, []string{"bridge", "stat"}, `unknown command "stat" for "weir bridge"; did you mean "status"?`)
	testBridgeJSON(t, at)

	expect(t, 0, []string{"bridge", "pause", "cloud", at}, "paused")
	eventually(t, patience, "paused", func() bool { return g.bridgeState() == "paused" })
	publish(t, g.port, "plant/a", "while paused")
	sub := follow(t, up.port, "#", "-v", "-C", "2", "-W", "120")
	expect(t, 0, []string{"bridge", "resume", "cloud", at}, "resumed")
	g.connected()
	publish(t, g.port, "meter/7/v/w", "230")
	if code := sub.wait(patience); code != 0 || sub.out.String() != "site7/plant/a while paused\nm/7/v/w 230\n" {
		t.Errorf("exit code %d, output %q", code, sub.out)
	}
	expect(t, exitFailed, []string{"bridge", "pause", "clod", at}, "bridge clod is not known")
	expect(t, exitFailed, []string{"bridge", "pause", "cloud", "--rule", "plan/#", at}, "bridge cloud has no out rule with the filter \"plan/#\"")
	testRulePause(t, g, at)

	up.process.stop()
	expect(t, exitUnavailable, []string{"bridge", "test", "cloud", at}, "TCP", "FAILED", "connection refused: no broker listens")
}

// testBridgeJSON: what a program reads of the same.
func testBridgeJSON(t *testing.T, at string) {
	t.Helper()
	var bridges []core.BridgeStatus
	var trials []tried
	var routes []routed
	var aside []setAside
	for _, c := range []struct {
		args []string
		into any
	}{
		{[]string{"ls"}, &bridges},
		{[]string{"status", "cloud"}, &bridges},
		{[]string{"test", "cloud"}, &trials},
		{[]string{"rules", "test", "meter/7/v/w"}, &routes},
		{[]string{"quarantine", "cloud"}, &aside},
	} {
		out, code := weir(t, append(append([]string{"bridge"}, c.args...), "--json", at)...)
		if err := json.Unmarshal([]byte(out), c.into); err != nil || code != 0 {
			t.Errorf("%v: exit code %d, %v\n%s", c.args, code, err, out)
		}
	}
	if len(bridges) != 1 || bridges[0].State != "connected" || len(trials) != 1 || len(trials[0].Steps) < 5 ||
		len(routes) != 1 || routes[0].Topic != "m/7/v/w" || len(aside) != 0 {
		t.Errorf("%+v\n%+v\n%+v\n%+v", bridges, trials, routes, aside)
	}
}

// TestBufferQoS0: what comes with QoS 0 in an outage goes up afterwards if its rule
// says so, through a kill, and is else dropped and counted.
func TestBufferQoS0(t *testing.T) {
	need(t, "mosquitto", "mosquitto_pub", "mosquitto_sub")
	up := startMosquitto(t)
	g := startGateway(t, strings.Replace(fmt.Sprintf(oneBridge, up.port),
		`remote_prefix: "site7/"`, `buffer_qos0: true, remote_prefix: "site7/"`, 1))
	g.connected()
	watch := []string{"-p", strconv.Itoa(up.port), "-c", "-i", "watch", "-q", "1", "-t", "#"}
	mustRun(t, "mosquitto_sub", append(slices.Clone(watch), "-E")...) // what comes from now on is for it
	up.process.stop()
	eventually(t, patience, "noticed", func() bool { return g.bridgeState() != "connected" })
	for _, topic := range []string{"plant/a", "meter/7/v/w"} {
		if out, err := run(t, lookPeer("mosquitto_pub"), "-p", strconv.Itoa(g.port), "-t", topic, "-q", "0", "-m", "in the dark"); err != nil {
			t.Fatal(err, out)
		}
	}
	eventually(t, patience, "one kept, one dropped", func() bool {
		s := g.status()
		r := s.Bridges[0].Rules
		return s.Buffer.Messages == 1 && r[0].Owed == 1 && len(r[0].Dropped) == 0 && r[1].Owed == 0 && r[1].Dropped["offline"] == 1
	})
	g.kill()
	g.start()
	up.start()
	sub := start(t, lookPeer("mosquitto_sub"), append(watch, "-v", "-C", "1", "-W", "120")...)
	if code := sub.wait(patience); code != 0 || sub.out.String() != "site7/plant/a in the dark\n" {
		t.Errorf("exit code %d, output %q", code, sub.out)
	}
}

// TestBacklogShown: what piles up in an outage, for each rule, and for how long there
// is room.
func TestBacklogShown(t *testing.T) {
	need(t, "mosquitto")
	up := startMosquitto(t)
	g := startGateway(t, fmt.Sprintf(oneBridge, up.port))
	g.connected()
	up.process.stop()
	src := publishNumbered(t, g, "auditor", 1, time.Millisecond, "plant/a", "plant/b")
	defer src.end()
	eventually(t, patience, "a backlog with an end", func() bool {
		b := g.status().Bridges[0]
		r := b.Rules[0]
		return b.FullSeconds > 0 && r.Owed > 100 && r.Bytes > 0 && r.Oldest > 1
	})
	at := "--config=" + g.config
	expect(t, 0, []string{"bridge", "status", at}, "the store is full in", "the oldest for")
	expect(t, 0, []string{"bridge", "ls", at}, "FULL IN", "BYTES")
	expect(t, 0, []string{"status", at}, "at the present rate")
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", g.console))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`weir_bridge_rule_owed_bytes{bridge="cloud",rule="out plant/#"} `, `weir_bridge_full_seconds{bridge="cloud"} `} {
		_, value, ok := strings.Cut(string(page), want)
		if !ok || strings.HasPrefix(value, "0\n") {
			t.Errorf("%s: %.20s", want, value)
		}
	}
}

// testRulePause pauses one rule beside another, and changes the other meanwhile: the
// queue of the paused one stays, and it stays paused.
func testRulePause(t *testing.T, g *testGateway, at string) {
	t.Helper()
	rule := func(i int) core.RuleStatus { return g.status().Bridges[0].Rules[i] }
	before := [2]uint64{rule(0).Messages, rule(1).Messages}
	expect(t, 0, []string{"bridge", "pause", "cloud", "--rule", "plant/#", at}, "paused: what is for this rule is kept")
	expect(t, exitFailed, []string{"bridge", "pause", "cloud", "--rule", "plant", at}, `has no out rule with the filter "plant"`)
	expect(t, exitFailed, []string{"bridge", "resume", "cloud", "--rule", "cmd/#", at}, "no out rule")
	publish(t, g.port, "plant/a", "kept")
	publish(t, g.port, "meter/7/v/w", "231")
	eventually(t, patience, "the other goes", func() bool { return rule(1).Messages == before[1]+1 })
	expect(t, 0, []string{"bridge", "status", at}, "plant/# · "+count(before[0])+" messages · 1 owed", " · paused\n")
	config, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(config), `properties: ["site=7"]`, `properties: ["site=8"]`, 1)
	if err := os.WriteFile(g.config, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	g.signal(syscall.SIGHUP)
	eventually(t, patience, "reloaded", func() bool { return strings.Contains(g.out.String(), "reloaded: changed cloud") })
	g.connected()
	if r := rule(0); !r.Paused || r.Owed != 1 || r.Messages != before[0] {
		t.Errorf("after the reload: %+v", r)
	}
	expect(t, 0, []string{"bridge", "resume", "cloud", "--rule", "plant/#", at}, "resumed")
	eventually(t, patience, "gone", func() bool { return rule(0).Owed == 0 && rule(0).Messages == before[0]+1 })
}

// TestQuarantineAndReplay: mosquitto takes packets of 500 bytes, and later more.
func TestQuarantineAndReplay(t *testing.T) {
	need(t, "mosquitto", "mosquitto_pub", "mosquitto_sub")
	up := startMosquitto(t, "max_packet_size 500")
	g := startGateway(t, fmt.Sprintf(oneBridge, up.port))
	g.connected()
	large := strings.Repeat("x", 1000)
	publish(t, g.port, "plant/large", large)
	publish(t, g.port, "plant/small", "y")
	eventually(t, patience, "set aside", func() bool {
		b := g.status().Bridges[0]
		return b.Quarantined == 1 && b.Owed == 0
	})
	at := "--config=" + g.config
	expect(t, 0, []string{"bridge", "quarantine", "cloud", at}, "plant/large", "1000 bytes", "the upstream takes 500 bytes")

	g.kill() // it is synced
	g.start()
	if n := g.status().Bridges[0].Quarantined; n != 1 {
		t.Errorf("%d in quarantine after a kill", n)
	}
	up.process.stop()
	conf, err := os.ReadFile(up.conf)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(up.conf, []byte(strings.Replace(string(conf), "max_packet_size 500", "", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	up.start()
	sub := follow(t, up.port, "site7/#", "-C", "1", "-W", "120")
	g.connected()
	expect(t, 0, []string{"bridge", "replay", "cloud", at}, "1 messages go out of quarantine")
	if code := sub.wait(patience); code != 0 || sub.out.String() != large+"\n" {
		t.Errorf("exit code %d, %d bytes of output", code, len(sub.out.String()))
	}
	expect(t, 0, []string{"bridge", "quarantine", "cloud", at}, "nothing is in quarantine")
}

// circleConfig is a gateway without bridges, and circleLink everything in both
// directions between it and another broker.
const (
	circleConfig = `
data_dir: %%DATA%%
gateway: %s
listeners: [{name: lan, address: "%%MQTT%%"}]
console: {address: "%%CONSOLE%%"}
bridges:
`
	circleLink = `  - {name: %s, url: "mqtt://127.0.0.1:%d", preset: %s, client_id: %s, protocol: %s, transit: %v, backoff: {min: 100ms, max: 500ms}, both: [{filter: "t/#", qos: %d}]}
`
)

// TestTriangle: two gateways and a mosquitto, and three gateways each of which dials
// the next; everything in both directions between each two of them. Each message gets
// everywhere, and comes to rest.
func TestTriangle(t *testing.T) {
	need(t, "mosquitto", "mosquitto_pub", "mosquitto_sub")
	for _, tc := range []struct {
		protocol string
		most     int // copies that a subscriber gets of a message
	}{{"5", 4}, {"3.1.1", 2}} {
		for qos := range 3 {
			t.Run(fmt.Sprintf("mosquitto/protocol=%s/qos=%d", tc.protocol, qos), func(t *testing.T) {
				m := startMosquitto(t)
				b := startGateway(t, fmt.Sprintf(circleConfig, "B")+fmt.Sprintf(circleLink, "m", m.port, "mosquitto", "b", tc.protocol, false, qos))
				a := startGateway(t, fmt.Sprintf(circleConfig, "A")+fmt.Sprintf(circleLink, "m", m.port, "mosquitto", "a", tc.protocol, false, qos)+
					fmt.Sprintf(circleLink, "b", b.port, "weir", "a", tc.protocol, false, qos))
				a.allConnected(2)
				b.allConnected(1)
				testCircle(t, map[string]int{"A": a.port, "B": b.port, "M": m.port}, qos, tc.most)
			})
			if qos != 1 {
				continue
			}
			t.Run(fmt.Sprintf("ring/protocol=%s/qos=%d", tc.protocol, qos), func(t *testing.T) {
				port := freePort(t) // of A, which C dials
				link := func(name string, port int, id string) string {
					return fmt.Sprintf(circleLink, name, port, "weir", id, tc.protocol, false, qos)
				}
				c := startGateway(t, fmt.Sprintf(circleConfig, "C")+link("a", port, "c"))
				b := startGateway(t, fmt.Sprintf(circleConfig, "B")+link("c", c.port, "b"))
				a := startGateway(t, strings.Replace(fmt.Sprintf(circleConfig, "A"), "listeners: [", fmt.Sprintf("listeners: [{name: ring, address: \"127.0.0.1:%d\"}, ", port), 1)+link("b", b.port, "a"))
				for _, g := range []*testGateway{a, b, c} {
					g.allConnected(1)
				}
				testCircle(t, map[string]int{"A": a.port, "B": b.port, "C": c.port}, qos, tc.most)
			})
		}
	}
}

// TestTransit: over MQTT 3.1.1 a gateway between two brokers passes on between them
// only what it is told to.
func TestTransit(t *testing.T) {
	need(t, "mosquitto", "mosquitto_pub", "mosquitto_sub")
	for _, transit := range []bool{false, true} {
		t.Run(fmt.Sprint(transit), func(t *testing.T) {
			near, far := startMosquitto(t), startMosquitto(t)
			g := startGateway(t, fmt.Sprintf(circleConfig, "A")+
				fmt.Sprintf(circleLink, "near", near.port, "mosquitto", "a", "3.1.1", transit, 1)+
				fmt.Sprintf(circleLink, "far", far.port, "mosquitto", "a", "3.1.1", transit, 1))
			g.allConnected(2)
			sub := follow(t, far.port, "t/#")
			publish(t, near.port, "t/x", "from near")
			eventually(t, patience, "through", func() bool { return g.status().Bridges[0].Received == 1 })
			publish(t, g.port, "t/x", "the last")
			eventually(t, patience, "the last", func() bool { return strings.Contains(sub.out.String(), "the last") })
			if got := strings.Contains(sub.out.String(), "from near"); got != transit {
				t.Errorf("passed on: %v, want %v", got, transit)
			}
			if told := strings.Contains(g.out.String(), "set transit: true"); told == transit {
				t.Errorf("the log says how to pass it on: %v", told)
			}
		})
	}
}

func (g *testGateway) allConnected(n int) {
	g.t.Helper()
	eventually(g.t, patience, "connected", func() bool {
		up := 0
		for _, b := range g.status().Bridges {
			if b.State == "connected" {
				up++
			}
		}
		return up == n
	})
}

// testCircle publishes a message at each broker and counts the copies at each.
func testCircle(t *testing.T, ports map[string]int, qos, most int) {
	subs := make(map[string]*process)
	for name, port := range ports {
		// Who has the retained message has subscribed to the rest.
		mustRun(t, "mosquitto_pub", "-p", strconv.Itoa(port), "-t", "there", "-r", "-q", "1", "-m", "subscribed")
		subs[name] = start(t, lookPeer("mosquitto_sub"), "-p", strconv.Itoa(port), "-t", "t/#", "-t", "there", "-q", "1")
	}
	for name, sub := range subs {
		eventually(t, patience, "subscribed at "+name, func() bool { return strings.Contains(sub.out.String(), "subscribed") })
	}
	for name, port := range ports {
		if out, err := run(t, lookPeer("mosquitto_pub"), "-p", strconv.Itoa(port), "-t", "t/x", "-q", strconv.Itoa(qos), "-m", "from "+name); err != nil {
			t.Fatal(err, out)
		}
	}
	for name, sub := range subs {
		for from := range ports {
			eventually(t, patience, from+"'s message at "+name, func() bool { return strings.Contains(sub.out.String(), "from "+from+"\n") })
		}
	}
	atRest(t, subs)
	for name, sub := range subs {
		for from := range ports {
			n := strings.Count(sub.out.String(), "from "+from+"\n")
			t.Logf("%s got the message of %s %d times", name, from, n)
			if n > most {
				t.Errorf("%s got the message of %s %d times", name, from, n)
			}
		}
	}
}

// atRest waits until nothing more comes for a second.
func atRest(t *testing.T, subs map[string]*process) {
	t.Helper()
	size := func() (n int) {
		for _, s := range subs {
			n += len(s.out.String())
		}
		return n
	}
	last, since := -1, time.Now()
	eventually(t, patience, "at rest", func() bool {
		if now := size(); now != last {
			last, since = now, time.Now()
		}
		return last > 0 && time.Since(since) > time.Second
	})
}

// TestBlackHole: that nothing gets through is noticed, by the keep-alive. (When: that is
// shown with a clock of its own in package bridge.)
func TestBlackHole(t *testing.T) {
	need(t, "mosquitto")
	up := startMosquitto(t)
	line, err := bridgetest.NewProxy(fmt.Sprintf("127.0.0.1:%d", up.port))
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	g := startGateway(t, strings.Replace(fmt.Sprintf(oneBridge, up.port), fmt.Sprint("127.0.0.1:", up.port), line.Address(), 1))
	g.connected()
	line.Hush()
	begin := time.Now()
	eventually(t, patience, "noticed", func() bool { return g.bridgeState() != "connected" })
	took := time.Since(begin)
	t.Logf("black hole noticed after %v with a keep-alive of 5s", took.Round(10*time.Millisecond))
	if measured() && took > 7500*time.Millisecond+time.Second {
		t.Errorf("noticed after %v", took)
	}
	publish(t, g.port, "plant/a", "kept")
	line.Speak()
	g.connected()
	eventually(t, patience, "nothing owed", func() bool { return g.status().Bridges[0].Owed == 0 })
}

// TestQuarantineFile: a line that a power cut has torn harms no other.
func TestQuarantineFile(t *testing.T) {
	dir := t.TempDir()
	q, err := openQuarantine(dir, "a/b")
	if err != nil || q.len() != 0 {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "quarantine", "a%2Fb.jsonl"); q.path != want {
		t.Errorf("path %s, want %s", q.path, want)
	}
	if err := appendSynced(q.path, []byte("{\"topic\":\"a\",\"payload\":\"aGVs\"}\n{torn")); err != nil {
		t.Fatal(err)
	}
	q, err = openQuarantine(dir, "a/b")
	if err != nil || q.len() != 1 || q.size == 0 {
		t.Fatalf("%d there, %d bytes, %v", q.len(), q.size, err)
	}
	if err := q.keep(bridge.Quarantined{Rule: "r", Message: &core.Message{Topic: "b"}}); err != nil {
		t.Fatal(err)
	}
	lines, err := q.read()
	if err != nil || len(lines) != 2 || string(lines[0].Payload) != "hel" || lines[1].Topic != "b" {
		t.Errorf("%+v, %v", lines, err)
	}
}

// TestQuarantineRelease: what a rule does not take stays, and nothing is sent twice;
// a message says when it was taken.
func TestQuarantineRelease(t *testing.T) {
	q, err := openQuarantine(t.TempDir(), "cloud")
	if err != nil {
		t.Fatal(err)
	}
	taken := core.NewClock().Now()
	for _, rule := range []string{"gone", "there", "gone", "there"} {
		if err := q.keep(bridge.Quarantined{Rule: rule, Message: &core.Message{Topic: rule, Received: taken}}); err != nil {
			t.Fatal(err)
		}
	}
	var sent []*core.Message
	send := func(rule string, m *core.Message) error {
		if rule == "gone" {
			return errors.New("it is not configured any more")
		}
		sent = append(sent, m)
		return nil
	}
	for _, want := range []int{2, 0} {
		if n, err := q.release(send); n != want || err == nil || q.len() != 2 {
			t.Errorf("%d sent, %v, %d left", n, err, q.len())
		}
	}
	if want := taken.Time().UTC().Format("2006-01-02T15:04:05.000Z"); len(sent) != 2 || sent[0].Properties.User[0] != (core.UserProperty{Name: "weir-ts", Value: want}) {
		t.Errorf("sent %+v", sent)
	}
	if again, err := openQuarantine(filepath.Dir(filepath.Dir(q.path)), "cloud"); err != nil || again.len() != 2 {
		t.Errorf("%d on disk, %v", again.len(), err)
	}
}

// TestReloadDuringStart: SIGHUP before the gateway is ready is a reload for when it is.
func TestReloadDuringStart(t *testing.T) {
	path, err := weirBinary()
	if err != nil {
		t.Fatal(err)
	}
	g := prepareGateway(t, loopbackConfig)
	g.process = start(t, path, "run", "--config", g.config)
	eventually(t, patience, "begun", func() bool { return strings.Contains(g.out.String(), "weir ") })
	g.signal(syscall.SIGHUP)
	eventually(t, patience, "reloaded", func() bool { return strings.Contains(g.out.String(), "reloaded: no bridge has changed") })
}

// TestReload: rules and bridges come, change and go while messages flow and others
// wait; nothing that is owed is touched, and a file with an error changes nothing.
func TestReload(t *testing.T) {
	need(t, "mosquitto", "mosquitto_pub", "mosquitto_sub")
	up := startMosquitto(t)
	rec := up.record(t, "site7/#")
	g := startGateway(t, fmt.Sprintf(oneBridge, up.port))
	g.connected()
	original, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	reload := func(word string, old, now string) {
		t.Helper()
		if err := os.WriteFile(g.config, []byte(strings.Replace(string(original), old, now, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		seen := strings.Count(g.out.String(), word)
		g.signal(syscall.SIGHUP)
		eventually(t, patience, word, func() bool { return strings.Count(g.out.String(), word) > seen })
	}
	src := publishNumbered(t, g, "auditor", 1, time.Millisecond, "plant/a", "plant/b")
	src.grown(t, 200)
	for range 3 { // under traffic
		reload("reloaded: changed cloud", "client_id: gw-1", "client_id: gw-1\n    max_inflight: 7")
		src.grown(t, 100)
		reload("reloaded: changed cloud", "", "")
		src.grown(t, 100)
	}
	reload("reloaded: no bridge has changed", "", "")
	reload("not reloaded: the configuration has errors", "keepalive: 5s", "keepalive: 5parsecs")

	up.process.stop() // in an outage
	src.grown(t, 200)
	reload("reloaded: changed cloud", "exclude: [\"plant/debug/#\"]", "priority: 3")
	src.grown(t, 200)
	reload("reloaded: removed cloud", string(original[strings.Index(string(original), "bridges:"):]), "bridges: []\n")
	if n := len(g.status().Bridges); n != 0 {
		t.Errorf("%d bridges", n)
	}
	src.end() // what comes while there is no rule is nobody's
	reload("reloaded: added cloud", "", "")
	up.start()
	g.connected()
	eventually(t, patience, "nothing owed", func() bool { return g.status().Bridges[0].Owed == 0 })
	rec.catchUp()
	v := judge(src.source, rec.tally)
	t.Logf("%d arrived, %d duplicates, %d out of order", v.Arrived, v.Duplicates, v.Reversed)
	if v.Reversed > 0 || v.Arrived < 800 {
		t.Errorf("%d arrived, %d out of order", v.Arrived, v.Reversed)
	}
	last := 0
	for n := range rec.times {
		last = max(last, n)
	}
	for n := range last { // without a gap up to the removal
		if rec.times[n] == 0 {
			t.Errorf("message %d is missing, %d has arrived", n, last)
			break
		}
	}
}
