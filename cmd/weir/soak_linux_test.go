package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
)

const soakConfig = `
gateway: cabinet-7
data_dir: %%DATA%%
listeners: [{name: lan, address: "%%MQTT%%"}]
console: {address: "%%CONSOLE%%"}
storage: {budget: 256MiB, reserve: 0}
bridges:
  - name: cloud
    url: mqtt://%s
    client_id: cabinet-7
    keepalive: 5s
    backoff: {min: 100ms, max: 500ms}
    out:
      - {filter: "line/#", qos: 1, remote_prefix: "site7/"}
      - {filter: "batch/#", qos: 2, remote_prefix: "site7/"}
      - {filter: "plant/#", qos: 1, remote_prefix: "site7/", history: 1m}
adapters:
  - name: meters
    type: modbus
    url: tcp://%s
    every: 100ms
    timeout: 500ms
    topic: "plant/{device}/{point}"
    devices:
      - name: m1
        unit: 1
        points:
          - {name: voltage, register: "input:0", type: float32}
          - {name: energy, register: "holding:0", type: uint32}
  - name: scale
    type: serial
    port: %s
    baud: 9600
    framing: {delimiter: "\r\n"}
    parse: {kind: csv, fields: [{name: weight, type: number}]}
    topic: "plant/{adapter}/{field}"
`

// TestSoak lets one process live for as long as is asked for, among clients that come
// and go, devices and an uplink that fail once a cycle, reloads, and eyes on its
// console. Nothing that was acknowledged is lost, and what the process needs at the
// end of a cycle does not grow from one part of its life to another:
//
//	WEIR_SOAK=1h go test ./cmd/weir -run TestSoak -v -timeout 0
func TestSoak(t *testing.T) {
	span, err := time.ParseDuration(os.Getenv("WEIR_SOAK"))
	if err != nil {
		t.Skip("only with WEIR_SOAK=1h or so")
	}
	s := newSoak(t)
	for end := time.Now().Add(span); time.Now().Before(end); {
		s.cycle()
	}
	s.settle()
	s.level()
}

// soak is the scenery: what the gateway is connected to, and what was seen of it.
type soak struct {
	t         *testing.T
	uplink    *link
	bus       *link
	g         *testGateway
	sources   []*audited
	recorders []*recorder // of each source
	cuts      int         // of the uplink
	window    int         // the widest of the bridge
	samples   []soakSample
}

// soakSample is what the process needs at the end of a cycle.
type soakSample struct {
	rss, disk                       uint64 // bytes
	goroutines, files, maps, queued int
}

func newSoak(t *testing.T) *soak {
	t.Helper()
	meter, err := startMeter()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(meter.close)
	scale, err := startScale()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(scale.close)
	up := startMosquitto(t, "max_inflight_messages 0")
	s := &soak{t: t, uplink: newLink(t, fmt.Sprintf("127.0.0.1:%d", up.port)), bus: newLink(t, meter.address)}
	for _, topics := range []string{"line", "batch"} {
		s.recorders = append(s.recorders, record(t, up.port, topics, "site7/"+topics+"/#"))
	}
	s.g = startGateway(t, fmt.Sprintf(soakConfig, s.uplink.address, s.bus.address, scale.path))
	s.g.connected()
	s.sources = []*audited{
		publishNumbered(t, s.g, "line", 1, 5*time.Millisecond, "line/a", "line/b", "line/c"),
		publishNumbered(t, s.g, "batch", 2, 20*time.Millisecond, "batch/a"),
	}
	s.beside(s.visit)
	s.beside(s.watch)
	return s
}

// beside calls f again and again until the end of the test.
func (s *soak) beside(f func(context.Context, int)) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			f(ctx, i)
		}
	})
	s.t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

// visit is a client that comes, does what clients do, and goes one way or another.
func (s *soak) visit(ctx context.Context, i int) {
	o := clientOptions{
		host: "127.0.0.1", port: s.g.port, id: fmt.Sprintf("visitor-%d", i%50), version: []string{"31", "311", "5"}[i%3],
		persist: i%4 == 0, expiry: int64(i % 4 * 5), keepalive: 10,
	}
	c, err := dial(ctx, o)
	if err != nil {
		s.t.Errorf("a visitor is not let in: %v", err)
		return
	}
	_ = c.send(&packet.Subscribe{PacketID: 1, Filters: []packet.Filter{{Filter: fmt.Appendf(nil, "plant/+/%d/#", i%50), Options: 1}, {Filter: []byte("#")}}})
	for range rand.N(20) {
		_ = c.send(&packet.Publish{Topic: fmt.Appendf(nil, "hall/%d", i%500), Payload: make([]byte, rand.N(2000)), Retain: i%5 == 0})
		_, _ = c.receive(20 * time.Millisecond)
	}
	if i%2 == 0 {
		_ = c.send(&packet.Disconnect{})
	}
	_ = c.close()
}

