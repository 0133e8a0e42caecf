package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pluggedIn runs a simulated line under a link; stopping it pulls the plug.
func pluggedIn(t *testing.T, link string) *process {
	t.Helper()
	sim := start(t, must(weirBinary()), "sim", "modbus", "--pty", link, "--baud", "38400", "--units", "1", "--latency", "5ms")
	eventually(t, patience, "a simulated line", func() bool { return fileExists(link) })
	return sim
}

// first waits for the first message that fits, and says how long after since it came.
func (a *arrivals) first(what string, since time.Time, fits func(arrival) bool) time.Duration {
	a.b.Helper()
	limit := time.After(patience)
	for {
		select {
		case m := <-a.each:
			if m.at.After(since) && fits(m) {
				return m.at.Sub(since)
			}
		case <-limit:
			a.b.Fatalf("no %s", what)
		}
	}
}

// TestModbusReplug: unplugged, the line's state is told within a second; plugged in
// again, the first value comes within two. Once with hardly anybody connected, and
// once with 1,100 clients: then the descriptors of the new port are beyond 1024,
// where a library that waits with select ends the process. The times are only a
// failure where they are measured.
func TestModbusReplug(t *testing.T) {
	for name, clients := range map[string]int{"alone": 0, "1100 clients": 1100} {
		t.Run(name, func(t *testing.T) {
			link := filepath.Join(t.TempDir(), "bus")
			sim := pluggedIn(t, link)
			g := startGateway(t, fmt.Sprintf(modbusBarsConfig, "rtu://"+link+"?baud=38400", 100*time.Millisecond, "json",
				`      - {name: m1, unit: 1, points: [{name: a, register: "input:0", type: float32}]}`))
			values, states := g.arrivals(t, "plant/#"), g.arrivals(t, "weir/+/adapters/meters")
			good := func(m arrival) bool { return m.value != nil }
			values.first("value", time.Time{}, good)
			for range clients {
				c := dialRaw(t, g.port, "", true)
				defer c.Close()
			}
			for range 2 {
				sim.kill()
				unplugged := time.Now()
				told := states.first("state", unplugged, func(m arrival) bool { return strings.Contains(m.body, `"state":"waiting"`) })
				time.Sleep(2 * time.Second) // the back-off is at its longest
				removeLink(t, link)
				sim = pluggedIn(t, link)
				plugged := time.Now()
				read := values.first("value", plugged, good)
				t.Logf("told %v after it was unplugged, first value %v after it was plugged in", told, read)
				if measured() && (told > time.Second || read > 2*time.Second) {
					t.Error("that is too late")
				}
			}
			if s := g.status(); clients > 0 && s.Process.FDs < 1024 {
				t.Errorf("only %d descriptors were in use", s.Process.FDs)
			}
		})
	}
}

// removeLink takes away what a killed simulator left.
func removeLink(t *testing.T, link string) {
	t.Helper()
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
}
