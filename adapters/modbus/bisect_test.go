package modbus

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-edge/weir/adapters/modbus/simulator"
)

// meter is a device with a hundred points in adjacent registers.
func meter() (d Device) {
	d = Device{Name: "d", Unit: 1}
	for i := range 100 {
		d.Points = append(d.Points, Point{Name: fmt.Sprint("p", i), Register: fmt.Sprint("holding:", i)})
	}
	return d
}

// An illegal register is found by bisection within the round, parked, and doesn't
// cost the others a period; when the device has it again, it is read again.
func TestIllegalRegisters(t *testing.T) {
	both(t, func(t *testing.T, url string) {
		s := simulator.New()
		s.Unit(1).Fill(simulator.Holdings, 0, 100)
		s.Unit(1).Remove(simulator.Holdings, 37, 1)
		s.Unit(1).Remove(simulator.Holdings, 90, 1)
		bubble(t, Config{URL: url, Devices: []Device{meter()}}, s, func(t *testing.T, a *Adapter, bus *recorder) {
			time.Sleep(10500 * time.Millisecond)
			synctest.Wait()
			messages := bus.take()
			for topic, n := range count(messages) {
				want := 11
				if topic == "p/d/p37" || topic == "p/d/p90" {
					want = 1
				}
				if n != want {
					t.Errorf("%s was reported %d times, want %d", topic, n, want)
				}
			}
			if d := latest(t, messages)["p/d/p37"]; d.Quality != "device-error" || d.Error != "the device has no such register (exception 2)" {
				t.Errorf("the illegal one is %+v", d)
			}
			// Two culprits cost 2 × log2(100) refusals and as many good halves; from
			// the second round on there are three requests.
			requests := s.Stats().Requests
			t.Logf("%d requests in 11 rounds", requests)
			if requests > 30+10*3 {
				t.Errorf("%d requests", requests)
			}
			if d := a.Status().Devices[0]; !d.Up || !strings.HasPrefix(d.Error, "2 of 100 points can't be read, the first is p37 (holding:37)") {
				t.Errorf("device is %+v", d)
			}
			s.Unit(1).Fill(simulator.Holdings, 0, 100)
			time.Sleep(2 * time.Minute)
			bus.take()
			time.Sleep(time.Second)
			if got := latest(t, bus.take()); len(got) != 100 || got["p/d/p37"].Quality != "good" {
				t.Errorf("%d points after the device was mended, p37 is %+v", len(got), got["p/d/p37"])
			}
			before := s.Stats().Requests
			time.Sleep(10 * time.Second)
			if n := s.Stats().Requests - before; n != 10 {
				t.Errorf("%d requests in 10 rounds at the end, want one a round", n)
			}
		})
	})
}

// What was learned, by what the device refuses.
func TestBisectionLearns(t *testing.T) {
	for name, c := range map[string]struct {
		points  string // as in pointsOf
		prepare func(u *simulator.Unit)
		want    string // the plan that is found
	}{
		"gap": {"h0+1 h10+1 h20+1", func(u *simulator.Unit) { u.Remove(simulator.Holdings, 15, 1) }, "holding 0-11, holding 20-21"},
		"gap that is ignored": {"h0+1 h10+1 h20+1", func(u *simulator.Unit) {
			u.Remove(simulator.Holdings, 15, 1)
			u.Behave(simulator.Behaviour{Ignores: true})
		}, "holding 0-11, holding 20-21"},
		"length":        {"h0+30 h30+30 h60+30", func(u *simulator.Unit) { u.Behave(simulator.Behaviour{MaxRegisters: 64}) }, "holding 0-60, holding 60-90"},
		"all registers": {"h0+1 h1+1 h2+1", func(u *simulator.Unit) { u.Remove(simulator.Holdings, 0, 50) }, ""},
		"no function":   {"h0+1 h50+1 i0+1", func(u *simulator.Unit) { u.Behave(simulator.Behaviour{NoFunction: 3}) }, "input 0-1"},
		"same register": {"h5+1 h5+1 h9+1", func(u *simulator.Unit) { u.Remove(simulator.Holdings, 5, 1) }, "holding 9-10"},
		"two values":    {"h0+2 h2+2 h4+2 h6+2", func(u *simulator.Unit) { u.Remove(simulator.Holdings, 3, 1) }, "holding 0-2, holding 4-8"},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, url string) {
				s := simulator.New()
				u := s.Unit(1)
				u.Fill(simulator.Holdings, 0, 100)
				u.Fill(simulator.Inputs, 0, 1)
				c.prepare(u)
				d := Device{Name: "d", Unit: 1}
				for i, p := range pointsOf(t, c.points) {
					kind := map[int]string{1: "uint16", 2: "uint32", 30: "string(60)"}[p.span.end-p.span.start]
					d.Points = append(d.Points, Point{Name: fmt.Sprint(i), Register: fmt.Sprintf("%s:%d", p.span.table, p.span.start), Type: kind})
				}
				// A second group, so that the device is known to be alive.
				d.Points = append(d.Points, Point{Name: "alive", Register: "holding:99", Every: 700 * time.Millisecond})
				bubble(t, Config{URL: url, Timeout: 50 * time.Millisecond, Devices: []Device{d}}, s, func(t *testing.T, a *Adapter, bus *recorder) {
					time.Sleep(30 * time.Second)
					synctest.Wait()
					g := a.devices[0].groups[0]
					if got := planText(g.blocks); got != c.want {
						t.Errorf("got  %s\nwant %s\nbarriers %v, limits %+v, note %s", got, c.want, a.devices[0].barriers, a.devices[0].limits, a.devices[0].note)
					}
				})
			})
		})
	}
}
