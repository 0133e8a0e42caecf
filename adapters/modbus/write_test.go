package modbus

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/adapters/modbus/simulator"
	"github.com/weir-edge/weir/core"
)

// settable is a device with a point of each kind that can be set.
func settable() Device {
	low, high := 0.0, 100.0
	return Device{Name: "d", Unit: 1, Every: time.Minute, Points: []Point{
		{Name: "coil", Register: "coil:1", Writable: true},
		{Name: "word", Register: "holding:10", Type: "int16", Scale: 0.1, Min: &low, Max: &high, Writable: true},
		{Name: "long", Register: "holding:11", Type: "float32", Order: CDAB, Writable: true},
		{Name: "bit", Register: "holding:13.2", Writable: true},
		{Name: "text", Register: "holding:14", Type: "string(3)", Writable: true},
		{Name: "missing", Register: "holding:500", Writable: true},
		{Name: "readonly", Register: "holding:20"},
	}}
}

// everyCommand has no command superseded by a later one.
func everyCommand(d Device) Device {
	for i := range d.Points {
		d.Points[i].EveryCommand = d.Points[i].Writable
	}
	return d
}

func settableSlave() *simulator.Slave {
	s := simulator.New()
	s.Unit(1).Fill(simulator.Holdings, 0, 50)
	s.Unit(1).Fill(simulator.Coils, 0, 10)
	return s
}

func TestSetPoints(t *testing.T) {
	both(t, func(t *testing.T, url string) {
		s := settableSlave()
		u := s.Unit(1)
		u.Set(simulator.Holdings, 13, 0xF0F0)
		bubble(t, Config{URL: url, Devices: []Device{settable()}}, s, func(t *testing.T, a *Adapter, bus *recorder) {
			time.Sleep(time.Second)
			bus.take()
			for _, c := range []struct {
				point, payload, answer string
				table                  simulator.Table
				address                uint16
				want                   []uint16
			}{
				{"coil", "on", `{"ok":true}`, simulator.Coils, 1, []uint16{1}},
				{"coil", `{"value":false}`, `{"ok":true}`, simulator.Coils, 1, []uint16{0}},
				{"word", "21.5", `{"ok":true}`, simulator.Holdings, 10, []uint16{215}},
				{"word", "100.1", `{"ok":false,"error":"100.1 is above the maximum of 100"}`, simulator.Holdings, 10, []uint16{215}},
				{"word", "hot", `{"ok":false,"error":"hot is not a number"}`, simulator.Holdings, 10, []uint16{215}},
				{"long", "230.1", `{"ok":true}`, simulator.Holdings, 11, []uint16{0x199A, 0x4366}},
				{"bit", "true", `{"ok":true}`, simulator.Holdings, 13, []uint16{0xF0F4}},
				{"bit", "0", `{"ok":true}`, simulator.Holdings, 13, []uint16{0xF0F0}},
				{"text", "abc", `{"ok":true}`, simulator.Holdings, 14, []uint16{0x6162, 0x6300}},
				{"missing", "1", `{"ok":false,"error":"the device has no such register (exception 2)"}`, simulator.Holdings, 14, []uint16{0x6162}},
			} {
				bus.send(&core.Message{Topic: "p/d/" + c.point + "/set", Payload: []byte(c.payload)})
				time.Sleep(100 * time.Millisecond)
				messages := bus.take()
				if len(messages) == 0 || messages[0].Topic != "p/d/"+c.point+"/ack" || string(messages[0].Payload) != c.answer {
					t.Errorf("%s to %s is answered by %v", c.payload, c.point, messages)
				}
				for i, want := range c.want {
					if got := u.Get(c.table, c.address+uint16(i)); got != want {
						t.Errorf("%s to %s: register %d is %04x, want %04x", c.payload, c.point, int(c.address)+i, got, want)
					}
				}
				// what was set is read at once, not a minute later
				if _, read := latest(t, messages[1:])["p/d/"+c.point]; strings.Contains(c.answer, "true") && !read {
					t.Errorf("%s was not read again", c.point)
				}
			}
			if _, subscribed := bus.deliver["p/d/readonly/set"]; subscribed {
				t.Error("a point that is not writable takes commands")
			}
		})
	})
}

// A command waits for the transaction that is going on, and for no other.
func TestCommandGoesAheadOfReads(t *testing.T) {
	s := settableSlave()
	s.Unit(1).Behave(simulator.Behaviour{Latency: 200 * time.Millisecond})
	d := settable()
	d.Every = time.Millisecond
	gap := 0
	d.MaxGap = &gap
	bubble(t, Config{URL: "tcp://simulated:1", Devices: []Device{d}}, s, func(t *testing.T, a *Adapter, bus *recorder) {
		time.Sleep(10 * time.Second)
		for range 10 {
			time.Sleep(70 * time.Millisecond)
			bus.take()
			sent := time.Now()
			bus.send(&core.Message{Topic: "p/d/word/set", Payload: []byte("5")})
			for {
				time.Sleep(time.Millisecond)
				if n := count(bus.take()); n["p/d/word/ack"] == 1 {
					break
				}
			}
			if took := time.Since(sent); took > 405*time.Millisecond {
				t.Errorf("the command took %v", took)
			}
		}
	})
}

