package configs

import (
	"math"
	"time"

	"github.com/weir-edge/weir/adapters/modbus"
	"github.com/weir-edge/weir/configs/strict"
)

// The orders of the bytes of a value.
var orders = []modbus.Order{"ABCD", "CDAB", "BADC", "DCBA"}

func readModbus(m *strict.Map, name string) *modbus.Config {
	c := &modbus.Config{Every: time.Second, Timeout: time.Second}
	m.Need("url", &c.URL)
	m.Require("devices")
	warnUnstable(m, "url", c.URL)
	readPeriod(m, &c.Every)
	m.Duration("timeout", &c.Timeout, time.Millisecond, time.Minute)
	c.Output = readOutput(m, name, "plant/{adapter}/{device}/{point}")
	var names strict.Names
	m.List("devices", func(m *strict.Map) {
		c.Devices = append(c.Devices, readDevice(m, &names))
	})
	m.Check(c.Validate())
	return c
}

func readDevice(m *strict.Map, names *strict.Names) (d modbus.Device) {
	m.Need("name", &d.Name)
	d.Name = m.Unique("name", d.Name, names)
	m.Called("device " + d.Name)
	m.Require("unit", "points")
	strict.Int(m, "unit", &d.Unit, 0, math.MaxUint8)
	readPeriod(m, &d.Every)
	strict.Choice(m, "order", &d.Order, orders...)
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
	strict.Choice(m, "order", &p.Order, orders...)
	readPeriod(m, &p.Every)
	m.Float("scale", &p.Scale, math.Inf(-1), math.Inf(1))
	m.Float("offset", &p.Offset, math.Inf(-1), math.Inf(1))
	m.String("unit", &p.Unit)
	p.Rule = readRule(m)
	m.Bool("writable", &p.Writable)
	p.Min, p.Max = readBound(m, "min"), readBound(m, "max")
	return p
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