// watch is a person with the console open, and a scraper of metrics.
func (s *soak) watch(ctx context.Context, i int) {
	for _, path := range []string{"/", "/metrics", "/api/v1/status", "/healthz", "/nowhere"} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", s.g.console, path), nil)
		if err != nil {
			s.t.Error(err)
			return
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}
	select {
	case <-ctx.Done():
	case <-time.After(time.Second):
	}
}

// cycle is a while of health, one without uplink and bus, and the recovery from it.
func (s *soak) cycle() {
	s.t.Helper()
	time.Sleep(6 * time.Second)
	s.uplink.down()
	s.cuts++
	time.Sleep(2 * time.Second)
	s.bus.down()
	time.Sleep(4 * time.Second)
	s.bus.up()
	s.g.signal(syscall.SIGHUP)
	s.uplink.up()
	eventually(s.t, time.Minute, "drained", func() bool {
		b := s.g.status().Bridges[0]
		s.window = max(s.window, b.Window)
		return b.State == "connected" && b.Owed < 50
	})
	eventually(s.t, time.Minute, "read from the devices", func() bool {
		return !slices.ContainsFunc(s.g.status().Adapters, func(a core.AdapterStatus) bool { return a.State != "running" })
	})
	s.sample()
}

func (s *soak) sample() {
	s.t.Helper()
	st := s.g.status()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", st.Process.PID))
	if err != nil {
		s.t.Fatal(err)
	}
	now := soakSample{
		rss: st.Process.RSS, goroutines: st.Process.Goroutines, files: st.Process.FDs,
		maps: bytes.Count(maps, []byte("\n")), queued: int(st.Buffer.Messages), disk: s.g.diskUse(),
	}
	s.samples = append(s.samples, now)
	if n := len(s.samples); n%10 == 1 {
		s.t.Logf("cycle %d: %+v", n, now)
	}
}

// diskUse is how much is allocated for the files of the gateway. Files come and go meanwhile.
func (g *testGateway) diskUse() (bytes uint64) {
	_ = filepath.WalkDir(g.dataDir(), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			bytes += uint64(info.Sys().(*syscall.Stat_t).Blocks) * 512
		}
		return nil
	})
	return bytes
}

// settle lets all arrive, and holds it against what was acknowledged.
func (s *soak) settle() {
	s.t.Helper()
	for i, src := range s.sources {
		src.end()
		v := settle(s.t, s.recorders[i], s.g, src.source)
		s.t.Logf("QoS %d: %d acknowledged, %d lost, %d duplicates, %d out of order, %d cuts", src.qos, v.Acknowledged, v.Lost, v.Duplicates, v.Reversed, s.cuts)
		most := s.cuts * s.window
		if src.qos == 2 {
			most = 0
		}
		if v.Lost > 0 || v.Reversed > 0 || v.Duplicates > most {
			s.t.Errorf("QoS %d: %+v", src.qos, v)
		}
	}
}

// level: the last quarter of the life needs no more than the second.
func (s *soak) level() {
	s.t.Helper()
	n := len(s.samples)
	if n < 16 {
		s.t.Logf("%d cycles are too few to see anything grow", n)
		return
	}
	for _, need := range []struct {
		name  string
		of    func(soakSample) float64
		slack float64 // beside a tenth
	}{
		{"resident bytes", func(x soakSample) float64 { return float64(x.rss) }, 4 << 20},
		{"bytes on disk", func(x soakSample) float64 { return float64(x.disk) }, 24 << 20}, // a segment and what is begun of the next
		{"goroutines", func(x soakSample) float64 { return float64(x.goroutines) }, 5},
		{"open files", func(x soakSample) float64 { return float64(x.files) }, 5},
		{"mappings", func(x soakSample) float64 { return float64(x.maps) }, 20},
	} {
		typical := func(samples []soakSample) float64 {
			var list []float64
			for _, x := range samples {
				list = append(list, need.of(x))
			}
			return middle(list)
		}
		before, after := typical(s.samples[n/4:n/2]), typical(s.samples[n-n/4:])
		s.t.Logf("%-15s %.0f, later %.0f", need.name, before, after)
		if after > 1.1*before+need.slack {
			s.t.Errorf("%s grow from %.0f to %.0f", need.name, before, after)
		}
	}
}
