package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weir-edge/weir/bridge/bridgetest"
)

// edge is a broker with a bridge: Weir, or the one that it is compared with.
type edge struct {
	name string
	port int
	pid  int
	stop func()
}

// weirEdge and mosquittoEdge send plant/# to the line's far end as site7/plant/#.
func weirEdge(t testing.TB, address string) *edge {
	g := startGateway(t, strings.Replace(fmt.Sprintf(oneBridge, 0), "127.0.0.1:0", address, 1))
	return &edge{"weir", g.port, g.cmd.Process.Pid, g.kill}
}

func mosquittoEdge(t testing.TB, address string) *edge {
	m := startMosquitto(t, "connection cloud", "address "+address, "remote_clientid gw-1", "bridge_protocol_version mqttv50",
		"topic plant/# out 1 \"\" site7/", "restart_timeout 1", "notifications false", "cleansession false",
		"max_inflight_messages 1000", "keepalive_interval 5")
	return &edge{"mosquitto", m.port, m.cmd.Process.Pid, m.kill}
}

// cpu is the CPU time that a process has used.
func cpu(t testing.TB, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond // a tick
}

// figures of one turn.
type figures struct {
	rate    float64 // messages a second
	each    float64 // CPU us a message
	reverse int
}

// drainTurn fills an edge while its line is cut, and lets it go.
func drainTurn(t *testing.T, make func(testing.TB, string) *edge, messages int) figures {
	t.Helper()
	up := startMosquitto(t, "max_inflight_messages 1000")
	defer up.kill()
	rec := up.record(t, "site7/#")
	line, err := bridgetest.NewProxy(fmt.Sprintf("127.0.0.1:%d", up.port))
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	line.SetDelay(50 * time.Millisecond)
	line.Cut()
	e := make(t, line.Address())
	defer e.stop()
	src := newSource(e.port, "load", 1, "plant/a", "plant/b")
	src.limit, src.window, src.opts.persist = messages, 60, false
	if err := src.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := cpu(t, e.pid)
	line.Restore()
	var begin, end time.Time
	for end.IsZero() {
		n := rec.count()
		switch {
		case n >= messages:
			end = time.Now()
		case n > 0 && begin.IsZero():
			begin = time.Now()
		}
		time.Sleep(5 * time.Millisecond)
	}
	v := judge(src, rec.tally)
	if v.Lost > 0 {
		t.Errorf("%s: %d lost", e.name, v.Lost)
	}
	f := figures{float64(messages) / end.Sub(begin).Seconds(), float64((cpu(t, e.pid) - before).Microseconds()) / float64(messages), v.Reversed}
	t.Logf("%-9s drained %d at %.0f messages/s and 100 ms round trip, %.1f us CPU each, %d out of order", e.name, messages, f.rate, f.each, f.reverse)
	return f
}

// long says whether the bars are held, and not only shown: they want a machine that
// has nothing else to do.
func long() bool { return os.Getenv("WEIR_FAULTS") == "long" }

// measured says whether a time that is too long is a failure: on a machine that has
// nothing else to do, which WEIR_FIGURES=1 and WEIR_FAULTS=long promise. On any other it
// says more about the machine.
func measured() bool { return long() || os.Getenv("WEIR_FIGURES") != "" }

// TestUplinkDrainBar: how fast and how cheap a backlog goes out, beside mosquitto's
// own bridge in the same run.
func TestUplinkDrainBar(t *testing.T) {
	need(t, "mosquitto", "mosquitto_sub")
	messages := 10_000
	if long() {
		messages = 50_000
	}
	weir := drainTurn(t, weirEdge, messages)
	other := drainTurn(t, mosquittoEdge, messages)
	t.Logf("CPU a drained message: %.2f of mosquitto's", weir.each/other.each)
	if weir.reverse > 0 {
		t.Errorf("%d out of order", weir.reverse)
	}
	if long() && (weir.rate < 9000 || weir.each > 0.7*other.each) {
		t.Errorf("%.0f messages/s (bar 9,000), %.2f of mosquitto's CPU (bar 0.7)", weir.rate, weir.each/other.each)
	}
}

// healthyTurn is 1,000 messages a second over a line that is well.
func healthyTurn(t *testing.T, make func(testing.TB, string) *edge, seconds int) float64 {
	t.Helper()
	up := startMosquitto(t, "max_inflight_messages 1000")
	defer up.kill()
	rec := up.record(t, "site7/#")
	e := make(t, fmt.Sprintf("127.0.0.1:%d", up.port))
	defer e.stop()
	warm := newSource(e.port, "", 1, "plant/warm")
	warm.limit, warm.opts.persist = 1, false
	if err := warm.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "a first message upstream", func() bool { return rec.count() > 0 })
	src := newSource(e.port, "load", 1, "plant/a", "plant/b")
	src.limit, src.every, src.opts.persist = 1000*seconds, time.Millisecond, false
	before := cpu(t, e.pid)
	if err := src.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	each := float64((cpu(t, e.pid) - before).Microseconds()) / float64(src.limit)
	t.Logf("%-9s %.1f us CPU a message at 1,000/s", e.name, each)
	return each
}

