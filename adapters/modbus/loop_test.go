package modbus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/adapters"
	"github.com/weir-edge/weir/adapters/modbus/simulator"
	"github.com/weir-edge/weir/core"
)

// bubble runs an adapter against a slave in fake time: first prepare, then the
// adapter is started, then check.
func bubble(t *testing.T, c Config, s *simulator.Slave, check func(t *testing.T, a *Adapter, bus *recorder)) {
	synctest.Test(t, func(t *testing.T) {
		if c.Output.Adapter == "" {
			c.Output = testOutput()
		}
		a, bus := newAdapter(t, c), newRecorder()
		dialPipe(t, a, s)
		stop := start(t, a, bus)
		check(t, a, bus)
		stop()
	})
}

// both is a test over both framings.
func both(t *testing.T, test func(t *testing.T, url string)) {
	for _, url := range []string{"rtu+tcp://simulated:1", "tcp://simulated:1"} {
		t.Run(url[:3], func(t *testing.T) { test(t, url) })
	}
}

// count counts the messages of each topic.
func count(messages []*core.Message) map[string]int {
	n := make(map[string]int)
	for _, m := range messages {
		n[m.Topic]++
	}
	return n
}

func TestPeriods(t *testing.T) {
	both(t, func(t *testing.T, url string) {
		s := simulator.New()
		s.Unit(1).Fill(simulator.Holdings, 0, 100)
		s.Unit(1).Behave(simulator.Behaviour{Latency: 10 * time.Millisecond})
		bubble(t, Config{URL: url, Devices: []Device{{Name: "d", Unit: 1, Points: []Point{
			{Name: "fast", Register: "holding:0", Every: 100 * time.Millisecond},
			{Name: "normal", Register: "holding:1"},
			{Name: "slow", Register: "holding:2", Every: 10 * time.Second},
		}}}}, s, func(t *testing.T, a *Adapter, bus *recorder) {
			time.Sleep(20*time.Second + 50*time.Millisecond)
			synctest.Wait()
			want := map[string]int{"p/d/fast": 201, "p/d/normal": 21, "p/d/slow": 3}
			if diff := cmp.Diff(want, count(bus.take())); diff != "" {
				t.Error(diff)
			}
			st := a.Status()
			if st.State != "running" || st.Readings != 225 || !st.Devices[0].Up || st.Devices[0].Requests != 225 {
				t.Errorf("status is %+v", st)
			}
			if st.BusLoad < 0.10 || st.BusLoad > 0.13 {
				t.Errorf("bus load is %v, want about 0.11", st.BusLoad)
			}
			if d := st.Devices[0]; d.P50 < 0.010 || d.P99 > 0.012 {
				t.Errorf("round trips are %v, %v", d.P50, d.P99)
			}
		})
	})
}

// One late round neither moves those after it nor is caught up.
func TestPhaseOutlastsDelay(t *testing.T) {
	s := simulator.New()
	s.Unit(1).Fill(simulator.Holdings, 0, 10)
	var slow atomic.Bool
	s.Faults(func(simulator.Request) (f simulator.Fault) {
		if slow.Load() {
			f.Delay = 700 * time.Millisecond
		}
		return f
	})
	bubble(t, Config{URL: "tcp://simulated:1", Devices: []Device{{Name: "d", Unit: 1, Every: time.Second, Points: []Point{
		{Name: "first", Register: "holding:0"},
		{Name: "second", Register: "holding:1", Phase: 500 * time.Millisecond},
	}}}}, s, func(t *testing.T, _ *Adapter, bus *recorder) {
		begun := time.Now()
		time.Sleep(1900 * time.Millisecond)
		slow.Store(true)
		time.Sleep(time.Second)
		slow.Store(false)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		at := make(map[string][]time.Duration)
		for _, m := range bus.take() {
			at[m.Topic] = append(at[m.Topic], decode(t, m).Time.Sub(begun).Round(50*time.Millisecond))
		}
		// one takes from 2 to 2.7 s, the other from there to 3.4 s
		ms := func(times ...time.Duration) []time.Duration {
			for i := range times {
				times[i] *= time.Millisecond
			}
			return times
		}
		want := map[string][]time.Duration{
			"p/d/first":  ms(0, 1000, 2350, 3400, 4000, 5000),
			"p/d/second": ms(500, 1500, 3050, 3500, 4500, 5500),
		}
		if diff := cmp.Diff(want, at); diff != "" {
			t.Error(diff)
		}
	})
}

