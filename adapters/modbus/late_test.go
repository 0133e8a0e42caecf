package modbus

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-edge/weir/adapters/modbus/simulator"
)

// identified makes a unit whose registers say who and where they are, so that a
// value under a wrong name is seen at once. A point of two registers has its
// unit, address and table in it.
func identified(s *simulator.Slave, unit byte, registers int) {
	u := s.Unit(unit)
	for _, t := range []simulator.Table{simulator.Holdings, simulator.Inputs} {
		for a := range uint16(registers) {
			value := uint16(unit)<<12 | uint16(t)<<10 | a
			u.Set(t, a, value)
		}
	}
}

// identity is the value that a point of two registers must have.
func identity(unit int, t simulator.Table, address int) float64 {
	var b [4]byte
	binary.BigEndian.PutUint16(b[:], uint16(unit)<<12|uint16(t)<<10|uint16(address))
	binary.BigEndian.PutUint16(b[2:], uint16(unit)<<12|uint16(t)<<10|uint16(address+1))
	return float64(binary.BigEndian.Uint32(b[:]))
}

// lateConfig has three units with points in both tables, in requests of equal
// length: where an answer can be mistaken for another, it will be.
func lateConfig(scheme string) (Config, map[string]float64) {
	c := Config{URL: scheme, Timeout: 100 * time.Millisecond, Output: testOutput()}
	want := make(map[string]float64)
	gap := 0
	for unit := 1; unit <= 3; unit++ {
		d := Device{Name: fmt.Sprint("u", unit), Unit: unit, MaxGap: &gap, Every: 20 * time.Millisecond}
		for i, table := range []string{"holding", "input"} {
			for address := 0; address < 40; address += 4 {
				name := fmt.Sprintf("%s%d", table, address)
				d.Points = append(d.Points, Point{Name: name, Register: fmt.Sprintf("%s:%d", table, address), Type: "uint32"})
				want["p/"+d.Name+"/"+name] = identity(unit, simulator.Holdings+simulator.Table(i), address)
			}
		}
		c.Devices = append(c.Devices, d)
	}
	return c, want
}

// chaos is a source of faults: delays of up to several time-outs, losses, noise,
// turned bits.
type chaos struct {
	mu      sync.Mutex
	rand    *rand.Rand
	percent int
}

func newChaos(seed uint64, percent int) *chaos {
	return &chaos{rand: rand.New(rand.NewPCG(seed, 1)), percent: percent}
}

// maxFlips is beyond what the checksum of a frame finds for certain, which is three
// wrong bits, and any odd number.
const maxFlips = 8

func (c *chaos) fault(simulator.Request) (f simulator.Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rand.IntN(100) >= c.percent {
		return f
	}
	switch c.rand.IntN(6) {
	case 0:
		f.Drop = true
	case 1:
		f.Flip = 1 + c.rand.IntN(maxFlips)
	case 2:
		f.Cut = 1 + c.rand.IntN(6)
	case 3:
		f.Noise = make([]byte, 1+c.rand.IntN(20))
		for i := range f.Noise {
			f.Noise[i] = byte(c.rand.Uint32())
		}
	default:
		f.Delay = time.Duration(c.rand.IntN(500)) * time.Millisecond
	}
	return f
}

// masks are values that were sent in the place of others with a checksum that fits.
type masks struct {
	mu     sync.Mutex
	values map[float64]bool // by what they would be taken for
}

// put is told of an answer.
func (m *masks) put(_ byte, pdu []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(pdu) == 6 { // two registers, which is what all points have
		m.values[float64(binary.BigEndian.Uint32(pdu[2:]))] = true
	}
}

func (m *masks) has(value any) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	x, ok := value.(float64)
	return ok && m.values[x]
}

// tally is what came through a faulty line.
type tally struct {
	readings int
	masked   int // of them, those that nobody can tell from good ones
	requests uint64
}

func (t *tally) add(other tally) {
	t.readings += other.readings
	t.masked += other.masked
	t.requests += other.requests
}

