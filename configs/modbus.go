package configs

import (
	"math"
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

func readDevice(m *strict.Map, names *strict.Names) (d modbus.Device) {
	m.Need("name", &d.Name)
	d.Name = m.Unique("name", d.Name, names)
	m.Called("device " + d.Name)
	m.Require("unit", "points")
	strict.Int(m, "unit", &d.Unit, 0, math.MaxUint8)
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
	var points strict.Names
	m.List("points", func(m *strict.Map) { d.Points = append(d.Points, readPoint(m, &points)) })
	return d
}

func readPoint(m *strict.Map, names *strict.Names) (p modbus.Point) {
	m.Need("name", &p.Name)
	p.Name = m.Unique("name", p.Name, names)
	m.Called("point " + p.Name)
	m.Need("register", &p.Register)
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
	p.Rule = readRule(m)
	m.Bool("writable", &p.Writable)
	m.Bool("verify", &p.Verify)
	m.Bool("every_command", &p.EveryCommand)
	m.Bool("clamp", &p.Clamp)
	p.Min, p.Max = readBound(m, "min"), readBound(m, "max")
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
func readBound(m *strict.Map, key string) *float64 {
	if !m.Has(key) {
		return nil
	}
	v := new(float64)
	m.Float(key, v, math.Inf(-1), math.Inf(1))
	return v
}
