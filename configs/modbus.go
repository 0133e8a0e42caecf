package configs

import (
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/weir-edge/weir/adapters/modbus"
	"github.com/weir-edge/weir/configs/strict"
)

func readModbus(m *strict.Map, name string) *modbus.Config {
	c := &modbus.Config{Every: time.Second, Timeout: time.Second}
	m.Need("url", &c.URL)
	if !m.Has("proxy") {
		m.Require("devices")
	}
	warnUnstable(m, "url", c.URL)
	readPeriod(m, &c.Every)
	m.Duration("timeout", &c.Timeout, time.Millisecond, time.Minute)
	m.Map("tls", func(m *strict.Map) { readModbusTLS(m, &c.TLS) })
	m.Short("rs485", "mode", func(m *strict.Map) { readRS485(m, &c.RS485) })
	m.Map("proxy", func(m *strict.Map) { readServerFace(m, &c.Proxy) })
	c.Output = readOutput(m, name, "plant/{adapter}/{device}/{point}")
	var names strict.Names
	m.List("devices", func(m *strict.Map) {
		c.Devices = append(c.Devices, readDevice(m, &names))
	})
	m.Check(c.Validate())
	return c
}

func readModbusTLS(m *strict.Map, t *modbus.TLS) {
	m.File("ca", &t.CA)
	m.File("cert", &t.Cert)
	m.File("key", &t.Key)
	m.String("server_name", &t.ServerName)
	if m.Bool("insecure", &t.Insecure); t.Insecure {
		m.Warn("insecure", "everybody can pass himself off as the device: its certificate is not checked", "name the authority that signed it with ca")
	}
}

func readServerFace(m *strict.Map, p *modbus.Proxy) {
	m.Need("address", &p.Address)
	m.Bool("writable", &p.Writable)
	var units []string
	m.Strings("units", &units)
	for _, text := range units {
		unit, err := strconv.Atoi(text)
		if err != nil {
			m.Problem("units", "units ("+text+") must be numbers from 0 to 255", "")
			continue
		}
		p.Units = append(p.Units, unit)
	}
}

func readDevice(m *strict.Map, names *strict.Names) modbus.Device {
	d := readTemplate(m)
	m.Need("name", &d.Name)
	d.Name = m.Unique("name", d.Name, names)
	m.Called("device " + d.Name)
	m.Require("unit")
	if len(d.Points) == 0 && !m.Has("template") {
		m.Require("points")
	}
	strict.Int(m, "unit", &d.Unit, 0, math.MaxUint8)
	readDeviceSettings(m, &d)
	d.Points = choosePoints(m, d.Points)
	known := len(d.Points)
	var points strict.Names
	m.List("points", func(m *strict.Map) {
		p := readPoint(m, &points, d.Points[:known])
		if i := pointNamed(d.Points[:known], p.Name); i >= 0 {
			d.Points[i] = p
			return
		}
		d.Points = append(d.Points, p)
	})
	return d
}

// readDeviceSettings reads what a template may have too.
func readDeviceSettings(m *strict.Map, d *modbus.Device) {
	readPeriod(m, &d.Every)
	m.Duration("phase", &d.Phase, 0, longestPeriod)
	strict.Choice(m, "order", &d.Order, modbus.Orders()...)
	m.Duration("timeout", &d.Timeout, time.Millisecond, time.Minute)
	strict.Choice(m, "write_with", &d.Write, modbus.WriteAuto, modbus.WriteMultiple, modbus.WriteReadWrite)
	strict.Choice(m, "bit_writes", &d.BitWrites, modbus.BitsMask, modbus.BitsRewrite)
	strict.Int(m, "max_registers", &d.MaxRegisters, 1, 125)
	strict.Int(m, "max_bits", &d.MaxBits, 1, 2000)
	if m.Has("max_gap") {
		d.MaxGap = new(int)
		strict.Int(m, "max_gap", d.MaxGap, 0, 2000)
	}
}

func pointNamed(points []modbus.Point, name string) int {
	return slices.IndexFunc(points, func(p modbus.Point) bool { return name != "" && p.Name == name })
}

// readPoint reads a point; what it doesn't say is as in the point of that name
// among known.
func readPoint(m *strict.Map, names *strict.Names, known []modbus.Point) (p modbus.Point) {
	m.Need("name", &p.Name)
	if i := pointNamed(known, p.Name); i >= 0 {
		p = known[i]
		m.String("register", &p.Register)
	} else {
		m.Need("register", &p.Register)
	}
	p.Name = m.Unique("name", p.Name, names)
	m.Called("point " + p.Name)
	m.String("type", &p.Type)
	strict.Choice(m, "order", &p.Order, modbus.Orders()...)
	readPeriod(m, &p.Every)
	m.Duration("phase", &p.Phase, 0, longestPeriod)
	m.Float("scale", &p.Scale, math.Inf(-1), math.Inf(1))
	m.Float("offset", &p.Offset, math.Inf(-1), math.Inf(1))
	if m.Has("round") {
		p.Round = new(int)
		strict.Int(m, "round", p.Round, 0, 15)
	}
	m.Map("enum", func(m *strict.Map) { p.Enum = readEnum(m) })
	strict.Choice(m, "pad", &p.Pad, modbus.PadNUL, modbus.PadSpace)
	m.String("unit", &p.Unit)
	readRule(m, &p.Rule)
	m.Bool("writable", &p.Writable)
	m.Bool("verify", &p.Verify)
	m.Bool("every_command", &p.EveryCommand)
	m.Bool("clamp", &p.Clamp)
	readBound(m, "min", &p.Min)
	readBound(m, "max", &p.Max)
	return p
}

// readEnum reads names by the numbers that they stand for.
func readEnum(m *strict.Map) map[int64]string {
	names := make(map[int64]string)
	for _, key := range m.Keys() {
		name := ""
		m.String(key, &name)
		value, err := strconv.ParseInt(key, 0, 64)
		if err != nil {
			m.Problem(key, "enum must have whole numbers as its keys, and "+key+" is none", "write them as {0: off, 1: on}")
			continue
		}
		names[value] = name
	}
	return names
}

// readBound reads a number that may be absent.
func readBound(m *strict.Map, key string, v **float64) {
	if !m.Has(key) {
		return
	}
	*v = new(float64)
	m.Float(key, *v, math.Inf(-1), math.Inf(1))
}
