package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weir-edge/weir/core/packet"
)

// The bars of Modbus lines through the real binary, against devices in a process
// of their own on a line with the timing of a wire. They need a quiet machine:
//
//	go test -run '^$' -bench Modbus -benchtime 1x -timeout 30m ./cmd/weir

const modbusBarsConfig = `
data_dir: %%DATA%%
listeners: [{name: lan, address: "%%MQTT%%"}]
console: {address: "%%CONSOLE%%"}
storage: {reserve: 0}
adapters:
  - name: meters
    type: modbus
    url: %q
    every: %v
    payload: %s
    topic: "plant/{device}/{point}"
    devices:
%s`

// meterMap is the registers of a meter like Eastron's SDM630: 83 values of two
// registers each, in 16 runs with gaps.
var meterMap = [...][2]int{
	{0, 18}, {21, 1}, {23, 1}, {24, 4}, {28, 1}, {30, 1}, {31, 1}, {33, 1}, //
	{35, 6}, {42, 2}, {50, 1}, {52, 1}, {100, 4}, {112, 2}, {117, 13}, {167, 26},
}

// idealCycle is what the best plan for ten such meters takes on the wire, by
// dynamic programming over all ways to cut the map into requests: see
// TestPlanOfAMeter of adapters/modbus. The devices need 5 ms.
var idealCycle = map[int]time.Duration{
	9600: 5746 * time.Millisecond, 19200: 2973 * time.Millisecond, 38400: 1616 * time.Millisecond, 115200: 709 * time.Millisecond,
}

// meterDevices are n devices of that map; those of extra have something more.
func meterDevices(n int, extra string) string {
	var b strings.Builder
	for unit := 1; unit <= n; unit++ {
		fmt.Fprintf(&b, "      - {name: m%d, unit: %d, points: [", unit, unit)
		for _, run := range meterMap {
			for i := range run[1] {
				fmt.Fprintf(&b, "{name: p%d, register: \"input:%d\", type: float32}, ", run[0]+i, 2*(run[0]+i))
			}
		}
		fmt.Fprintf(&b, "%s]}\n", extra)
	}
	return b.String()
}

// simulate runs n devices on a pseudo-terminal and gives its URL. They stand for
// hardware, which doesn't wait for a processor, and so they come before other
// programs where that is allowed.
func simulate(b testing.TB, baud, n int, flags ...string) (url string) {
	b.Helper()
	link := filepath.Join(b.TempDir(), "bus")
	args := append([]string{"sim", "modbus", "--pty", link, "--baud", strconv.Itoa(baud), "--units", strconv.Itoa(n), "--latency", "5ms"}, flags...)
	sim := start(b, must(weirBinary()), args...)
	eventually(b, patience, "a simulated line", func() bool { return fileExists(link) })
	_, _ = run(b, "chrt", "--all-tasks", "--fifo", "--pid", "10", strconv.Itoa(sim.cmd.Process.Pid))
	b.Cleanup(func() {
		sim.stop()
		report := strings.TrimSpace(sim.out.String())
		b.Log(report)
		if !strings.Contains(report, " 0 before t3.5") {
			b.Error("requests came before t3.5 of silence")
		}
	})
	return fmt.Sprintf("rtu://%s?baud=%d", link, baud)
}

// cycle is the mean time between two documents of the same device, over so many
// after the first skip.
func (a *arrivals) cycle(topic string, skip, count int) time.Duration {
	a.b.Helper()
	var first time.Time
	for n := 0; ; {
		select {
		case m, open := <-a.each:
			if !open {
				a.b.Fatal("the subscriber was disconnected")
			}
			if m.topic != topic {
				continue
			}
			if n == skip {
				first = m.at
			}
			if n == skip+count {
				return m.at.Sub(first) / time.Duration(count)
			}
			n++
		case <-time.After(time.Minute):
			a.b.Fatal("nothing arrives")
		}
	}
}