// What was set is read at once; the rounds after that come when they would have.
func TestPhaseOutlastsCommand(t *testing.T) {
	s := simulator.New()
	s.Unit(1).Fill(simulator.Holdings, 0, 10)
	bubble(t, Config{URL: "tcp://simulated:1", Devices: []Device{{Name: "d", Unit: 1, Every: time.Second, Points: []Point{
		{Name: "p", Register: "holding:0", Writable: true},
	}}}}, s, func(t *testing.T, _ *Adapter, bus *recorder) {
		begun := time.Now()
		time.Sleep(1400 * time.Millisecond)
		bus.send(&core.Message{Topic: "p/d/p/set", Payload: []byte("7")})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		var at []time.Duration
		for _, m := range bus.take() {
			if m.Topic == "p/d/p" {
				at = append(at, decode(t, m).Time.Sub(begun).Round(50*time.Millisecond))
			}
		}
		want := []time.Duration{0, time.Second, 1400 * time.Millisecond, 2 * time.Second, 3 * time.Second}
		if diff := cmp.Diff(want, at); diff != "" {
			t.Error(diff)
		}
	})
}

// A point that is set while its group has nothing to read makes no busy loop.
func TestCommandToParkedPoint(t *testing.T) {
	s := simulator.New()
	s.Unit(1).Fill(simulator.Inputs, 0, 10) // no such holding register
	bubble(t, Config{URL: "tcp://simulated:1", Devices: []Device{{Name: "d", Unit: 1, Every: time.Second, Points: []Point{
		{Name: "p", Register: "holding:0", Writable: true},
		{Name: "q", Register: "input:0", Every: 2 * time.Second},
	}}}}, s, func(t *testing.T, a *Adapter, bus *recorder) {
		time.Sleep(5 * time.Second)
		s.Unit(1).Fill(simulator.Holdings, 0, 1)
		bus.send(&core.Message{Topic: "p/d/p/set", Payload: []byte("7")})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if n := a.Status().Devices[0].Requests; n > 12 {
			t.Errorf("%d requests", n)
		}
	})
}

// A line that can't do what is asked does what it can, evenly, and says so.
func TestOverload(t *testing.T) {
	s := simulator.New()
	s.Unit(1).Fill(simulator.Holdings, 0, 2000)
	s.Unit(1).Behave(simulator.Behaviour{Latency: 50 * time.Millisecond})
	var d Device
	for i := range 10 {
		d.Points = append(d.Points, Point{Name: fmt.Sprint("p", i), Register: fmt.Sprint("holding:", 200*i), Every: time.Duration(90+i) * time.Millisecond})
	}
	d.Name, d.Unit = "d", 1
	bubble(t, Config{URL: "tcp://simulated:1", Devices: []Device{d}}, s, func(t *testing.T, a *Adapter, bus *recorder) {
		time.Sleep(50 * time.Second)
		synctest.Wait()
		for topic, n := range count(bus.take()) {
			if n < 95 || n > 105 { // of 1000 transactions in all
				t.Errorf("%s was read %d times", topic, n)
			}
		}
		st := a.Status()
		if st.BusLoad < 0.99 || st.Errors["overrun"] < 1000 {
			t.Errorf("status is %+v", st)
		}
		// ten requests of 50 ms each 90 to 99 ms
		if st.Asked < 5.2 || st.Asked > 5.4 || st.Possible < 0.47 || st.Possible > 0.49 {
			t.Errorf("%.2f of the line is asked for, %.3f s possible", st.Asked, st.Possible)
		}
		s.Unit(1).Behave(simulator.Behaviour{Latency: 5 * time.Millisecond})
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if st := a.Status(); st.Asked > 0.6 || st.Possible != 0 {
			t.Errorf("with fast devices: %.2f of the line is asked for, %.3f s possible", st.Asked, st.Possible)
		}
	})
}

