package modbus

import (
	"testing"
	"time"

	"github.com/weir-edge/weir/adapters/modbus/simulator"
)

func TestPollTCP(t *testing.T) {
	s := simulator.New()
	u := s.Unit(1)
	u.Float32(simulator.Inputs, 0, func(time.Time) float32 { return 230.1 })
	u.Set(simulator.Holdings, 10, 42, 0x8000)
	u.Set(simulator.Coils, 3, 1, 0, 1)
	u.Set(simulator.Discretes, 1, 1)
	bus := newRecorder()
	a := newAdapter(t, Config{
		URL: serveTCP(t, s),
		Devices: []Device{{Name: "m1", Unit: 1, Points: []Point{
			{Name: "voltage", Register: "input:0", Type: "float32", Unit: "V"},
			{Name: "setpoint", Register: "holding:10", Type: "int16", Scale: 0.1, Writable: true},
			{Name: "flag", Register: "holding:11.15"},
			{Name: "relay", Register: "coil:5"},
			{Name: "alarm", Register: "10002"},
		}}},
	})
	start(t, a, bus)
	got := bus.await(t, "readings", func(m map[string]readingDoc) bool { return len(m) == 5 })
	for topic, want := range map[string]any{
		"p/m1/voltage": 230.1, "p/m1/setpoint": 4.2, "p/m1/flag": true, "p/m1/relay": true, "p/m1/alarm": true,
	} {
		if got[topic].Value != want || got[topic].Quality != "good" {
			t.Errorf("%s: got %+v, want %v", topic, got[topic], want)
		}
	}
	t.Logf("%+v", a.Status())
}
