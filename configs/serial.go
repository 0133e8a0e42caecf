package configs

import (
	"math"
	"time"

	"github.com/weir-edge/weir/adapters/serial"
	"github.com/weir-edge/weir/adapters/serial/exchange"
	"github.com/weir-edge/weir/adapters/serial/frame"
	parsing "github.com/weir-edge/weir/adapters/serial/parse"
	"github.com/weir-edge/weir/adapters/serialport"
	"github.com/weir-edge/weir/configs/strict"
)

func readSerial(m *strict.Map, name string) *serial.Config {
	c := &serial.Config{Name: name}
	readPort(m, c)
	m.Map("framing", func(m *strict.Map) { readFraming(m, c) })
	size := int64(0)
	m.Size("max_frame", &size, 1, 64*kib)
	c.MaxFrame = int(size)
	m.Short("checksum", "kind", func(m *strict.Map) { readChecksum(m, &c.Checksum) })
	m.Map("parse", func(m *strict.Map) { readParse(m, &c.Parse) })
	m.Map("request", func(m *strict.Map) { c.Requests = append(c.Requests, readRequest(m)) })
	m.List("requests", func(m *strict.Map) { c.Requests = append(c.Requests, readRequest(m)) })
	var names, points strict.Names
	m.List("devices", func(m *strict.Map) { c.Devices = append(c.Devices, readSerialDevice(m, &names)) })
	m.List("writes", func(m *strict.Map) { c.Writes = append(c.Writes, readWrite(m, &points)) })
	strict.Int(m, "max_rate", &c.MaxRate, 1, 1_000_000)
	m.Duration("stale_after", &c.StaleAfter, time.Millisecond, longest)
	topic := "plant/{adapter}/{field}"
	if len(c.Devices) > 0 {
		topic = "plant/{adapter}/{device}/{field}"
	}
	c.Output = readOutput(m, name, topic)
	readRule(m, &c.Rule)
	m.Check(c.Validate())
	return c
}

func readPort(m *strict.Map, c *serial.Config) {
	p := &c.Port
	p.Baud, p.DataBits, p.Parity, p.StopBits = 9600, 8, "none", "1"
	m.Need("port", &p.Device)
	warnUnstable(m, "port", p.Device)
	strict.Int(m, "baud", &p.Baud, 1, 12_000_000)
	strict.Int(m, "data_bits", &p.DataBits, 5, 8)
	strict.Choice(m, "parity", &p.Parity, "none", "even", "odd", "mark", "space", "N", "E", "O", "M", "S")
	strict.Choice(m, "stop_bits", &p.StopBits, "1", "2")
	p.DTR, p.RTS = readSwitch(m, "dtr"), readSwitch(m, "rts")
	m.Short("rs485", "mode", func(m *strict.Map) { readRS485(m, &p.RS485) })
}

func readRS485(m *strict.Map, r *serialport.RS485) {
	const most = 100 * time.Millisecond
	r.Mode = "auto"
	strict.Choice(m, "mode", &r.Mode, "off", "kernel", "rts", "auto")
	m.Duration("delay_before", &r.DelayBefore, 0, most)
	m.Duration("delay_after", &r.DelayAfter, 0, most)
	m.Bool("invert", &r.Invert)
	m.Bool("receive", &r.Receive)
}

// readSwitch reads true or false, which may be absent.
func readSwitch(m *strict.Map, key string) *bool {
	if !m.Has(key) {
		return nil
	}
	v := new(bool)
	m.Bool(key, v)
	return v
}

// framings are the keys of which a framing has one.
var framings = []string{"delimiter", "length", "length_prefix", "start", "escaped", "sml", "idle_gap"}

// readFraming reads one of the ways to cut frames; the others' keys are unknown
// then.
func readFraming(m *strict.Map, c *serial.Config) {
	var found []string
	for _, key := range framings {
		if m.Has(key) {
			found = append(found, key)
		}
	}
	if len(found) != 1 {
		m.Problem("", "framing must have one of delimiter, length, length_prefix, start (with end), escaped, sml and idle_gap, and only one", "")
		return
	}
	switch found[0] {
	case "delimiter":
		c.Framing = readDelimiter(m)
	case "length":
		l := frame.Length{Bytes: 1}
		strict.Int(m, "length", &l.Bytes, 1, 64<<10)
		c.Framing = l
	case "length_prefix":
		m.Map("length_prefix", func(m *strict.Map) { c.Framing = readLengthPrefix(m) })
	case "start":
		c.Framing = readStartEnd(m)
	case "escaped":
		e := frame.Escaped{Protocol: "slip"}
		strict.Choice(m, "escaped", &e.Protocol, "slip", "hdlc", "dle")
		c.Framing = e
	case "sml":
		on := true
		if m.Bool("sml", &on); !on {
			m.Problem("sml", "sml must be true, or not be there", "")
		}
		c.Framing = frame.SML{}
	case "idle_gap":
		var g frame.IdleGap
		m.Duration("idle_gap", &g.Gap, time.Millisecond, time.Minute)
		c.Framing = g
	}
	m.Check(c.Framing.Validate())
}

func readDelimiter(m *strict.Map) (d frame.Delimiter) {
	m.String("delimiter", &d.Bytes)
	m.Bool("include", &d.Include)
	return d
}