// The first complaint of users elsewhere: a dead device stalls the others.
func TestDeadDevicesDoNotSlowTheOthers(t *testing.T) {
	both(t, func(t *testing.T, url string) {
		s := simulator.New()
		var devices []Device
		for unit := 1; unit <= 10; unit++ {
			s.Unit(byte(unit)).Fill(simulator.Holdings, 0, 10)
			s.Unit(byte(unit)).Behave(simulator.Behaviour{Latency: 20 * time.Millisecond})
			devices = append(devices, Device{Name: fmt.Sprint("d", unit), Unit: unit, Every: time.Millisecond, Points: []Point{{Name: "p", Register: "holding:0"}}})
		}
		bubble(t, Config{URL: url, Devices: devices}, s, func(t *testing.T, a *Adapter, bus *recorder) {
			time.Sleep(time.Minute)
			healthy := count(bus.take())["p/d10/p"]
			for unit := byte(1); unit <= 3; unit++ {
				s.Unit(unit).Behave(simulator.Behaviour{Dead: true})
			}
			time.Sleep(time.Minute)
			first := count(bus.take())
			time.Sleep(time.Minute)
			second := count(bus.take())
			// Seven live ones alone would be read healthy × 10/7 times a minute.
			possible := float64(healthy) * 10 / 7
			t.Logf("reads a minute: %d with all alive; 3 of 10 dead: %d in the first minute, %d in the second, possible %.0f", healthy, first["p/d10/p"], second["p/d10/p"], possible)
			if got := float64(first["p/d10/p"]); got < 0.80*possible {
				t.Errorf("in the first minute %v of %.0f reads", got, possible)
			}
			if got := float64(second["p/d10/p"]); got < possible/1.05 {
				t.Errorf("in the second minute %v of %.0f reads", got, possible)
			}
			st := a.Status()
			for i, d := range st.Devices {
				if d.Up != (i >= 3) || !d.Up && d.Error == "" {
					t.Errorf("device is %+v", d)
				}
			}
			for unit := byte(1); unit <= 3; unit++ {
				s.Unit(unit).Behave(simulator.Behaviour{})
			}
			time.Sleep(2 * time.Minute)
			for _, d := range a.Status().Devices {
				if !d.Up {
					t.Errorf("%s did not come back: %+v", d.Name, d)
				}
			}
		})
	})
}

func TestDeadDeviceIsReported(t *testing.T) {
	both(t, func(t *testing.T, url string) {
		s := simulator.New()
		s.Unit(1).Fill(simulator.Holdings, 0, 300)
		bubble(t, Config{URL: url, Devices: []Device{{Name: "d", Unit: 1, Points: []Point{
			{Name: "a", Register: "holding:0", Every: time.Second},
			{Name: "b", Register: "holding:200", Every: time.Hour},
		}}}}, s, func(t *testing.T, a *Adapter, bus *recorder) {
			time.Sleep(1500 * time.Millisecond)
			s.Unit(1).Behave(simulator.Behaviour{Dead: true})
			bus.take()
			time.Sleep(10 * time.Second)
			got := latest(t, bus.take())
			for _, topic := range []string{"p/d/a", "p/d/b"} { // also the one that is read once an hour
				if d := got[topic]; d.Quality != "comm-error" || d.Error != "no answer" || d.Value != nil {
					t.Errorf("%s is %+v", topic, d)
				}
			}
			s.Unit(1).Behave(simulator.Behaviour{})
			time.Sleep(65 * time.Second)
			got = latest(t, bus.take())
			for _, topic := range []string{"p/d/a", "p/d/b"} {
				if d := got[topic]; d.Quality != "good" {
					t.Errorf("%s is %+v", topic, d)
				}
			}
		})
	})
}

// A lost frame costs a period at most, and no reading says so.
func TestLostFrame(t *testing.T) {
	both(t, func(t *testing.T, url string) {
		s := simulator.New()
		s.Unit(1).Fill(simulator.Holdings, 0, 10)
		n := 0
		s.Faults(func(simulator.Request) simulator.Fault { n++; return simulator.Fault{Drop: n == 5} })
		bubble(t, Config{URL: url, Timeout: 100 * time.Millisecond, Devices: []Device{{Name: "d", Unit: 1, Points: []Point{{Name: "p", Register: "holding:0"}}}}}, s,
			func(t *testing.T, a *Adapter, bus *recorder) {
				time.Sleep(10500 * time.Millisecond)
				messages := bus.take()
				if len(messages) != 11 {
					t.Errorf("%d readings in 10.5 s", len(messages))
				}
				for _, m := range messages {
					if d := decode(t, m); d.Quality != "good" {
						t.Errorf("reading is %+v", d)
					}
				}
				if st := a.Status(); st.Errors["timeout"] != 1 || !st.Devices[0].Up {
					t.Errorf("status is %+v", st)
				}
			})
	})
}