func TestCommandToDeadDevice(t *testing.T) {
	both(t, func(t *testing.T, url string) {
		s := settableSlave()
		bubble(t, Config{URL: url, Devices: []Device{everyCommand(settable())}}, s, func(t *testing.T, a *Adapter, bus *recorder) {
			time.Sleep(time.Second)
			s.Unit(1).Behave(simulator.Behaviour{Dead: true})
			bus.take()
			// The first fails by itself, the others wait until it is clear that the
			// device is down, and are refused without a request.
			for range 5 {
				bus.send(&core.Message{Topic: "p/d/word/set", Payload: []byte("5")})
			}
			start := time.Now()
			want := []string{`{"ok":false,"error":"no answer"}`, `{"ok":false,"error":"the device does not answer: no answer"}`}
			seen := make(map[string]bool)
			for n := 0; n < 5; {
				time.Sleep(100 * time.Millisecond)
				for _, m := range bus.take() {
					if strings.HasSuffix(m.Topic, "/ack") {
						n++
						seen[string(m.Payload)] = true
					}
				}
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("refusing took %v", took)
			}
			for _, w := range want {
				if !seen[w] {
					t.Errorf("no %s in %v", w, seen)
				}
			}
		})
	})
}

func TestCommandExpiresWhileItWaits(t *testing.T) {
	s := settableSlave()
	s.Unit(1).Behave(simulator.Behaviour{Latency: 500 * time.Millisecond})
	bubble(t, Config{URL: "tcp://simulated:1", Devices: []Device{settable()}}, s, func(t *testing.T, a *Adapter, bus *recorder) {
		time.Sleep(100 * time.Millisecond) // in the middle of a read
		bus.send(&core.Message{Topic: "p/d/word/set", Payload: []byte("5"), Received: a.trunk.clock.Now(), Expiry: 100 * time.Millisecond})
		time.Sleep(2 * time.Second)
		if got := s.Unit(1).Get(simulator.Holdings, 10); got != 0 {
			t.Errorf("register is %d", got)
		}
		for _, m := range bus.take() {
			if strings.HasSuffix(m.Topic, "/ack") && string(m.Payload) != `{"ok":false,"error":"the command has expired"}` {
				t.Errorf("answer is %s", m.Payload)
			}
		}
	})
}

func TestTooManyCommands(t *testing.T) {
	s := settableSlave()
	s.Unit(1).Behave(simulator.Behaviour{Latency: 900 * time.Millisecond})
	bubble(t, Config{URL: "tcp://simulated:1", Devices: []Device{everyCommand(settable())}}, s, func(t *testing.T, a *Adapter, bus *recorder) {
		time.Sleep(100 * time.Millisecond)
		for range maxCommands + 3 {
			bus.send(&core.Message{Topic: "p/d/coil/set", Payload: []byte("1")})
		}
		synctest.Wait()
		if diff := cmp.Diff(map[string]int{"p/d/coil/ack": 3}, count(bus.take())); diff != "" {
			t.Error(diff)
		}
	})
}

// At the end every command has an answer.
func TestStopAnswersCommands(t *testing.T) {
	s := settableSlave()
	s.Unit(1).Behave(simulator.Behaviour{Latency: 900 * time.Millisecond})
	bus := newRecorder()
	bubble(t, Config{URL: "tcp://simulated:1", Devices: []Device{settable()}}, s, func(t *testing.T, a *Adapter, b *recorder) {
		bus = b
		time.Sleep(100 * time.Millisecond)
		for range 3 {
			b.send(&core.Message{Topic: "p/d/coil/set", Payload: []byte("1")})
		}
	})
	if n := count(bus.take())["p/d/coil/ack"]; n != 3 {
		t.Errorf("%d answers to 3 commands", n)
	}
}

// acks gives the answers to the commands of one point.
func acks(messages []*core.Message, point string) (answers []string) {
	for _, m := range messages {
		if m.Topic == "p/d/"+point+"/ack" {
			answers = append(answers, string(m.Payload))
		}
	}
	return answers
}

// Of commands to one point that wait, the last is carried out.
func TestSupersededCommands(t *testing.T) {
	s := settableSlave()
	s.Unit(1).Behave(simulator.Behaviour{Latency: 500 * time.Millisecond})
	bubble(t, Config{URL: "tcp://simulated:1", Devices: []Device{settable()}}, s, func(t *testing.T, a *Adapter, bus *recorder) {
		time.Sleep(100 * time.Millisecond) // in the middle of a read
		written := 0
		s.Unit(1).OnWrite(func(simulator.Table, uint16, uint16) { written++ })
		for _, v := range []string{"1", "2", "3"} {
			bus.send(&core.Message{Topic: "p/d/word/set", Payload: []byte(v)})
		}
		time.Sleep(5 * time.Second)
		superseded := `{"ok":false,"error":"a later command to this point has taken its place"}`
		if diff := cmp.Diff([]string{superseded, superseded, `{"ok":true}`}, acks(bus.take(), "word")); diff != "" {
			t.Error(diff)
		}
		if got := s.Unit(1).Get(simulator.Holdings, 10); got != 30 || written != 1 {
			t.Errorf("register is %d after %d writes", got, written)
		}
	})
}

