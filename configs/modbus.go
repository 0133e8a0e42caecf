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
	m.Require("url", "devices")
	m.String("url", &c.URL)
	warnUnstable(m, "url", c.URL)
	readPeriod(m, &c.Every)
	m.Duration("timeout", &c.Timeout, time.Millisecond, time.Minute)
	c.Output = readOutput(m, name, "plant/{adapter}/{device}/{point}")
	var names strict.Names
	m.List("devices", func(m *strict.Map) {
		d := readDevice(m)
		m.Unique("name", d.Name, &names)
		c.Devices = append(c.Devices, d)
	})
	m.Check(c.Validate())
	return c
}

func readDevice(m *strict.Map) (d modbus.Device) {
	m.Require("name", "unit", "points")
	m.String("name", &d.Name)
	m.Called("device " + d.Name)
	strict.Int(m, "unit", &d.Unit, 0, math.MaxUint8)
	readPeriod(m, &d.Every)
	strict.Choice(m, "order", &d.Order, orders...)
	strict.Int(m, "max_registers", &d.MaxRegisters, 1, 125)
	strict.Int(m, "max_bits", &d.MaxBits, 1, 2000)
	if m.Has("max_gap") {
		d.MaxGap = new(int)
		strict.Int(m, "max_gap", d.MaxGap, 0, 2000)
	}
	var names strict.Names
	m.List("points", func(m *strict.Map) {
		p := readPoint(m)
		m.Unique("name", p.Name, &names)
		d.Points = append(d.Points, p)
	})
	return d
}

func readPoint(m *strict.Map) (p modbus.Point) {
	m.Require("name", "register")
	m.String("name", &p.Name)
	m.Called("point " + p.Name)
	m.String("register", &p.Register)
	m.String("type", &p.Type)
	strict.Choice(m, "order", &p.Order, orders...)
	readPeriod(m, &p.Every)
	m.Float("scale", &p.Scale, -math.MaxFloat64, math.MaxFloat64)
	m.Float("offset", &p.Offset, -math.MaxFloat64, math.MaxFloat64)
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
	m.Float(key, v, -math.MaxFloat64, math.MaxFloat64)
	return v
}