// A device that fails by itself is asked again each period, and nothing is parked.
func TestDeviceFailure(t *testing.T) {
	both(t, func(t *testing.T, url string) {
		s := simulator.New()
		s.Unit(1).Fill(simulator.Holdings, 0, 10)
		s.Unit(1).Behave(simulator.Behaviour{Exception: 4})
		bubble(t, Config{URL: url, Devices: []Device{{Name: "d", Unit: 1, Points: []Point{{Name: "p", Register: "holding:0"}}}}}, s,
			func(t *testing.T, a *Adapter, bus *recorder) {
				time.Sleep(2500 * time.Millisecond)
				messages := bus.take()
				if d := decode(t, messages[0]); len(messages) != 3 || d.Quality != "device-error" || d.Error != "the device reports a failure of its own (exception 4)" {
					t.Errorf("%d readings, the first %+v", len(messages), d)
				}
				s.Unit(1).Behave(simulator.Behaviour{})
				time.Sleep(time.Second)
				if d := decode(t, bus.take()[0]); d.Quality != "good" {
					t.Errorf("reading is %+v", d)
				}
				if st := a.Status(); st.Errors["exception-4"] != 3 {
					t.Errorf("status is %+v", st)
				}
			})
	})
}

// A gateway that says that its device doesn't answer is believed.
func TestGatewayException(t *testing.T) {
	s := simulator.New()
	s.Unit(1).Fill(simulator.Holdings, 0, 10)
	s.Unit(1).Behave(simulator.Behaviour{Exception: 11})
	bubble(t, Config{URL: "tcp://simulated:1", Devices: []Device{{Name: "d", Unit: 1, Points: []Point{{Name: "p", Register: "holding:0"}}}}}, s,
		func(t *testing.T, a *Adapter, bus *recorder) {
			time.Sleep(2 * time.Minute)
			st := a.Status()
			if d := st.Devices[0]; d.Up || d.Error != "the device behind the gateway does not answer (exception 11)" || d.Requests > 10 {
				t.Errorf("device is %+v", d)
			}
			if d := decode(t, bus.take()[0]); d.Quality != "comm-error" {
				t.Errorf("reading is %+v", d)
			}
		})
}

// While the line is down nothing is asked, everything says so, and it comes back
// by itself.
func TestLineDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := simulator.New()
		s.Unit(1).Fill(simulator.Holdings, 0, 10)
		a := newAdapter(t, Config{URL: "tcp://simulated:1", Devices: []Device{{Name: "d", Unit: 1, Points: []Point{{Name: "p", Register: "holding:0", Writable: true}}}}})
		bus := newRecorder()
		dialPipe(t, a, s)
		var dials atomic.Int64
		var up atomic.Bool
		working := a.trunk.open
		a.trunk.open = func(ctx context.Context) (link, error) {
			if dials.Add(1); !up.Load() {
				return nil, errors.New("no route to host")
			}
			return working(ctx)
		}
		stop := start(t, a, bus)
		time.Sleep(5 * time.Minute)
		st := a.Status()
		if st.State != "waiting" || st.Error != "no route to host" || st.Devices[0].Up {
			t.Errorf("status is %+v", st)
		}
		if n := dials.Load(); n < 10 || n > 20 {
			t.Errorf("%d attempts in five minutes", n)
		}
		if d := decode(t, bus.take()[0]); d.Quality != "comm-error" || d.Error != "no route to host" {
			t.Errorf("reading is %+v", d)
		}
		bus.send(&core.Message{Topic: "p/d/p/set", Payload: []byte("1")})
		synctest.Wait()
		if m := bus.take(); len(m) != 1 || string(m[0].Payload) != `{"ok":false,"error":"the line is down: no route to host"}` {
			t.Errorf("answer is %v", m)
		}
		up.Store(true)
		time.Sleep(31 * time.Second)
		if d := decode(t, bus.take()[0]); d.Quality != "good" || a.Status().State != "running" {
			t.Errorf("reading is %+v", d)
		}
		stop()
	})
}

// A host that closes idle connections is no error: it is dialled again and the
// request repeated.
func TestHostClosesIdleConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := simulator.New()
		s.Unit(1).Fill(simulator.Holdings, 0, 10)
		a := newAdapter(t, Config{URL: "tcp://simulated:1", Devices: []Device{{Name: "d", Unit: 1, Every: time.Minute, Points: []Point{{Name: "p", Register: "holding:0", Writable: true}}}}})
		bus := newRecorder()
		dialPipe(t, a, s)
		working := a.trunk.open
		var current link
		a.trunk.open = func(ctx context.Context) (link, error) {
			l, err := working(ctx)
			current = l
			return l, err
		}
		stop := start(t, a, bus)
		time.Sleep(30 * time.Second)
		for range 5 {
			synctest.Wait()
			current.(io.Closer).Close()
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		current.Close()
		bus.send(&core.Message{Topic: "p/d/p/set", Payload: []byte("7")})
		synctest.Wait()
		if got := s.Unit(1).Get(simulator.Holdings, 0); got != 7 {
			t.Errorf("register is %d", got)
		}
		for _, m := range bus.take() {
			if !strings.HasSuffix(m.Topic, "ack") && decode(t, m).Quality != "good" {
				t.Errorf("%s %s", m.Topic, m.Payload)
			}
		}
		if st := a.Status(); st.State != "running" || len(st.Errors) != 0 {
			t.Errorf("status is %+v", st)
		}
		stop()
	})
}