// How points are written: each way, with what the slave must see.
func TestWaysOfWriting(t *testing.T) {
	word := func(p Point) Point { p.Name, p.Writable = "p", true; return p }
	for name, c := range map[string]struct {
		device     Device
		point      Point
		noFunction byte
		keep       bool // the slave takes the write and forgets it
		payload    string
		answer     string
		functions  []byte // of the requests in order
	}{
		"6":                 {Device{}, word(Point{Register: "holding:1"}), 0, false, "5", "", []byte{6}},
		"16 for 6":          {Device{}, word(Point{Register: "holding:1"}), 6, false, "5", "", []byte{6, 16}},
		"15 for 5":          {Device{}, word(Point{Register: "coil:1"}), 5, false, "on", "", []byte{5, 15}},
		"multiple":          {Device{Write: WriteMultiple}, word(Point{Register: "holding:1"}), 0, false, "5", "", []byte{16}},
		"multiple coil":     {Device{Write: WriteMultiple}, word(Point{Register: "coil:1"}), 0, false, "on", "", []byte{15}},
		"23":                {Device{Write: WriteReadWrite}, word(Point{Register: "holding:1", Verify: true}), 0, false, "5", "", []byte{23}},
		"23, lost":          {Device{Write: WriteReadWrite}, word(Point{Register: "holding:1", Verify: true}), 0, true, "5", "written, but the device then holds 00 00 instead of 00 05", []byte{23}},
		"22":                {Device{}, word(Point{Register: "holding:1.3"}), 0, false, "on", "", []byte{22}},
		"22 is unknown":     {Device{}, word(Point{Register: "holding:1.3"}), 22, false, "on", "the device does not know this function (exception 1)", []byte{22}},
		"rewrite":           {Device{BitWrites: BitsRewrite}, word(Point{Register: "holding:1.3", Verify: true}), 0, false, "on", "", []byte{3, 6, 3}},
		"verify":            {Device{}, word(Point{Register: "holding:1", Verify: true}), 0, false, "5", "", []byte{6, 3}},
		"verify, lost":      {Device{}, word(Point{Register: "holding:1", Verify: true}), 0, true, "5", "written, but the device then holds 00 00 instead of 00 05", []byte{6, 3}},
		"verify long":       {Device{}, word(Point{Register: "holding:1", Type: "float32", Order: CDAB, Verify: true}), 0, false, "230.1", "", []byte{16, 3}},
		"verify coil":       {Device{}, word(Point{Register: "coil:1", Verify: true}), 0, false, "on", "", []byte{5, 1}},
		"verify coil, lost": {Device{}, word(Point{Register: "coil:1", Verify: true}), 0, true, "on", "written, but the device then holds 00 00 instead of 00 01", []byte{5, 1}},
		"enum":              {Device{}, word(Point{Register: "holding:1", Enum: map[int64]string{0: "off", 2: "auto"}}), 0, false, "auto", "", []byte{6}},
		"enum, unknown":     {Device{}, word(Point{Register: "holding:1", Enum: map[int64]string{0: "off", 2: "auto"}}), 0, false, "manual", "manual is none of the names of this point's values", nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := simulator.New()
			u := s.Unit(1)
			u.Fill(simulator.Holdings, 0, 10)
			u.Fill(simulator.Coils, 0, 10)
			u.Behave(simulator.Behaviour{NoFunction: c.noFunction})
			c.device.Name, c.device.Unit, c.device.Every, c.device.Points = "d", 1, time.Hour, []Point{c.point}
			bubble(t, Config{URL: "rtu+tcp://simulated:1", Devices: []Device{c.device}}, s, func(t *testing.T, a *Adapter, bus *recorder) {
				time.Sleep(time.Second)
				var seen []byte
				s.Faults(func(r simulator.Request) simulator.Fault { seen = append(seen, r.Function); return simulator.Fault{} })
				if c.keep {
					u.Forgets()
				}
				bus.send(&core.Message{Topic: "p/d/p/set", Payload: []byte(c.payload)})
				time.Sleep(time.Second)
				want := `{"ok":true}`
				if c.answer != "" {
					want = `{"ok":false,"error":"` + c.answer + `"}`
				}
				if diff := cmp.Diff([]string{want}, acks(bus.take(), "p")); diff != "" {
					t.Error(diff)
				}
				if len(seen) < len(c.functions) || string(seen[:len(c.functions)]) != string(c.functions) {
					t.Errorf("functions are %v, want %v first", seen, c.functions)
				}
			})
		})
	}
}
