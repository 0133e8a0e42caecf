package modbus

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-edge/weir/adapters"
	"github.com/weir-edge/weir/adapters/modbus/simulator"
	"github.com/weir-edge/weir/core"
)

// sharing makes adapters of one line, with the unit n each as "p/NAME/p".
func sharing(t *testing.T, url string, names ...string) (all []*Adapter) {
	t.Helper()
	var lines Lines
	for i, name := range names {
		a, err := lines.New(Config{
			URL: url, Output: adapters.Output{Adapter: name, Topic: "p/{adapter}/{point}", QoS: 1},
			Devices: []Device{{Name: "d", Unit: i + 1, Every: 100 * time.Millisecond, Points: []Point{{Name: "p", Register: "holding:0", Writable: true}}}},
		}, core.NewClock(), slog.New(slog.NewTextHandler(t.Output(), nil)))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}

// Adapters on one line poll through one open line. Each may end and come back
// without the others missing a round, whoever of them drove.
func TestAdaptersShareALine(t *testing.T) {
	both(t, func(t *testing.T, url string) {
		synctest.Test(t, func(t *testing.T) {
			s := simulator.New()
			for unit := range byte(3) {
				s.Unit(unit+1).Set(simulator.Holdings, 0, uint16(unit))
			}
			all := sharing(t, url, "a", "b", "c")
			dialPipe(t, all[0], s)
			dial, opened := all[0].trunk.open, 0
			all[0].trunk.open = func(ctx context.Context) (link, error) { opened++; return dial(ctx) }
			bus := newRecorder()
			stops := []func(){start(t, all[0], bus), start(t, all[1], bus), start(t, all[2], bus)}
			expect := func(running ...bool) {
				t.Helper()
				bus.take()
				time.Sleep(time.Second)
				n := count(bus.take())
				for i, name := range []string{"a", "b", "c"} {
					if got := n["p/"+name+"/p"]; running[i] != (got >= 9) || !running[i] && got > 0 {
						t.Errorf("%d readings of %s in a second", got, name)
					}
				}
			}
			time.Sleep(time.Second)
			expect(true, true, true)
			if opened != 1 {
				t.Errorf("the line was opened %d times", opened)
			}
			for i := range stops { // one of them is the driver
				stops[i]()
				running := []bool{true, true, true}
				running[i] = false
				expect(running...)
				if st := all[i].Status(); st.Name == "" {
					t.Errorf("status is %+v", st)
				}
				stops[i] = start(t, all[i], bus)
				expect(true, true, true)
			}
			bus.send(&core.Message{Topic: "p/b/p/set", Payload: []byte("77")})
			time.Sleep(time.Second)
			if got := s.Unit(2).Get(simulator.Holdings, 0); got != 77 || s.Unit(1).Get(simulator.Holdings, 0) != 0 {
				t.Errorf("the command to b set %d", got)
			}
			for _, stop := range stops {
				stop()
			}
		})
	})
}

func TestLinesRefuseOtherSettings(t *testing.T) {
	var lines Lines
	c := Config{URL: "rtu:///dev/ttyX?baud=9600", Output: testOutput(), Devices: []Device{{Name: "d", Unit: 1, Points: []Point{{Name: "p", Register: "holding:0"}}}}}
	if _, err := lines.New(c, core.NewClock(), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	c.URL = "rtu:///dev/ttyX?baud=19200"
	if _, err := lines.New(c, core.NewClock(), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("one line has two rates")
	}
}
