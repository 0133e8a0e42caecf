package main

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/weir-edge/weir/core/packet"
)

// TestDrainLatency measures what those on the spot notice of a backlog that drains:
// the time of a message from one local client to another, beside idle times before
// and after. It needs a quiet machine; the share that mosquitto takes of it counts.
//
//	WEIR_FIGURES=1 go test ./cmd/weir -run TestDrainLatency -v
func TestDrainLatency(t *testing.T) {
	if os.Getenv("WEIR_FIGURES") == "" {
		t.Skip("only with WEIR_FIGURES=1")
	}
	need(t, "mosquitto")
	up := startMosquitto(t, "persistence false")
	g := startGateway(t, fmt.Sprintf(oneBridge, up.port))
	g.connected()
	at := "--config=" + g.config
	owed := func() uint64 { return g.status().Bridges[0].Owed }

	expect(t, 0, []string{"bridge", "pause", "cloud", at}, "paused")
	backlog := uint64(envNumber(t, "WEIR_FIGURES_BACKLOG", 1_000_000))
	for owed() < backlog {
		acksPerSecond(t, g.port, 50_000, 1000, 200)
	}
	idle := localLatencies(t, g.port, 3*time.Second)
	expect(t, 0, []string{"bridge", "resume", "cloud", at}, "resumed")
	g.connected()
	begun, before := time.Now(), owed()
	var draining []time.Duration
	for owed() > backlog/50 {
		draining = append(draining, localLatencies(t, g.port, 500*time.Millisecond)...)
	}
	rate := float64(before-owed()) / time.Since(begun).Seconds()
	eventually(t, time.Minute, "drained", func() bool { return owed() == 0 })
	idle = append(idle, localLatencies(t, g.port, 3*time.Second)...)

	figure(t, "drained beside it, messages/s", "%.0f", rate, "")
	us := func(all []time.Duration, part float64) float64 {
		slices.Sort(all)
		return float64(all[int(float64(len(all)-1)*part)].Microseconds())
	}
	for _, p := range []struct {
		name string
		part float64
		bar  string
	}{{"p50", 0.5, ""}, {"p99", 0.99, "<= 2"}} {
		figure(t, "local latency, idle, "+p.name+", us", "%.0f", us(idle, p.part), fmt.Sprint(len(idle), " samples"))
		figure(t, "local latency, draining, "+p.name+", us", "%.0f", us(draining, p.part), fmt.Sprint(len(draining), " samples"))
		figure(t, "draining against idle, "+p.name, "%.2f", us(draining, p.part)/us(idle, p.part), p.bar)
	}
}

// localLatencies sends a message every 2 ms to its own subscription, for so long.
func localLatencies(t *testing.T, port int, d time.Duration) (all []time.Duration) {
	t.Helper()
	c := dialRaw(t, port, "probe", true)
	defer c.Close()
	if _, err := c.Write([]byte{0x82, 8, 0, 1, 0, 3, 'l', '/', 't', 0}); err != nil {
		t.Fatal(err)
	}
	if kind, _ := c.packet(t); kind != packet.SUBACK {
		t.Fatalf("no SUBACK but %v", kind)
	}
	publish := append([]byte{0x30, 105, 0, 3, 'l', '/', 't'}, padding[:100]...)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); {
		<-tick.C
		begun := time.Now()
		if _, err := c.Write(publish); err != nil {
			t.Fatal(err)
		}
		if kind, _ := c.packet(t); kind != packet.PUBLISH {
			t.Fatalf("no PUBLISH but %v", kind)
		}
		all = append(all, time.Since(begun))
	}
	return all
}
