package modbus

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/weir-edge/weir/adapters"
	"github.com/weir-edge/weir/adapters/serialport"
)

func TestParseRegister(t *testing.T) {
	for text, want := range map[string]register{
		"input:0":       {inputs, 0, noBit},
		"holding:65535": {holdings, 65535, noBit},
		"holding:0x10":  {holdings, 16, noBit},
		"holding:10.3":  {holdings, 10, 3},
		"input:1.15":    {inputs, 1, 15},
		"coil:3":        {coils, 3, noBit},
		"discrete:1":    {discretes, 1, noBit},
		"40001":         {holdings, 0, noBit},
		"49999":         {holdings, 9998, noBit},
		"40011.7":       {holdings, 10, 7},
		"30001":         {inputs, 0, noBit},
		"10001":         {discretes, 0, noBit},
		"00001":         {coils, 0, noBit},
		"465536":        {holdings, 65535, noBit},
		"000010":        {coils, 9, noBit},
	} {
		got, err := parseRegister(text)
		if err != nil || got != want {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
		if again, err := parseRegister(got.String()); err != nil || again != got {
			t.Errorf("%q is written as %q, which is %v, %v", text, got, again, err)
		}
	}
	for _, text := range []string{
		"", "holding", "holding:", "holding:65536", "holding:-1", "register:1", "4001", "4000001", "40000", "20001", "465537",
		"holding:1.16", "holding:1.", "coil:1.0", "00001.1", "holding:1.2.3", "HOLDING:1", "4+001",
	} {
		if got, err := parseRegister(text); err == nil {
			t.Errorf("%q is %v, want an error", text, got)
		}
	}
}

func FuzzParseRegister(f *testing.F) {
	for _, s := range []string{"input:0", "holding:0x1F.3", "40001", "000010.9", "coil:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parseRegister(s)
		if err != nil {
			return
		}
		if again, err := parseRegister(r.String()); err != nil || again != r {
			t.Errorf("%q is %v, which is read as %v, %v", s, r, again, err)
		}
	})
}

