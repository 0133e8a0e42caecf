package modbus

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-edge/weir/adapters"
	"github.com/weir-edge/weir/adapters/modbus/simulator"
	"github.com/weir-edge/weir/adapters/serialport/pty"
	"github.com/weir-edge/weir/core"
)

// slaveEnv makes the test program a slave, so that the benchmark's own process
// holds nothing but the adapter.
const slaveEnv = "WEIR_TEST_SLAVE"

func TestMain(m *testing.M) {
	if os.Getenv(slaveEnv) != "" {
		serveBenchmark()
		return
	}
	goleak.VerifyTestMain(m)
}

// serveBenchmark is ten devices of 100 registers on a free port, which is printed.
func serveBenchmark() {
	s := simulator.New()
	for unit := range byte(10) {
		s.Unit(unit+1).Fill(simulator.Holdings, 0, 100)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(ln.Addr())
	_ = s.ServeTCP(context.Background(), ln)
}

// counter is a Bus that counts.
type counter struct {
	messages, bytes int
	enough          chan struct{} // closed at the wanted number of messages
	wanted          int
	then            chan struct{} // closed at the last, if set
	last            int
}

func (c *counter) Publish(m *core.Message) error {
	c.messages++
	c.bytes += len(m.Payload)
	if c.messages == c.wanted {
		close(c.enough)
	}
	if c.then != nil && c.messages == c.last {
		close(c.then)
	}
	return nil
}

func (c *counter) Subscribe(string, func(*core.Message)) (func(), error) { return func() {}, nil }

// BenchmarkTCP polls a thousand points as fast as they come, and tells the
// processor time of 100,000 of them.
func BenchmarkTCP(b *testing.B) {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), slaveEnv+"=1")
	out, err := child.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := child.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
	address := bufio.NewScanner(out)
	address.Scan()
	for _, format := range []adapters.Format{adapters.JSONBatch, adapters.JSON} {
		b.Run(string(format), func(b *testing.B) { benchmarkTCP(b, "tcp://"+address.Text(), format) })
	}
}

func benchmarkTCP(b *testing.B, url string, format adapters.Format) {
	c := Config{URL: url, Every: time.Millisecond, Output: adapters.Output{Adapter: "bench", Topic: "plant/{device}/{point}", Format: format}}
	for unit := range 10 {
		d := Device{Name: fmt.Sprint("m", unit), Unit: unit + 1}
		for i := range 100 {
			d.Points = append(d.Points, Point{Name: fmt.Sprint("p", i), Register: fmt.Sprint("holding:", i), Scale: 0.1, Unit: "V"})
		}
		c.Devices = append(c.Devices, d)
	}
	perRound := 10
	if format != adapters.JSONBatch {
		perRound = 1000
	}
	for b.Loop() {
		bus := &counter{enough: make(chan struct{}), wanted: 100 * perRound} // 100,000 points
		before := cpu()
		stop := start(b, newAdapter(b, c), bus)
		<-bus.enough
		b.ReportMetric(cpu()-before, "cpu-s/100k-points")
		b.ReportMetric(float64(bus.bytes)/float64(bus.messages), "B/message")
		stop()
	}
}

// cpu is the processor time of this process in seconds.
func cpu() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// BenchmarkWire polls ten meters with the gaps of a real one, that need 5 ms to
// answer, over a pseudo-terminal with the timing of a wire: the cycle measured
// against what the best plan takes on the wire.
func BenchmarkWire(b *testing.B) {
	for _, baud := range []int{9600, 19200, 38400, 115200} {
		b.Run(fmt.Sprint(baud), func(b *testing.B) { benchmarkWire(b, baud) })
	}
}

func benchmarkWire(b *testing.B, baud int) {
	s := simulator.New()
	master, path, err := pty.New()
	if err != nil {
		b.Skip(err)
	}
	wire := simulator.NewWire(baud)
	wire.Chunk = 16
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- s.ServeRTU(ctx, master, wire) }()
	defer func() { cancel(); <-served; master.Close() }()

	c := Config{URL: fmt.Sprintf("rtu://%s?baud=%d", path, baud), Every: time.Millisecond, Output: testOutput()}
	c.Output.Format = adapters.JSONBatch
	points := pointsOf(b, sdm())
	for unit := 1; unit <= 10; unit++ {
		s.Unit(byte(unit)).Fill(simulator.Inputs, 0, 400)
		s.Unit(byte(unit)).Behave(simulator.Behaviour{Latency: 5 * time.Millisecond})
		d := Device{Name: fmt.Sprint("m", unit), Unit: unit}
		for i, p := range points {
			d.Points = append(d.Points, Point{Name: fmt.Sprint(i), Register: fmt.Sprintf("input:%d", p.span.start), Type: "float32"})
		}
		c.Devices = append(c.Devices, d)
	}
	line := lineOf(b, c.URL)
	cost := line.cost(5 * time.Millisecond)
	ideal := 10 * cost.ofAll(plan(points, cost, standardLimits, nil))
	const rounds = 5 // the first two to get used to the line
	for b.Loop() {
		bus := &counter{enough: make(chan struct{}), wanted: 20, then: make(chan struct{}), last: 10 * rounds}
		a := newAdapter(b, c)
		stop := start(b, a, bus)
		<-bus.enough
		begun := time.Now()
		<-bus.then
		cycle := time.Since(begun) / (rounds - 2)
		b.ReportMetric(100*float64(ideal)/float64(cycle), "%-of-ideal")
		b.ReportMetric(cycle.Seconds(), "s/cycle")
		b.ReportMetric(float64(s.Stats().Violations), "violations")
		stop()
	}
}
