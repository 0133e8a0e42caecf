package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weir-edge/weir/adapters/serialport/pty"
	"github.com/weir-edge/weir/core/packet"
)

// The figures of serial lines through the real binary. They print, and fail only
// where something is lost:
//
//	go test -run '^$' -bench Serial -benchtime 1x ./cmd/weir

const serialBarsConfig = `
data_dir: %%DATA%%
listeners: [{name: lan, address: "%%MQTT%%"}]
console: {address: "%%CONSOLE%%"}
adapters:
%s`

// arrivals is a subscriber in this process, so that times can be compared.
type arrivals struct {
	b    *testing.B
	c    *client
	each chan arrival
}

type arrival struct {
	at    time.Time
	topic string
	value any
}

func (g *testGateway) arrivals(b *testing.B, filter string) *arrivals {
	b.Helper()
	o := clientOptions{host: "127.0.0.1", port: g.port, version: "5", keepalive: 0}
	c, err := dial(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.conn.Close() })
	subscribe := &packet.Subscribe{PacketID: c.packetID(), Filters: []packet.Filter{{Filter: []byte(filter), Options: 1}}}
	if err := c.send(subscribe); err != nil {
		b.Fatal(err)
	}
	if _, err := c.receive(5 * time.Second); err != nil {
		b.Fatal(err)
	}
	a := &arrivals{b: b, c: c, each: make(chan arrival, 1<<20)}
	go a.receive()
	return a
}

func (a *arrivals) receive() {
	defer close(a.each)
	for {
		p, err := a.c.receive(0)
		if err != nil {
			return
		}
		m, ok := p.(*packet.Publish)
		if !ok {
			continue
		}
		at := time.Now()
		if m.QoS == 1 && a.c.send(&packet.Ack{Kind: packet.PUBACK, PacketID: m.PacketID}) != nil {
			return
		}
		var r struct{ Value any }
		_ = json.Unmarshal(m.Payload, &r) // no JSON: no value, which the reader sees
		a.each <- arrival{at, string(m.Topic), r.Value}
	}
}

// serialDevice is a simulated device behind a link that stays the same.
func serialDevice(b *testing.B, link string) *os.File {
	b.Helper()
	device, path, err := pty.New()
	if err != nil {
		b.Fatal(err)
	}
	_ = os.Remove(link)
	if err := os.Symlink(path, link); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { device.Close() })
	return device
}

// send writes at the pace of a line, in pieces as a UART delivers them, for so
// long. written is told when the last byte of each line went out.
func send(b *testing.B, device *os.File, baud int, d time.Duration, line func(n int) string, written func(n int, at time.Time)) (lines int) {
	b.Helper()
	const piece = 16
	perSecond := float64(baud) / 10
	started := time.Now()
	sent := 0
	var rest string
	for time.Since(started) < d || rest != "" {
		for due := int(time.Since(started).Seconds() * perSecond); sent+piece <= due; {
			if rest == "" {
				rest = line(lines)
			}
			chunk := rest[:min(piece, len(rest))]
			if _, err := device.WriteString(chunk); err != nil {
				b.Error(err)
				return lines
			}
			sent += len(chunk)
			if rest = rest[len(chunk):]; rest == "" {
				written(lines, time.Now())
				lines++
				if time.Since(started) >= d {
					return lines
				}
			}
		}
		time.Sleep(time.Millisecond)
	}
	return lines
}

func unwritten(int, time.Time) {}

// numberedLine is a line of 64 bytes with a number in it.
func numberedLine(n int) string {
	return fmt.Sprintf("%d,%s\r\n", n, strings.Repeat("x", 61-len(strconv.Itoa(n))))
}

const numberedParse = `
    parse: {kind: csv, fields: [{name: n, type: int}, "-"]}
    topic: "plant/{adapter}/{field}"`

func serialLine(name, link string, baud int, rest string) string {
	return fmt.Sprintf("  - name: %s\n    type: serial\n    port: %s\n    baud: %d%s\n", name, link, baud, rest)
}

func startSerialGateway(b *testing.B, lines ...string) *testGateway {
	b.Helper()
	g := startGateway(b, fmt.Sprintf(serialBarsConfig, strings.Join(lines, "")))
	eventually(b, 10*time.Second, "open lines", func() bool {
		for _, a := range g.status().Adapters {
			if a.State != "running" {
				return false
			}
		}
		return true
	})
	return g
}