func TestParseURL(t *testing.T) {
	standard := serialport.Config{Device: "/dev/ttyUSB0", Baud: 19200, Parity: "E"}
	custom := serialport.Config{Device: "/dev/serial/by-id/usb-X", Baud: 9600, Parity: "N", DataBits: 8, StopBits: "2"}
	for text, want := range map[string]Line{
		"rtu:///dev/ttyUSB0": {Scheme: "rtu", Port: standard},
		"rtu:///dev/serial/by-id/usb-X?baud=9600&parity=N&stop=2&data=8": {Scheme: "rtu", Port: custom},
		"tcp://10.0.0.5":               {Scheme: "tcp", Address: "10.0.0.5:502"},
		"tcp://plc.local:1502":         {Scheme: "tcp", Address: "plc.local:1502"},
		"tls://plc":                    {Scheme: "tls", Address: "plc:802"},
		"ascii+tcp://server:1":         {Scheme: "ascii+tcp", Address: "server:1"},
		"ascii:///dev/ttyUSB0":         {Scheme: "ascii", Port: serialport.Config{Device: "/dev/ttyUSB0", Baud: 19200, Parity: "E", DataBits: 7}},
		"rtu:///dev/ttyUSB0?rs485=rts": {Scheme: "rtu", Port: serialport.Config{Device: "/dev/ttyUSB0", Baud: 19200, Parity: "E", RS485: serialport.RS485{Mode: "rts"}}},
		"tcp://[::1]:502/":             {Scheme: "tcp", Address: "[::1]:502"},
		"rtu+tcp://server:4001":        {Scheme: "rtu+tcp", Address: "server:4001"},
	} {
		got, err := ParseURL(text)
		if !reflect.DeepEqual(got, want) || err != nil {
			t.Errorf("%q is %+v, %v; want %+v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                                 "must start with",
		"/dev/ttyUSB0":                     "must start with",
		"udp://host:502":                   "udp is not supported",
		"ascii://host:1":                   "three slashes",
		"ascii+tcp://host":                 "must name host and port",
		"rtu:///dev/ttyUSB0?rs485=maybe":   "maybe",
		"http://host":                      "http is unknown",
		"tcp://":                           "must name host and port",
		"tcp://:502":                       "must name host and port",
		"tcp://host:0":                     "the port 0",
		"tcp://host:99999":                 "the port 99999",
		"tcp://host:502/unit":              "nothing behind",
		"tcp://host:502?unit=1":            "nothing behind",
		"rtu+tcp://host":                   "must name host and port",
		"rtu://dev/ttyUSB0":                "three slashes",
		"rtu://":                           "three slashes",
		"rtu:///dev/ttyUSB0?speed=9600":    `"speed" is unknown; there are baud, data, parity, stop`,
		"rtu:///dev/ttyUSB0?baud=fast":     "must be a number",
		"rtu:///dev/ttyUSB0?baud=1&baud=2": "given twice",
		"rtu:///dev/ttyUSB0?parity=X":      "parity",
		"rtu:///dev/ttyUSB0?stop=1.5":      "stop bits",
		"rtu:///dev/ttyUSB0?data=9":        "data bits",
		"rtu:///dev/ttyUSB0?%zz=1":         "question mark",
		"tcp://host:port":                  "must be like",
	} {
		if got, err := ParseURL(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %v, %v; want %q", text, got, err, want)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	for _, s := range []string{"rtu:///dev/ttyUSB0?baud=9600", "tcp://h:1", "rtu+tcp://[::1]:4001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if line, err := ParseURL(s); err == nil && line.Scheme == schemeRTU && line.wire().char <= 0 {
			t.Errorf("%q has no speed", s)
		}
	})
}

func TestWire(t *testing.T) {
	for _, c := range []struct {
		url         string
		char, quiet time.Duration
	}{
		{"rtu:///dev/x?baud=9600", 1145833, 4010415},
		{"rtu:///dev/x?baud=19200", 572916, 2005206},
		{"rtu:///dev/x?baud=19200&parity=N", 520833, 1822915},
		{"rtu:///dev/x?baud=38400", 286458, 1750000},
		{"tcp://h:1", 0, 0},
		{"rtu+tcp://h:1", 0, 0},
	} {
		line, err := ParseURL(c.url)
		if err != nil {
			t.Fatal(err)
		}
		if w := line.wire(); w.char != c.char || w.quiet != c.quiet {
			t.Errorf("%s: %+v", c.url, w)
		}
	}
}

// sound is a configuration without fault, for tests to spoil.
func sound() Config {
	return Config{
		Output: adapters.Output{Adapter: "meters", Topic: "plant/{adapter}/{device}/{point}", QoS: 1},
		URL:    "rtu:///dev/ttyUSB0",
		Devices: []Device{{Name: "m1", Unit: 1, Points: []Point{
			{Name: "voltage", Register: "input:0", Type: "float32"},
			{Name: "setpoint", Register: "holding:10", Type: "int16", Writable: true},
		}}},
	}
}

func TestValidate(t *testing.T) {
	if err := sound().Validate(); err != nil {
		t.Fatal(err)
	}
	one, gap := 1.0, -1
	point := func(p Point) func(*Config) { return func(c *Config) { c.Devices[0].Points[0] = p } }
	for name, c := range map[string]struct {
		spoil func(*Config)
		want  string
	}{
		"url":               {func(c *Config) { c.URL = "tcp:/x" }, "must name host and port"},
		"topic":             {func(c *Config) { c.Output.Topic = "#" }, "wildcards"},
		"every":             {func(c *Config) { c.Every = -1 }, "every (-1ns) must be between"},
		"timeout":           {func(c *Config) { c.Timeout = time.Hour }, "timeout (1h0m0s) must be between"},
		"no devices":        {func(c *Config) { c.Devices = nil }, "devices must not be empty"},
		"device name":       {func(c *Config) { c.Devices[0].Name = "" }, "device number 1: name must not be empty"},
		"two of a name":     {func(c *Config) { c.Devices = append(c.Devices, c.Devices[0]) }, "device m1: the name is given twice"},
		"broadcast":         {func(c *Config) { c.Devices[0].Unit = 0 }, "device m1: unit (0) must be between 1 and 247"},
		"unit":              {func(c *Config) { c.Devices[0].Unit = 248 }, "unit (248)"},
		"unit over TCP":     {func(c *Config) { c.URL, c.Devices[0].Unit = "tcp://h", 256 }, "unit (256) must be between 0 and 255"},
		"order":             {func(c *Config) { c.Devices[0].Order = "BACD" }, `order ("BACD")`},
		"max registers":     {func(c *Config) { c.Devices[0].MaxRegisters = 126 }, "max_registers (126)"},
		"max bits":          {func(c *Config) { c.Devices[0].MaxBits = -1 }, "max_bits (-1)"},
		"max gap":           {func(c *Config) { c.Devices[0].MaxGap = &gap }, "max_gap (-1)"},
		"no points":         {func(c *Config) { c.Devices[0].Points = nil }, "points must not be empty"},
		"points of a name":  {func(c *Config) { c.Devices[0].Points[1].Name = "voltage" }, "device m1: point voltage: the name is given twice"},
		"point name":        {point(Point{Register: "input:0"}), "point number 1: name must not be empty"},
		"register":          {point(Point{Name: "p", Register: "inputs:0"}), `device m1: point p: register ("inputs:0")`},
		"type":              {point(Point{Name: "p", Register: "input:0", Type: "float"}), `type ("float") must be one of bool, int8`},
		"string length":     {point(Point{Name: "p", Register: "input:0", Type: "string(251)"}), "n from 1 to 250"},
		"string open":       {point(Point{Name: "p", Register: "input:0", Type: "string(3"}), "string(n)"},
		"type of a coil":    {point(Point{Name: "p", Register: "coil:0", Type: "int16"}), "must be bool for a coil"},
		"type of a bit":     {point(Point{Name: "p", Register: "input:0.1", Type: "int16"}), "must be bool for a bit"},
		"beyond the end":    {point(Point{Name: "p", Register: "input:65535", Type: "int32"}), "leaves no room"},
		"too wide":          {func(c *Config) { c.Devices[0].MaxRegisters = 1 }, "needs 2 registers, and a request has at most 1"},
		"min above max":     {point(Point{Name: "p", Register: "input:0", Min: new(2.0), Max: &one}), "min (2) must not be above max (1)"},
		"scale of a bit":    {point(Point{Name: "p", Register: "coil:0", Scale: 2}), "not a number"},
		"negative deadband": {point(Point{Name: "p", Register: "input:0", Rule: adapters.Rule{Deadband: -1}}), "must not be negative"},
		"writable input":    {point(Point{Name: "p", Register: "input:0", Writable: true}), "a point of the table input can only be read"},
		"writable half":     {point(Point{Name: "p", Register: "holding:0", Type: "int8", Writable: true}), "half a register"},
		"writable long":     {point(Point{Name: "p", Register: "holding:0", Type: "string(250)", Writable: true}), "at most 123 registers"},
		"topics clash": {func(c *Config) {
			c.Output.Topic = "x"
			c.Devices[0].Points[0] = Point{Name: "p", Register: "coil:0", Writable: true}
		}, "its topic x is that of m1/p too"},
		"point every": {point(Point{Name: "p", Register: "input:0", Every: 1}), "every (1ns)"},
	} {
		t.Run(name, func(t *testing.T) {
			config := sound()
			c.spoil(&config)
			if err := config.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want %q", err, c.want)
			}
		})
	}
}

func TestValidateTellsEverythingAtOnce(t *testing.T) {
	c := sound()
	c.URL, c.Every, c.Devices[0].Unit, c.Devices[0].Points[0].Type = "x", -1, 300, "word"
	err := c.Validate()
	if err == nil || len(strings.Split(err.Error(), "\n")) != 4 {
		t.Errorf("error is %v", err)
	}
}