func TestDocumentOfADevice(t *testing.T) {
	s := simulator.New()
	u := s.Unit(1)
	u.Set(simulator.Holdings, 0, 1)
	u.Set(simulator.Inputs, 0, 2)
	u.Set(simulator.Coils, 0, 1)
	out := testOutput()
	out.Format = adapters.JSONBatch
	bubble(t, Config{URL: "tcp://simulated:1", Output: out, Devices: []Device{{Name: "d", Unit: 1, Points: []Point{
		{Name: "a", Register: "holding:0"}, {Name: "b", Register: "input:0"}, {Name: "c", Register: "coil:0"}, {Name: "x", Register: "input:5000"},
	}}}}, s, func(t *testing.T, a *Adapter, bus *recorder) {
		time.Sleep(1500 * time.Millisecond)
		messages := bus.take()
		if len(messages) != 2 || messages[0].Topic != "p/d" {
			t.Fatalf("%d messages", len(messages))
		}
		if got := string(messages[0].Payload); !strings.Contains(got, `"values":{"c":true,"a":1,"b":2,"x":null}`) || !strings.Contains(got, `"problems":{"x":{"quality":"device-error"`) {
			t.Errorf("document is %s", got)
		}
		if got := string(messages[1].Payload); !strings.Contains(got, `"quality":"good","values":{"c":true,"a":1,"b":2}`) {
			t.Errorf("document is %s", got)
		}
	})
}

// What the supervisor does after a failure: the same adapter runs again, as if
// for the first time, but its counters go on.
func TestRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := simulator.New()
		s.Unit(1).Fill(simulator.Holdings, 0, 1)
		a, bus := newAdapter(t, Config{URL: "tcp://simulated:1", Devices: []Device{{Name: "d", Unit: 1, Points: []Point{
			{Name: "p", Register: "holding:0"}, {Name: "later", Register: "holding:1"},
		}}}}), newRecorder()
		dialPipe(t, a, s)
		stop := start(t, a, bus)
		time.Sleep(1500 * time.Millisecond)
		stop()
		s.Unit(1).Fill(simulator.Holdings, 1, 1)
		bus.take()
		stop = start(t, a, bus)
		time.Sleep(500 * time.Millisecond)
		if got := latest(t, bus.take()); got["p/d/later"].Quality != "good" {
			t.Errorf("what was parked in the first run is %+v", got["p/d/later"])
		}
		if st := a.Status(); st.Readings != 3+2 || st.Devices[0].Error != "" {
			t.Errorf("status is %+v", st)
		}
		bus.mu.Lock()
		bus.refuse = core.ErrFull
		bus.mu.Unlock()
		time.Sleep(time.Second)
		stop()
		if st := a.Status(); st.Readings != 5 || st.Errors["lost"] != 2 {
			t.Errorf("status is %+v", st)
		}
	})
}

// A line that comes back: each device is asked at once, also where one of them is
// dead and has used up what probes may cost.
func TestDevicesAfterTheLine(t *testing.T) {
	s := simulator.New()
	s.Unit(1).Behave(simulator.Behaviour{Dead: true})
	s.Unit(2).Fill(simulator.Holdings, 0, 10)
	s.Unit(3).Fill(simulator.Holdings, 0, 10)
	c := Config{URL: "rtu+tcp://simulated:1"}
	for unit := 1; unit <= 3; unit++ {
		c.Devices = append(c.Devices, Device{Name: fmt.Sprint("d", unit), Unit: unit, Points: []Point{{Name: "p", Register: "holding:0"}}})
	}
	synctest.Test(t, func(t *testing.T) {
		a, bus := newAdapter(t, c), newRecorder()
		dialPipe(t, a, s)
		open := a.trunk.open
		var plugged atomic.Bool
		a.trunk.open = func(ctx context.Context) (link, error) {
			if !plugged.Load() {
				return nil, errors.New("not plugged in")
			}
			return open(ctx)
		}
		stop := start(t, a, bus)
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		plugged.Store(true)
		bus.take()
		time.Sleep(4 * time.Second)
		synctest.Wait()
		got := latest(t, bus.take())
		for _, topic := range []string{"p/d2/p", "p/d3/p"} {
			if got[topic].Quality != "good" {
				t.Errorf("%s is %+v", topic, got[topic])
			}
		}
		stop()
	})
}