// What a line at 115200 baud costs that is never silent: sentences of a receiver.
func BenchmarkSerialCost(b *testing.B) {
	sentence := "$GPGGA,232712.000,4404.1237962,N,12118.8472460,W,1,05,5.1,1132.560,M,-20.300,M,,0000*58\r\n"
	for name, rule := range map[string]string{"changes": "\n    on_change: true", "everything": ""} {
		b.Run(name, func(b *testing.B) {
			link := filepath.Join(b.TempDir(), "gps")
			device := serialDevice(b, link)
			g := startSerialGateway(b, serialLine("gps", link, 115200, "\n    parse: {kind: nmea}"+rule))
			const d = 10 * time.Second
			before := g.status()
			idle := time.Now()
			time.Sleep(2 * time.Second)
			after := g.status()
			idleCost := (after.Process.CPU - before.Process.CPU) / time.Since(idle).Seconds()
			before, started := g.status(), time.Now()
			send(b, device, 115200, d, func(int) string { return sentence }, unwritten)
			after = g.status()
			cost := (after.Process.CPU-before.Process.CPU)/time.Since(started).Seconds() - idleCost
			readings := float64(after.Adapters[0].Readings-before.Adapters[0].Readings) / time.Since(started).Seconds()
			b.ReportMetric(100*cost, "%core")
			b.ReportMetric(100*idleCost, "%core-idle")
			b.ReportMetric(readings, "readings/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// A minute at 921600 baud: every line arrives, in order.
func BenchmarkSerialSustained(b *testing.B) {
	link := filepath.Join(b.TempDir(), "fast")
	device := serialDevice(b, link)
	g := startSerialGateway(b, serialLine("fast", link, 921600, numberedParse))
	a := g.arrivals(b, "plant/#")
	fmt.Fprint(device, "\r\n") // in step
	sent := send(b, device, 921600, time.Minute, numberedLine, unwritten)
	for n := range sent {
		select {
		case m := <-a.each:
			if m.value != float64(n) {
				b.Fatalf("reading %v; want %d", m.value, n)
			}
		case <-time.After(10 * time.Second):
			b.Fatalf("%d of %d readings arrived; %+v", n, sent, g.status().Adapters)
		}
	}
	b.ReportMetric(float64(sent), "sent")
	b.ReportMetric(0, "lost")
	b.ReportMetric(float64(64*sent)/60, "bytes/s")
	b.ReportMetric(0, "ns/op")
}

// From the last byte on the line to the message at a subscriber.
func BenchmarkSerialLatency(b *testing.B) {
	for name, baud := range map[string]int{"stream-115200": 115200, "now-and-then": 0} {
		b.Run(name, func(b *testing.B) {
			link := filepath.Join(b.TempDir(), "line")
			device := serialDevice(b, link)
			g := startSerialGateway(b, serialLine("line", link, 115200, numberedParse))
			a := g.arrivals(b, "plant/#")
			fmt.Fprint(device, "\r\n")
			var written []time.Time
			note := func(_ int, at time.Time) { written = append(written, at) }
			if baud > 0 {
				send(b, device, baud, 10*time.Second, numberedLine, note)
			} else {
				for n := range 300 {
					fmt.Fprint(device, numberedLine(n))
					note(n, time.Now())
					time.Sleep(time.Duration(20+n%13) * time.Millisecond)
				}
			}
			report(b, a.latencies(written))
		})
	}
}

// latencies are how long after its line was written each numbered reading came.
func (a *arrivals) latencies(written []time.Time) []time.Duration {
	a.b.Helper()
	var took []time.Duration
	for n := range written {
		select {
		case m := <-a.each:
			took = append(took, m.at.Sub(written[n]))
		case <-time.After(10 * time.Second):
			a.b.Fatalf("%d of %d readings arrived", n, len(written))
		}
	}
	return took
}

func report(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	n := len(took)
	b.ReportMetric(float64(took[n/2].Microseconds())/1000, "ms-p50")
	b.ReportMetric(float64(took[n*99/100].Microseconds())/1000, "ms-p99")
	b.ReportMetric(float64(took[n-1].Microseconds())/1000, "ms-max")
	b.ReportMetric(0, "ns/op")
}

// From plugging in to the first reading at a subscriber.
func BenchmarkSerialReplug(b *testing.B) {
	link := filepath.Join(b.TempDir(), "line")
	device := serialDevice(b, link)
	g := startSerialGateway(b, serialLine("line", link, 9600, numberedParse))
	a := g.arrivals(b, "plant/#")
	worst := time.Duration(0)
	for n := range 5 {
		device.Close()
		_ = os.Remove(link)
		eventually(b, 10*time.Second, "unplugged", func() bool { return g.status().Adapters[0].State == "waiting" })
		time.Sleep(time.Duration(2*n+1) * time.Second) // the back-off is at its longest after a while
		device = serialDevice(b, link)
		plugged := time.Now()
		fmt.Fprintf(device, "\r\n%s", numberedLine(n))
		for m := range a.each {
			if m.value == float64(n) {
				worst = max(worst, m.at.Sub(plugged))
				break
			}
		}
	}
	b.ReportMetric(worst.Seconds(), "s-worst")
	b.ReportMetric(0, "ns/op")
}

// A device that babbles at 921600 baud, and what a good one beside it notices.
func BenchmarkSerialBabble(b *testing.B) {
	dir := b.TempDir()
	babbler := serialDevice(b, filepath.Join(dir, "bad"))
	good := serialDevice(b, filepath.Join(dir, "good"))
	g := startSerialGateway(b,
		serialLine("bad", filepath.Join(dir, "bad"), 921600, "\n    parse: {kind: csv}\n    max_rate: 500\n    topic: \"babble/{field}\""),
		serialLine("good", filepath.Join(dir, "good"), 9600, numberedParse))
	a := g.arrivals(b, "plant/#")
	fmt.Fprint(good, "\r\n")
	before, started := g.status(), time.Now()
	babbled := make(chan int)
	go func() {
		babbled <- send(b, babbler, 921600, 10*time.Second, func(int) string { return "1\r\n" }, unwritten)
	}()
	var written []time.Time
	for n := range 300 {
		fmt.Fprint(good, numberedLine(n))
		written = append(written, time.Now())
		time.Sleep(30 * time.Millisecond)
	}
	lines := <-babbled
	took := a.latencies(written)
	after := g.status()
	bad := after.Adapters[0]
	cost := (after.Process.CPU - before.Process.CPU) / time.Since(started).Seconds()
	b.ReportMetric(float64(lines), "babbled")
	b.ReportMetric(float64(bad.Readings), "read")
	b.ReportMetric(float64(bad.Errors["rate"]), "dropped-rate")
	b.ReportMetric(100*cost, "%core")
	report(b, took)
}
