package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What the gateway may cost on a small machine.
const (
	maxBinary  = 18 << 20 // stripped, arm64
	maxIdleRSS = 25 << 20 // two bridges and one adapter
)

// TestBinarySize builds what a Raspberry Pi gets.
func TestBinarySize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weir")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("arm64 binary: %.1f MB", float64(info.Size())/1e6)
	if info.Size() > maxBinary {
		t.Errorf("the binary has %d bytes, more than %d", info.Size(), maxBinary)
	}
}

const idleConfig = `
data_dir: %%DATA%%
listeners: [{name: lan, address: "%%MQTT%%"}]
console: {address: "%%CONSOLE%%"}
bridges:
  - {name: cloud, url: "mqtt://127.0.0.1:%[1]d", client_id: gw-1, out: [{filter: "plant/#", qos: 1}]}
  - {name: plant, url: "mqtt://127.0.0.1:%[1]d", client_id: gw-2, out: [{filter: "alarm/#", qos: 2}]}
adapters:
  - name: meters
    type: modbus
    url: tcp://127.0.0.1:%[2]d
    every: 1s
    topic: "local/{device}/{point}"
    devices:
      - {name: m1, unit: 1, points: [{name: v, register: "holding:0", type: uint16}]}
`

// TestIdleMemoryAndStart measures the gateway with two bridges and one adapter.
// The time to be ready is printed, not asserted: it depends on the machine.
func TestIdleMemoryAndStart(t *testing.T) {
	up := startMosquitto(t)
	slave := strings.TrimPrefix(startPymodbus(t, "tcp"), "tcp://127.0.0.1:")
	var port int
	if _, err := fmt.Sscan(slave, &port); err != nil {
		t.Fatal(err)
	}
	g := startGateway(t, fmt.Sprintf(idleConfig, up.port, port))
	eventually(t, patience, "connected and polling", func() bool {
		s := g.status()
		return s.Bridges[0].State == "connected" && s.Bridges[1].State == "connected" && s.Adapters[0].Readings >= 1
	})
	// Idle is when nobody asks for the status, either: the kernel is asked.
	eventually(t, patience, fmt.Sprintf("a resident memory of %d bytes or less", maxIdleRSS), func() bool { return g.resident() <= maxIdleRSS })
	time.Sleep(tidyAfter + restGap) // and it stays so
	resident := g.resident()
	s := g.status()
	ready := regexp.MustCompile(`ready +after (\S+)`).FindStringSubmatch(g.out.String())
	t.Logf("resident memory %.1f MB; ready %v; %d goroutines, %d descriptors", float64(resident)/1e6, ready, s.Process.Goroutines, s.Process.FDs)
	if resident > maxIdleRSS {
		t.Errorf("resident memory is %d bytes, more than %d", resident, maxIdleRSS)
	}
}

// resident is the gateway's resident memory, as the kernel counts.
func (g *testGateway) resident() int {
	g.t.Helper()
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", g.cmd.Process.Pid))
	if err != nil {
		g.t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	if err != nil {
		g.t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// TestDemo runs the demo as a newcomer does.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("the demo takes half a minute")
	}
	out, code := weir(t, "demo")
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	for _, want := range []string{"1  Values flow", "written to disk for them: ", "Verdict"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in the output:\n%s", want, out)
		}
	}
	if !regexp.MustCompile(`(?m)^ *lost +0 +0$`).MatchString(out) {
		t.Errorf("the verdict is not 'lost 0 0':\n%s", out)
	}
	t.Log(out)
}