func readLengthPrefix(m *strict.Map) frame.LengthPrefix {
	l := frame.LengthPrefix{Width: 1}
	strict.Int(m, "offset", &l.Offset, 0, 32)
	strict.Int(m, "width", &l.Width, 1, 4)
	m.Bool("little_endian", &l.LittleEndian)
	strict.Int(m, "adjust", &l.Adjust, math.MinInt16, math.MaxInt16)
	return l
}

func readStartEnd(m *strict.Map) (s frame.StartEnd) {
	m.Need("start", &s.Start)
	m.Need("end", &s.End)
	strict.Int(m, "trailer", &s.Trailer, 0, 32)
	m.Bool("line", &s.Line)
	m.Bool("include", &s.Include)
	m.String("escape", &s.Escape)
	return s
}

func readChecksum(m *strict.Map, c *frame.Sum) {
	strict.Choice(m, "kind", &c.Kind, frame.Kinds()...)
	m.Bool("hex", &c.Hex)
	strict.Choice(m, "encoding", &c.Encoding, "binary", "hex", "decimal")
	strict.Choice(m, "order", &c.Order, "big", "little")
	strict.Choice(m, "position", &c.Position, "end", "start")
	strict.Int(m, "skip", &c.Skip, 0, 32)
	strict.Int(m, "trailer", &c.Trailer, 0, 32)
}

func readParse(m *strict.Map, p *parsing.Config) {
	p.Kind = "text"
	strict.Choice(m, "kind", &p.Kind, "raw", "text", "csv", "json", "kv", "regex", "nmea", "obis", "sml", "binary")
	var names strict.Names
	m.ShortList("fields", "name", func(m *strict.Map) { p.Fields = append(p.Fields, readField(m, p.Kind, &names)) })
	m.String("separator", &p.Separator)
	m.String("pattern", &p.Pattern)
	m.Strings("sentences", &p.Sentences)
	if p.Kind == "binary" {
		readOrder(m, &p.Order)
	}
	m.Check(p.Validate())
}

func readOrder(m *strict.Map, o *parsing.Order) {
	strict.Choice(m, "order", o, parsing.ABCD, parsing.CDAB, parsing.BADC, parsing.DCBA)
}

// noField is the name of a column of no interest.
const noField = "-"

func readField(m *strict.Map, kind string, names *strict.Names) (f parsing.Field) {
	if m.String("name", &f.Name); f.Name != "" && f.Name != noField {
		f.Name = m.Unique("name", f.Name, names)
	}
	m.Called("field " + f.Name)
	if kind == "binary" {
		readBinaryField(m, &f)
	} else {
		m.String("from", &f.From)
		strict.Choice(m, "type", &f.Type, parsing.Number, parsing.Int, parsing.Bool, parsing.Text)
	}
	m.Float("scale", &f.Scale, math.Inf(-1), math.Inf(1))
	m.Float("offset", &f.Offset, math.Inf(-1), math.Inf(1))
	m.String("unit", &f.Unit)
	readRule(m, &f.Rule)
	return f
}

func readBinaryField(m *strict.Map, f *parsing.Field) {
	m.Require("at", "type")
	strict.Int(m, "at", &f.At, 0, 64<<10-1)
	kind := ""
	m.String("type", &kind)
	f.Type = parsing.FieldType(kind)
	readOrder(m, &f.Order)
	if m.Has("bit") {
		f.Bit = new(int)
		strict.Int(m, "bit", f.Bit, 0, 7)
	}
}

func readRequest(m *strict.Map) serial.Request {
	r := serial.Request{Every: time.Second, Timeout: time.Second}
	m.String("name", &r.Name)
	readPeriod(m, &r.Every)
	readTalk(m, &r.Send, &r.Expect, &r.Timeout, &r.Retries, &r.Pause)
	m.Map("parse", func(m *strict.Map) {
		r.Parse = new(parsing.Config)
		readParse(m, r.Parse)
	})
	return r
}

// readTalk reads what requests and writes have in common.
func readTalk(m *strict.Map, send *exchange.Template, expect *serial.Expect, timeout *time.Duration, retries *int, pause *time.Duration) {
	m.Need("send", (*string)(send))
	m.Short("expect", "bytes", func(m *strict.Map) {
		m.String("bytes", (*string)(&expect.Bytes))
		strict.Int(m, "at", &expect.At, 0, 64<<10)
	})
	m.Duration("timeout", timeout, time.Millisecond, time.Hour)
	strict.Int(m, "retries", retries, 0, 10)
	m.Duration("pause", pause, 0, time.Minute)
}

func readSerialDevice(m *strict.Map, names *strict.Names) (d serial.Device) {
	m.Need("name", &d.Name)
	d.Name = m.Unique("name", d.Name, names)
	m.Require("address")
	strict.Int(m, "address", &d.Address, 0, math.MaxInt32)
	return d
}

func readWrite(m *strict.Map, names *strict.Names) serial.Write {
	w := serial.Write{Timeout: time.Second}
	m.Need("name", &w.Name)
	w.Name = m.Unique("name", w.Name, names)
	readTalk(m, &w.Send, &w.Expect, &w.Timeout, &w.Retries, &w.Pause)
	readBound(m, "min", &w.Min)
	readBound(m, "max", &w.Max)
	return w
}