// testNoWrongValue polls a faulty line for a while, and checks that no value of
// one register appears under the name of another, and none that was not sent.
func testNoWrongValue(t *testing.T, scheme string, fault func(simulator.Request) simulator.Fault, period time.Duration) (n tally) {
	synctest.Test(t, func(t *testing.T) {
		s := simulator.New()
		for unit := byte(1); unit <= 3; unit++ {
			identified(s, unit, 50)
		}
		s.Faults(fault)
		masked := &masks{values: make(map[float64]bool)}
		s.Undetected(masked.put)
		c, want := lateConfig(scheme)
		a, bus := newAdapter(t, c), newRecorder()
		dialPipe(t, a, s)
		stop := start(t, a, bus)
		for range 20 {
			time.Sleep(period / 20)
			for _, m := range bus.take() {
				d := decode(t, m)
				if d.Value == nil {
					continue
				}
				n.readings++
				switch {
				case d.Value == want[m.Topic]:
				case masked.has(d.Value):
					n.masked++
				default:
					t.Errorf("%s is %v (%x), and should be %v", m.Topic, d.Value, int64(d.Value.(float64)), want[m.Topic])
				}
			}
		}
		stop()
		n.requests = s.Stats().Requests
	})
	return n
}

func (t tally) log(tb testing.TB) {
	tb.Logf("%d requests, %d values, none of them wrong but %d with wrong bits and a checksum that fits", t.requests, t.readings, t.masked)
}

// faultySchemes have each framing once.
var faultySchemes = []string{"rtu+tcp://simulated:1", "ascii+tcp://simulated:1", "tcp://simulated:1"}

// The first promise of this package: no value of one register ever appears under
// another's name, whatever the line does. The others come through: a fault costs
// its own request and at most one more.
//
// How many requests there are in a while is chance, also with the same faults: when a
// device that fell silent is asked again is drawn (health.failed). So they are counted.
func TestNoWrongValue(t *testing.T) {
	const enough = 2500 // requests, for 1,000 values on the worst line
	for _, scheme := range faultySchemes {
		for _, percent := range []int{2, 10, 30} {
			t.Run(fmt.Sprintf("%s/%d%%", scheme[:strings.Index(scheme, ":")], percent), func(t *testing.T) {
				var n tally
				faults := newChaos(uint64(percent), percent).fault
				for i := 0; i < 10 && n.requests < enough && !t.Failed(); i++ {
					n.add(testNoWrongValue(t, scheme, faults, 2*time.Minute))
				}
				n.log(t)
				if n.requests < enough {
					t.Errorf("only %d requests were made", n.requests)
				}
				if least := n.requests * uint64(100-2*percent) / 100; uint64(n.readings) < least {
					t.Errorf("%d values came through, and should be %d", n.readings, least)
				}
			})
		}
	}
}

// TestFaultyTransactions: the same for 20,000 transactions on lines of every kind of
// badness, and for a million with WEIR_FAULTS=long, which takes some minutes.
func TestFaultyTransactions(t *testing.T) {
	wanted := uint64(20_000)
	if os.Getenv("WEIR_FAULTS") == "long" {
		wanted = 1_000_000
	}
	for _, scheme := range faultySchemes {
		t.Run(scheme[:strings.Index(scheme, ":")], func(t *testing.T) {
			t.Parallel()
			var all tally
			for seed := uint64(0); all.requests < wanted/uint64(len(faultySchemes)); seed++ {
				percent := []int{1, 5, 20, 50}[seed%4]
				all.add(testNoWrongValue(t, scheme, newChaos(seed, percent).fault, 30*time.Second))
				if t.Failed() {
					t.Fatalf("seed %d, %d %%", seed, percent)
				}
			}
			all.log(t)
		})
	}
}

func TestNoWrongValueProperty(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		seed, percent := rapid.Uint64().Draw(r, "seed"), rapid.IntRange(1, 80).Draw(r, "percent")
		testNoWrongValue(t, "rtu+tcp://simulated:1", newChaos(seed, percent).fault, 5*time.Second)
	})
}