// How much of the line's time is used: the best plan's time against the measured
// cycle. Bar: 97 % up to 38400 baud, 92 % at 115200.
func BenchmarkModbusEfficiency(b *testing.B) {
	for _, baud := range []int{9600, 19200, 38400, 115200} {
		b.Run(strconv.Itoa(baud), func(b *testing.B) {
			url := simulate(b, baud, 10)
			g := startGateway(b, fmt.Sprintf(modbusBarsConfig, url, time.Millisecond, "json-batch", meterDevices(10, "")))
			rounds := max(3, int(20*time.Second/idealCycle[baud]))
			cycle := g.arrivals(b, "plant/#").cycle("plant/m3", 2, rounds)
			b.ReportMetric(100*float64(idealCycle[baud])/float64(cycle), "%-of-ideal")
			b.ReportMetric(cycle.Seconds(), "s/cycle")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// The cycle of seven live devices with three dead ones beside them, a minute after
// the start, against theirs alone. Bar: 1.05.
func BenchmarkModbusDead(b *testing.B) {
	measure := func(b *testing.B, devices int, flags ...string) (cycle time.Duration) {
		b.Run(fmt.Sprint(devices, " devices"), func(b *testing.B) {
			url := simulate(b, 19200, 10, flags...)
			g := startGateway(b, fmt.Sprintf(modbusBarsConfig, url, time.Millisecond, "json-batch", meterDevices(devices, "")))
			a := g.arrivals(b, "plant/m1")
			until := time.Now().Add(time.Minute)
			for time.Now().Before(until) {
				<-a.each
			}
			cycle = a.cycle("plant/m1", 0, 28)
			b.ReportMetric(cycle.Seconds(), "s/cycle")
			b.ReportMetric(0, "ns/op")
		})
		return cycle
	}
	with, without := measure(b, 10, "--dead", "8,9,10"), measure(b, 7)
	b.ReportMetric(float64(with)/float64(without), "x-with-3-dead")
	b.ReportMetric(0, "ns/op")
}

// From a command's publication to the publication of its acknowledgement, on a
// line that is polled without a pause. Bar: the longest read and the write itself,
// each with the silence before it.
func BenchmarkModbusWrite(b *testing.B) {
	const baud, commands = 19200, 60
	char, quiet, think := 11*time.Second/baud, 11*time.Second/baud*7/2, 5*time.Millisecond
	longest := (13+2*125)*char + 2*quiet + think
	own := 16*char + 2*quiet + think
	url := simulate(b, baud, 10)
	g := startGateway(b, fmt.Sprintf(modbusBarsConfig, url, time.Millisecond, "json-batch", meterDevices(10, `{name: set, register: "holding:10", writable: true}`)))
	a := g.arrivals(b, "plant/+/set/ack")
	pub, err := dial(b.Context(), clientOptions{host: "127.0.0.1", port: g.port, version: "5"})
	if err != nil {
		b.Fatal(err)
	}
	defer pub.conn.Close()
	eventually(b, patience, "polling", func() bool { return g.status().Adapters[0].Readings > 0 })
	var took []time.Duration
	for n := range commands {
		time.Sleep(50*time.Millisecond + rand.N(200*time.Millisecond))
		sent := time.Now()
		topic := fmt.Sprintf("plant/m%d/set/set", 1+n%10)
		if err := pub.send(&packet.Publish{Topic: []byte(topic), Payload: strconv.AppendInt(nil, int64(n), 10)}); err != nil {
			b.Fatal(err)
		}
		m := <-a.each
		if !strings.Contains(m.body, `"ok":true`) {
			b.Fatalf("%s: %s", m.topic, m.body)
		}
		took = append(took, m.at.Sub(sent))
	}
	report(b, took)
	b.ReportMetric(float64((longest+own).Microseconds())/1000, "ms-bar")
}

// The processor time of the gateway for 100,000 points over TCP, from the device
// into the broker, as fast as they come and 50,000 a second. Bar: 0.10 s a document
// a device, 0.40 s a message a point; and less than a quarter of Telegraf's, where
// that is installed.
func BenchmarkModbusCost(b *testing.B) {
	for _, payload := range []string{"json-batch", "json"} {
		for _, every := range []time.Duration{time.Millisecond, 20 * time.Millisecond} {
			b.Run(fmt.Sprint(payload, " every ", every), func(b *testing.B) {
				port := tcpDevices(b)
				g := startGateway(b, fmt.Sprintf(modbusBarsConfig, fmt.Sprintf("tcp://127.0.0.1:%d", port), every, payload, hundredRegisters()))
				time.Sleep(2 * time.Second)
				before, begun := g.status(), time.Now()
				time.Sleep(12 * time.Second)
				after := g.status()
				points := float64(after.Adapters[0].Readings - before.Adapters[0].Readings)
				b.ReportMetric((after.Process.CPU-before.Process.CPU)*1e5/points, "cpu-s/100k-points")
				b.ReportMetric(points/time.Since(begun).Seconds(), "points/s")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
	b.Run("telegraf every 20ms", benchmarkTelegraf)
}

// tcpDevices are ten devices on TCP that answer at once.
func tcpDevices(b *testing.B) (port int) {
	port = freePort(b)
	start(b, must(weirBinary()), "sim", "modbus", "--listen", fmt.Sprintf("127.0.0.1:%d", port), "--units", "10", "--latency", "0s")
	eventually(b, patience, "a listening simulator", func() bool { return listening(port) })
	return port
}

// hundredRegisters are ten devices with a hundred registers each.
func hundredRegisters() string {
	var devices strings.Builder
	for unit := 1; unit <= 10; unit++ {
		fmt.Fprintf(&devices, "      - {name: m%d, unit: %d, points: [", unit, unit)
		for i := range 100 {
			fmt.Fprintf(&devices, "{name: p%d, register: \"holding:%d\", scale: 0.1, unit: V}, ", i, i)
		}
		devices.WriteString("]}\n")
	}
	return devices.String()
}

// benchmarkTelegraf is the same with Telegraf, a document a device, which it sends
// to a broker whose time isn't counted.
func benchmarkTelegraf(b *testing.B) {
	need(b, "telegraf", "mosquitto", "mosquitto_sub")
	port, broker := tcpDevices(b), startMosquitto(b)
	var c strings.Builder
	fmt.Fprintf(&c, "[agent]\n interval=\"20ms\"\n flush_interval=\"1s\"\n metric_batch_size=1000\n metric_buffer_limit=100000\n omit_hostname=true\n"+
		"[[outputs.mqtt]]\n servers=[\"tcp://127.0.0.1:%d\"]\n topic=\"plant/{{ .Tag \\\"slave_id\\\" }}\"\n data_format=\"json\"\n"+
		"[[inputs.modbus]]\n name=\"m\"\n controller=\"tcp://127.0.0.1:%d\"\n configuration_type=\"request\"\n", broker.port, port)
	for unit := 1; unit <= 10; unit++ {
		fmt.Fprintf(&c, " [[inputs.modbus.request]]\n  slave_id=%d\n  byte_order=\"ABCD\"\n  register=\"holding\"\n  fields=[\n", unit)
		for i := range 100 {
			fmt.Fprintf(&c, "   {address=%d, name=\"p%d\", type=\"UINT16\", scale=0.1},\n", i, i)
		}
		c.WriteString("  ]\n")
	}
	file := filepath.Join(b.TempDir(), "telegraf.conf")
	if err := os.WriteFile(file, []byte(c.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	tg := start(b, lookPeer("telegraf"), "--config", file)
	const span = 12 * time.Second
	time.Sleep(2 * time.Second)
	before := processorTime(b, tg.cmd.Process.Pid)
	counted, _ := run(b, "mosquitto_sub", "-p", strconv.Itoa(broker.port), "-t", "plant/#", "-F", "x", "-W", strconv.Itoa(int(span.Seconds())))
	used := processorTime(b, tg.cmd.Process.Pid) - before
	points := 100 * float64(strings.Count(counted, "x"))
	b.ReportMetric(used.Seconds()*1e5/points, "cpu-s/100k-points")
	b.ReportMetric(points/span.Seconds(), "points/s")
	b.ReportMetric(0, "ns/op")
}

// processorTime is what a process has used, in the clock of /proc: hundredths.
func processorTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text)[strings.LastIndexByte(string(text), ')'):])
	user, err1 := strconv.Atoi(fields[12])
	system, err2 := strconv.Atoi(fields[13])
	if err1 != nil || err2 != nil {
		b.Fatalf("%s", text)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// What a line at 19200 baud costs that is polled without a pause. Bar: 1 % of a
// core, beyond what the gateway needs when it does nothing.
func BenchmarkModbusSaturated(b *testing.B) {
	const span = 30 * time.Second
	cost := func(every time.Duration) (share, load float64) {
		url := simulate(b, 19200, 10)
		g := startGateway(b, fmt.Sprintf(modbusBarsConfig, url, every, "json-batch", meterDevices(10, "")))
		time.Sleep(12 * time.Second) // the window of the load
		before, begun := g.status(), time.Now()
		time.Sleep(span)
		after := g.status()
		g.stop()
		return (after.Process.CPU - before.Process.CPU) / time.Since(begun).Seconds(), after.Adapters[0].BusLoad
	}
	idle, _ := cost(24 * time.Hour)
	share, load := cost(time.Millisecond)
	b.ReportMetric(100*(share-idle), "%core")
	b.ReportMetric(100*idle, "%core-idle")
	b.ReportMetric(100*load, "%load")
	b.ReportMetric(0, "ns/op")
}
