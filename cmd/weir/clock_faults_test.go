package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const clockConfig = `
data_dir: %%DATA%%
listeners: [{name: lan, address: "%%MQTT%%"}]
console: {address: "%%CONSOLE%%"}
storage: {reserve: 0}
bridges:
  - name: cloud
    url: mqtt://127.0.0.1:%d
    client_id: gw-1
    out: [{filter: "plant/#", qos: 1, max_age: 1h, stamp: always}]
adapters:
  - name: meters
    type: modbus
    url: %s
    every: 500ms
    topic: "local/{device}/{point}"
    devices:
      - {name: m1, unit: 1, points: [{name: v, register: "holding:0", type: uint16}]}
`

// clockOfTest stands in for clocksync_linux.go: seconds by which the wall clock is
// wrong, and whether it is known, are read from a file.
const clockOfTest = `package main

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

var known atomic.Bool

func look() {
	var offset int64
	var ok bool
	if b, err := os.ReadFile(os.Getenv("WEIR_TEST_CLOCK")); err == nil {
		if n, _ := fmt.Sscan(string(b), &offset, &ok); n == 2 {
			time.WallOffset.Store(offset)
			known.Store(ok)
		}
	}
}

func init() {
	look()
	go func() {
		for range time.Tick(20 * time.Millisecond) {
			look()
		}
	}()
}

func clockKnown() bool { return known.Load() }
`

// wrongClockBinary builds the gateway with a wall clock that a file can set. The
// monotonic clock is the machine's.
func wrongClockBinary(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	original := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	text, err := os.ReadFile(original)
	if err != nil {
		t.Skipf("the sources of the standard library are not here: %v", err)
	}
	const from, to = "sec, nsec, mono := runtimeNow()\n", "sec, nsec, mono := runtimeNow()\n\tsec += WallOffset.Load()\n"
	if strings.Count(string(text), from) != 1 {
		t.Skip("this version of the standard library takes the time in another way")
	}
	changed := strings.Replace(string(text), from, to, 1)
	changed = strings.Replace(changed, "import (\n", "import (\n\t\"internal/runtime/atomic\"\n", 1) + "\nvar WallOffset atomic.Int64\n"
	wrong, known := filepath.Join(dir, "time.go"), filepath.Join(dir, "clock.go")
	here, err := filepath.Abs("clocksync_linux.go")
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: wrong, here: known}})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]string{wrong: changed, known: clockOfTest, filepath.Join(dir, "overlay.json"): string(overlay)} {
		if err := os.WriteFile(name, []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	binary := filepath.Join(dir, "weir")
	cmd := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", binary, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build with another clock: %v\n%s", err, out)
	}
	return binary
}

// TestClockFaults boots in 1970, learns the time, has it set back by an hour and
// forth beyond 2038, and is killed at the end. Nothing expires of that, the order
// stays, and the times of this boot are right once the clock is. It builds the
// standard library anew, so it runs with the long faults only.
func TestClockFaults(t *testing.T) {
	if os.Getenv("WEIR_FAULTS") == "" {
		t.Skip("only with WEIR_FAULTS=1 or long")
	}
	need(t, "mosquitto_pub", "mosquitto_sub")
	binary := wrongClockBinary(t)
	set := clockSetter(t)
	begun := time.Now()
	in1970 := -time.Duration(begun.Unix()) * time.Second
	set(in1970, false)

	g := prepareGateway(t, fmt.Sprintf(clockConfig, freePort(t), startPymodbus(t, "tcp")))
	g.startAs(binary)
	port := strconv.Itoa(g.port)
	mustRun(t, "mosquitto_sub", "-p", port, "-c", "-i", "away", "-q", "1", "-t", "plant/#", "-E")
	publish := func(n int) {
		mustRun(t, "mosquitto_pub", "-p", port, "-V", "5", "-q", "1", "-t", "plant/a", "-m", strconv.Itoa(n),
			"-D", "PUBLISH", "message-expiry-interval", "3600")
	}
	reading := func() (r struct {
		TS     time.Time `json:"ts"`
		Synced *bool     `json:"ts_synced"`
	},
	) {
		t.Helper()
		out := mustRun(t, "mosquitto_sub", "-p", port, "-t", "local/m1/v", "-C", "1", "-W", "120")
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		return r
	}
	publish(1)
	if r := reading(); r.TS.Year() != 1970 || r.Synced == nil || *r.Synced {
		t.Errorf("a reading of 1970 says %v", r)
	}
	set(0, true)
	eventually(t, patience, "the clock to be known", func() bool { return g.status().ClockSynced })
	publish(2)
	if r := reading(); time.Since(r.TS).Abs() > time.Minute || r.Synced != nil {
		t.Errorf("a reading of a known clock says %v", r)
	}
	for _, k := range peeked(t, g) {
		if k.Received.Before(begun.Add(-time.Minute)) || k.Received.After(time.Now().Add(time.Minute)) || !k.TimeSynced {
			t.Errorf("message %d was received at %v, known %t", k.Seq, k.Received, k.TimeSynced)
		}
	}
	set(-time.Hour, true)
	publish(3)
	set(time.Until(time.Date(2039, 1, 1, 0, 0, 0, 0, time.UTC)), true)
	publish(4)
	if r := reading(); r.TS.Year() < 2038 {
		t.Errorf("a reading of 2039 says %v", r)
	}
	if list := peeked(t, g); len(list) != 4 {
		t.Errorf("%d messages are owed after 2038, not 4", len(list))
	}
	set(0, true)
	g.kill()
	g.startAs(binary)
	got := mustRun(t, "mosquitto_sub", "-p", port, "-c", "-i", "away", "-q", "1", "-t", "plant/#", "-C", "4", "-W", "120")
	if got != "1\n2\n3\n4\n" {
		t.Errorf("the session gets %q", got)
	}
	if n := g.status().Buffer.Dropped; len(n) > 0 {
		t.Errorf("dropped: %v", n)
	}
	if owed := g.status().Buffer.Messages; owed != 4 {
		t.Errorf("%d messages wait for the upstream, not 4", owed)
	}
}

// clockSetter gives a function that sets the wall clock of a gateway of
// wrongClockBinary, and whether it is known.
func clockSetter(t *testing.T) func(offset time.Duration, known bool) {
	t.Helper()
	clock := filepath.Join(t.TempDir(), "clock")
	t.Setenv("WEIR_TEST_CLOCK", clock)
	return func(offset time.Duration, known bool) {
		t.Helper()
		text := fmt.Sprint(int64(offset/time.Second), " ", known)
		err := os.WriteFile(clock+".new", []byte(text), 0o600)
		if err := errors.Join(err, os.Rename(clock+".new", clock)); err != nil {
			t.Fatal(err)
		}
	}
}

// peeked is what the session that is away is owed.
func peeked(t *testing.T, g *testGateway) (list []kept) {
	t.Helper()
	out, code := weir(t, "buffer", "peek", "away", "--json", "--config", g.config)
	if code != 0 {
		t.Fatalf("peek: %d %s", code, out)
	}
	lines := bufio.NewScanner(strings.NewReader(out))
	for lines.Scan() {
		var k kept
		if err := json.Unmarshal(lines.Bytes(), &k); err != nil {
			t.Fatalf("%v in %s", err, lines.Text())
		}
		list = append(list, k)
	}
	return list
}
