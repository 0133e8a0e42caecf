package modbus

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/weir-edge/weir/adapters/modbus/simulator"
	"github.com/weir-edge/weir/adapters/serialport/pty"
)

// plug connects s to a new pseudo-terminal, which path then points to. unplug is
// pulling the plug.
func plug(t *testing.T, s *simulator.Slave, path string) (unplug func()) {
	t.Helper()
	master, slave, err := pty.New()
	if err != nil {
		t.Skip(err)
	}
	if err := os.Symlink(slave, path); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- s.ServeRTU(ctx, master, simulator.Wire{}) }()
	return func() {
		cancel()
		<-served
		os.Remove(path)
		master.Close()
	}
}

// A serial adapter that is pulled out and plugged in again: the readings say so, and
// values come back. (How fast is a figure of the whole gateway.)
func TestUnplugAndReplug(t *testing.T) {
	path := filepath.Join(t.TempDir(), "by-id")
	s := simulator.New()
	s.Unit(7).Set(simulator.Holdings, 0, 42)
	bus := newRecorder()
	a := newAdapter(t, Config{URL: "rtu://" + path + "?baud=115200", Devices: []Device{{Name: "d", Unit: 7, Every: 100 * time.Millisecond, Points: []Point{{Name: "p", Register: "holding:0"}}}}})
	unplug := plug(t, s, path)
	start(t, a, bus)
	good := func(m map[string]readingDoc) bool { return m["p/d/p"].Value == 42.0 }
	bus.await(t, "first value", good)
	for range 2 {
		unplug()
		bus.await(t, "word of the unplugging", func(m map[string]readingDoc) bool { return m["p/d/p"].Quality == "comm-error" })
		if st := a.Status(); st.State != "waiting" || st.Devices[0].Up {
			t.Errorf("status is %+v", st)
		}
		plugged := time.Now()
		unplug = plug(t, s, path)
		bus.take()
		bus.await(t, "value after plugging in", good)
		t.Logf("the first value came after %v", time.Since(plugged))
	}
	unplug()
}
