package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-edge/weir/adapters/serial/serialtest"
	"github.com/weir-edge/weir/adapters/serialport/pty"
	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
)

// The bars of serial lines through the real binary. Where other work on the machine
// would decide they are benchmarks, which print:
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
	b    testing.TB
	c    *client
	each chan arrival
}

type arrival struct {
	at    time.Time
	topic string
	value any
	body  string
}

func (g *testGateway) arrivals(b testing.TB, filter string) *arrivals {
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
	if _, err := c.receive(patience); err != nil {
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
		a.each <- arrival{at, string(m.Topic), r.Value, string(m.Payload)}
	}
}

// serialDevice is a simulated device behind a link that stays the same.
func serialDevice(b testing.TB, link string) *os.File {
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
func send(b testing.TB, device *os.File, baud int, d time.Duration, line func(n int) string, written func(n int, at time.Time)) (lines int) {
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

func startSerialGateway(b testing.TB, lines ...string) *testGateway {
	b.Helper()
	g := startGateway(b, fmt.Sprintf(serialBarsConfig, strings.Join(lines, "")))
	eventually(b, patience, "open lines", func() bool {
		for _, a := range g.status().Adapters {
			if a.State != "running" {
				return false
			}
		}
		return true
	})
	return g
}

// What a line at 115200 baud costs that is never silent. Most of it is to be woken:
// once for each sentence of a receiver, which none of the line's bytes may wait 5 ms
// for, and rarer for long telegrams.
func BenchmarkSerialCost(b *testing.B) {
	sentence := "$GPGGA,232712.000,4404.1237962,N,12118.8472460,W,1,05,5.1,1132.560,M,-20.300,M,,0000*58\r\n"
	telegram := string(serialtest.Recorded(b, "p1", "v5.txt"))
	const changes, document = "\n    on_change: true", "\n    payload: json-batch"
	for _, bb := range []struct{ name, text, rules string }{
		{"sentences/changes", sentence, "\n    parse: {kind: nmea}" + changes},
		{"sentences/documents", sentence, "\n    parse: {kind: nmea}" + document},
		{"sentences/messages", sentence, "\n    parse: {kind: nmea}"},
		{"telegrams/changes", telegram, "\n    parse: {kind: obis}" + changes},
		{"telegrams/documents", telegram, "\n    parse: {kind: obis}" + document},
	} {
		b.Run(bb.name, func(b *testing.B) {
			link := filepath.Join(b.TempDir(), "line")
			device := serialDevice(b, link)
			g := startSerialGateway(b, serialLine("line", link, 115200, bb.rules))
			const d = 10 * time.Second
			before, idle := g.status(), time.Now()
			time.Sleep(2 * time.Second)
			after := g.status()
			idleCost := (after.Process.CPU - before.Process.CPU) / time.Since(idle).Seconds()
			before, started := g.status(), time.Now()
			frames := send(b, device, 115200, d, func(int) string { return bb.text }, unwritten)
			after = g.status()
			cost := (after.Process.CPU-before.Process.CPU)/time.Since(started).Seconds() - idleCost
			readings := float64(after.Adapters[0].Readings-before.Adapters[0].Readings) / time.Since(started).Seconds()
			b.ReportMetric(100*cost, "%core")
			b.ReportMetric(100*idleCost, "%core-idle")
			b.ReportMetric(readings, "readings/s")
			b.ReportMetric(float64(frames)/time.Since(started).Seconds(), "frames/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// A line at 921600 baud: every reading arrives, in order. Five seconds of it; a
// minute with WEIR_FAULTS=long.
func TestSerialSustained(t *testing.T) {
	d := 5 * time.Second
	if os.Getenv("WEIR_FAULTS") == "long" {
		d = time.Minute
	}
	link := filepath.Join(t.TempDir(), "fast")
	device := serialDevice(t, link)
	g := startSerialGateway(t, serialLine("fast", link, 921600, numberedParse))
	a := g.arrivals(t, "plant/#")
	fmt.Fprint(device, "\r\n") // in step
	started := time.Now()
	sent := send(t, device, 921600, d, numberedLine, unwritten)
	rate := float64(64*sent) / time.Since(started).Seconds()
	a.inOrder(sent, g)
	s := g.status().Adapters[0]
	delete(s.Errors, "partial") // of the line that we joined
	if s.Readings != uint64(sent) || len(s.Errors) > 0 {
		t.Errorf("%d readings of %d, errors %v", s.Readings, sent, s.Errors)
	}
	t.Logf("%d readings, %.0f bytes/s for %v: none lost", sent, rate, d)
}

// inOrder waits for the numbered readings from 0 to n.
func (a *arrivals) inOrder(n int, g *testGateway) {
	a.b.Helper()
	for i := range n {
		select {
		case m := <-a.each:
			if m.value != float64(i) {
				a.b.Fatalf("reading %v; want %d", m.value, i)
			}
		case <-time.After(patience):
			a.b.Fatalf("%d of %d readings arrived; %+v", i, n, g.status().Adapters)
		}
	}
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
		case <-time.After(patience):
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

// From plugging in to the first reading at a subscriber: at most two seconds, also
// when the device was away so long that the back-off is at its longest. (That long is
// only a failure where times are measured.)
func TestSerialReplug(t *testing.T) {
	link := filepath.Join(t.TempDir(), "line")
	device := serialDevice(t, link)
	g := startSerialGateway(t, serialLine("line", link, 9600, numberedParse))
	a := g.arrivals(t, "plant/#")
	for n, away := range []time.Duration{0, 3 * time.Second} {
		device.Close()
		_ = os.Remove(link)
		eventually(t, patience, "unplugged", func() bool { return g.status().Adapters[0].State == "waiting" })
		time.Sleep(away)
		device = serialDevice(t, link)
		plugged := time.Now()
		fmt.Fprintf(device, "\r\n%s", numberedLine(n))
		for m := range a.each {
			if m.value != float64(n) {
				continue // that there is no value
			}
			if took := m.at.Sub(plugged); measured() && took > 2*time.Second {
				t.Errorf("away for %v: first reading %v after it was plugged in", away, took)
			} else {
				t.Logf("away for %v: first reading after %v", away, took)
			}
			break
		}
	}
}

// A device babbles at 921600 baud: it is cut off at its rate, what is beyond is
// counted, and the good one beside it loses nothing.
func TestSerialBabble(t *testing.T) {
	const rate, span = 100, 4 * time.Second
	dir := t.TempDir()
	babbler := serialDevice(t, filepath.Join(dir, "bad"))
	good := serialDevice(t, filepath.Join(dir, "good"))
	g := startSerialGateway(t,
		serialLine("bad", filepath.Join(dir, "bad"), 921600, fmt.Sprintf("\n    parse: {kind: csv}\n    max_rate: %d\n    topic: \"babble/{field}\"", rate)),
		serialLine("good", filepath.Join(dir, "good"), 9600, numberedParse))
	a := g.arrivals(t, "plant/#")
	fmt.Fprint(good, "\r\n")
	fmt.Fprint(babbler, "\n")
	started := time.Now()
	babbled := make(chan int, 1)
	go func() {
		babbled <- send(t, babbler, 921600, span, func(int) string { return "1\r\n" }, unwritten)
	}()
	var written []time.Time
	for n := range 100 {
		fmt.Fprint(good, numberedLine(n))
		written = append(written, time.Now())
		time.Sleep(30 * time.Millisecond) // the pace of a device
	}
	lines := <-babbled
	took := a.latencies(written)
	slices.Sort(took)
	var bad core.AdapterStatus
	eventually(t, patience, "all that was babbled is accounted for", func() bool {
		bad = g.status().Adapters[0]
		return bad.Readings+bad.Errors["rate"] == uint64(lines)
	})
	most := uint64(rate * (1 + time.Since(started).Seconds())) // a second's worth at once, then the rate
	if bad.Readings > most || bad.Readings < rate || bad.Errors["rate"] == 0 {
		t.Errorf("%d of %d babbled readings were read, %d dropped; want at most %d", bad.Readings, lines, bad.Errors["rate"], most)
	}
	s := g.status().Adapters[1]
	delete(s.Errors, "partial") // of the line that we joined
	if s.Readings != 100 || len(s.Errors) > 0 {
		t.Errorf("the good line: %d readings, errors %v", s.Readings, s.Errors)
	}
	t.Logf("%d babbled, %d read, %d dropped; the good line's latency: median %v, worst %v",
		lines, bad.Readings, bad.Errors["rate"], took[len(took)/2], took[len(took)-1])
}

// Who has the port is told by name, in the status too.
func TestSerialBusyPort(t *testing.T) {
	_, port := device(t)
	path, err := weirBinary()
	if err != nil {
		t.Fatal(err)
	}
	other := start(t, path, "serial", "monitor", port)
	// To ask is to try: not before the other has it.
	eventually(t, patience, "the other listens", func() bool { return strings.Contains(other.out.String(), "Ctrl-C ends") })
	eventually(t, patience, "the other has the port", func() bool {
		out, _ := weir(t, "serial", "monitor", port, "--for", "10ms")
		return strings.Contains(out, fmt.Sprintf("%s is in use by process %d (weir)", port, other.cmd.Process.Pid))
	})
	g := startGateway(t, fmt.Sprintf(serialBarsConfig, serialLine("line", port, 9600, numberedParse)))
	eventually(t, patience, "the status says who", func() bool {
		s := g.status().Adapters[0]
		return s.State == "waiting" && strings.Contains(s.Error, fmt.Sprintf("is in use by process %d (weir)", other.cmd.Process.Pid))
	})
	other.signal(syscall.SIGINT)
	eventually(t, patience, "the line is open", func() bool { return g.status().Adapters[0].State == "running" })
}
