package storage_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/storage"
	"github.com/weir-edge/weir/storage/storagetest"
)

const uplink core.ReceiverID = 7

// telemetry is a reading of about 200 bytes.
func telemetry(i int, clock *core.Clock) *core.Message {
	return &core.Message{
		Topic: fmt.Sprintf("plant/line%d/meter%d/voltage", i%4, i%40),
		Payload: fmt.Appendf(nil,
			`{"ts":"2026-11-22T10:%02d:%02d.%03dZ","value":%d.%d,"quality":"good","unit":"V","serial":"WE-%08d","phase":"L%d","site":"north-7","tariff":"peak","seq":%d}`,
			i/60000%60, i/1000%60, i%1000, 220+i%17, i*7919%1000, i%40, i%3+1, i),
		QoS: 1, Publisher: "adapter:meters", Received: clock.Now(),
	}
}

// pump appends n messages with so many of them unsettled at a time.
func pump(o *storagetest.Owner, n, inflight int) {
	clock := core.NewClock()
	open := 0
	for i := 0; i < n || open > 0; {
		for i < n && open < inflight {
			o.Append(telemetry(i, clock), 0, core.Debt{Receiver: uplink})
			i, open = i+1, open+1
		}
		o.Until("a commit", func() bool { return len(o.Settled) > 0 })
		open -= len(o.Settled)
		clear(o.Settled)
	}
}

func BenchmarkDurable(b *testing.B) {
	for _, inflight := range []int{1, 20, 200, 1000} {
		b.Run(fmt.Sprintf("inflight=%d", inflight), func(b *testing.B) {
			o := storagetest.NewOwner(b, open(b, storage.Config{Dir: b.TempDir()}))
			o.Store.Record(core.RuleSaved{Name: "uplink", Receiver: uplink}, false)
			b.ResetTimer()
			pump(o, b.N, inflight)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "acks/s")
			b.ReportMetric(float64(o.Store.Status().WrittenBytes)/float64(b.N), "pageB/msg")
		})
	}
}

// BenchmarkPassThrough is a message that its receiver acknowledges at once.
func BenchmarkPassThrough(b *testing.B) {
	o := storagetest.NewOwner(b, open(b, storage.Config{Dir: b.TempDir()}))
	debts := []core.Debt{{Receiver: uplink, Live: true}}
	m := telemetry(1, core.NewClock())
	b.ReportAllocs()
	for b.Loop() {
		seq, _, err := o.Store.Append(m, debts, time.Second)
		if err != nil || !o.Store.Paid(uplink, seq) {
			b.Fatal("not settled", err)
		}
	}
}

// BenchmarkWear counts what the block device gets for a message.
func BenchmarkWear(b *testing.B) {
	for _, group := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("group=%d", group), func(b *testing.B) {
			o := storagetest.NewOwner(b, open(b, storage.Config{Dir: b.TempDir()}))
			n := 0
			before := written()
			for b.Loop() {
				pump(o, group, group)
				n += group
			}
			unix.Sync()
			b.ReportMetric(float64(written()-before)/float64(n), "deviceB/msg")
		})
	}
}

// written is what this process has caused to be written to block devices.
func written() int64 { return procNumber("/proc/self/io", "write_bytes:") }

func procNumber(file, field string) int64 {
	b, _ := os.ReadFile(file)
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n
		}
	}
	return 0
}

// BenchmarkMillion runs the life of a million queued messages in processes of
// its own: fill, kill, open again, drain.
func BenchmarkMillion(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		for _, phase := range []string{"empty", "fill", "drain"} {
			cmd := exec.Command(os.Args[0], "-test.run=^TestMillionChild$", "-test.v")
			cmd.Env = append(os.Environ(), "WEIR_MILLION="+phase, "WEIR_MILLION_DIR="+dir, "GOGC=50")
			out, err := cmd.CombinedOutput()
			if err != nil && !bytes.Contains(out, []byte("KILL")) {
				b.Fatalf("%s: %v\n%s", phase, err, out)
			}
			for line := range strings.Lines(string(out)) {
				if f := strings.Fields(line); len(f) == 3 && f[0] == "METRIC" {
					v, _ := strconv.ParseFloat(f[2], 64)
					b.ReportMetric(v, f[1])
				}
			}
		}
	}
}

func TestMillionChild(t *testing.T) {
	phase := os.Getenv("WEIR_MILLION")
	if phase == "" {
		t.Skip("only as a child of BenchmarkMillion")
	}
	dir := os.Getenv("WEIR_MILLION_DIR")
	metric := func(name string, v float64) { fmt.Printf("METRIC %s %.3f\n", name, v) }
	memory := func(when string) {
		debug.FreeOSMemory()
		metric(when+"-rss-MB", float64(procNumber("/proc/self/status", "VmRSS:"))/1024)
		metric(when+"-anon-MB", float64(procNumber("/proc/self/status", "RssAnon:"))/1024)
		metric(when+"-peak-MB", float64(procNumber("/proc/self/status", "VmHWM:"))/1024)
	}
	start := time.Now()
	o := storagetest.NewOwner(t, open(t, storage.Config{Dir: dir}))
	metric(phase+"-open-ms", float64(time.Since(start).Microseconds())/1000)
	const n = 1_000_000
	switch phase {
	case "empty":
		o.Store.Record(core.RuleSaved{Name: "uplink", Receiver: uplink}, false)
		memory("idle")
	case "fill":
		cpu := cpuTime()
		start := time.Now()
		pump(o, n, 1000)
		metric("fill-s", time.Since(start).Seconds())
		metric("fill-cpu-s", (cpuTime() - cpu).Seconds())
		memory("filled")
		fmt.Println("KILL")
		os.Stdout.Sync()
		unix.Kill(os.Getpid(), unix.SIGKILL)
		select {}
	case "drain":
		if owed := o.Store.Owed(uplink); owed != n {
			t.Fatalf("owed %d", owed)
		}
		memory("reopened")
		cpu := cpuTime()
		start := time.Now()
		drained := 0
		for done := false; !done; {
			var next []core.Delivery
			next, done = o.Fetch(uplink, 64)
			for _, d := range next {
				o.Store.Paid(uplink, d.Seq)
			}
			drained += len(next)
		}
		metric("drain-s", time.Since(start).Seconds())
		metric("drain-cpu-s", (cpuTime() - cpu).Seconds())
		memory("drained")
		if drained != n {
			t.Fatalf("drained %d", drained)
		}
	}
}

func cpuTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