// TestUplinkHealthyBar: what a message costs while the uplink keeps up.
func TestUplinkHealthyBar(t *testing.T) {
	need(t, "mosquitto", "mosquitto_sub")
	seconds := 3
	if long() {
		seconds = 10
	}
	weir := healthyTurn(t, weirEdge, seconds)
	other := healthyTurn(t, mosquittoEdge, seconds)
	t.Logf("CPU a message with a healthy uplink: %.2f of mosquitto's", weir/other)
	if long() && weir > 0.7*other {
		t.Errorf("%.2f of mosquitto's CPU (bar 0.7)", weir/other)
	}
}

// TestUplinkGatherFigure: in how many pieces messages and their acknowledgements go over
// a healthy line at 1,000/s, each by itself and gathered, and that the status tells.
func TestUplinkGatherFigure(t *testing.T) {
	need(t, "mosquitto")
	seconds := 2
	if long() {
		seconds = 10
	}
	upEach, downEach := gatherTurn(t, "0s", seconds)
	up, down := gatherTurn(t, "5ms", seconds)
	t.Logf("gathered: %.2f of the pieces up, %.2f of those down", up/upEach, down/downEach)
}

// gatherTurn gives the pieces a message, up and down.
func gatherTurn(t *testing.T, gather string, seconds int) (up, down float64) {
	t.Helper()
	upstream := startMosquitto(t, "max_inflight_messages 1000")
	defer upstream.kill()
	line, err := bridgetest.NewProxy(fmt.Sprintf("127.0.0.1:%d", upstream.port))
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	g := startGateway(t, strings.NewReplacer("127.0.0.1:0", line.Address(), "keepalive: 5s", "gather: "+gather).Replace(fmt.Sprintf(oneBridge, 0)))
	defer g.kill()
	g.connected()
	src := newSource(g.port, "load", 1, "plant/a", "plant/b")
	src.limit, src.every, src.opts.persist = 1000*seconds, time.Millisecond, false
	upBefore, downBefore := line.Pieces()
	writes := g.status().Bridges[0].Writes
	if err := src.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "all acknowledged by the upstream", func() bool { return g.status().Bridges[0].Published >= uint64(src.limit) })
	upAfter, downAfter := line.Pieces()
	writes = g.status().Bridges[0].Writes - writes
	n := float64(src.limit)
	up, down = float64(upAfter-upBefore)/n, float64(downAfter-downBefore)/n
	t.Logf("gather %-3s: a message takes %.3f writes, %.3f pieces up and %.3f down", gather, float64(writes)/n, up, down)
	return up, down
}

// TestUplinkChaosBar: link failures and SIGKILLs at random moments under 1,000
// messages a second.
func TestUplinkChaosBar(t *testing.T) {
	need(t, "mosquitto", "mosquitto_sub")
	messages, failures, kills := 6000, 3, 1
	if long() {
		messages, failures, kills = 60_000, 12, 6
	}
	for _, qos := range []byte{1, 2} {
		t.Run(fmt.Sprintf("qos=%d", qos), func(t *testing.T) { chaosTurn(t, qos, messages, failures, kills) })
	}
}

func chaosTurn(t *testing.T, qos byte, messages, failures, kills int) {
	up := startMosquitto(t, "max_inflight_messages 1000")
	rec := up.record(t, "site7/#")
	line, err := bridgetest.NewProxy(fmt.Sprintf("127.0.0.1:%d", up.port))
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	g := startGateway(t, strings.NewReplacer("127.0.0.1:0", line.Address(), "plant/#\", qos: 1", "plant/#\", qos: 2").Replace(fmt.Sprintf(oneBridge, 0)))
	src := newSource(g.port, "auditor", qos, "plant/a", "plant/b", "plant/c")
	src.limit, src.every = messages, time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- src.run(ctx) }()

	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	total := failures + kills
	for i := range total {
		_, acked := src.counts()
		next := (i + 1) * messages / (total + 1)
		eventually(t, time.Minute, fmt.Sprintf("%d acknowledged, from %d", next, acked), func() bool { _, n := src.counts(); return n >= next })
		switch d := time.Duration(200+rng.IntN(1800)) * time.Millisecond; {
		case (i+1)*kills/total > i*kills/total:
			g.kill()
			g.start()
		case rng.IntN(2) == 0:
			line.Cut()
			time.Sleep(d)
			line.Restore()
		default:
			line.Hush()
			time.Sleep(d)
			line.Speak()
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	v := settle(t, rec, g, src)
	t.Logf("QoS %d, %d link failures, %d kills: %d acknowledged, %d lost, %d duplicates, %d out of order",
		qos, failures, kills, v.Acknowledged, v.Lost, v.Duplicates, v.Reversed)
	if v.Reversed > 0 || qos == 2 && v.Duplicates > 0 || v.Duplicates > (failures+kills)*1000+kills*src.window {
		t.Errorf("verdict: %+v", v)
	}
}
