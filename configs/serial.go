package configs

import (
	"math"
	"time"

	"github.com/weir-edge/weir/adapters/serial"
	"github.com/weir-edge/weir/configs/strict"
)

func readSerial(m *strict.Map, name string) *serial.Config {
	c := &serial.Config{Name: name}
	readPort(m, c)
	m.Map("framing", func(m *strict.Map) { readFraming(m, c) })
	frame := int64(0)
	m.Size("max_frame", &frame, 1, 64*kib)
	c.MaxFrame = int(frame)
	m.Short("checksum", "kind", func(m *strict.Map) { readChecksum(m, &c.Checksum) })
	m.Map("parse", func(m *strict.Map) { readParse(m, &c.Parse) })
	m.Map("request", func(m *strict.Map) { readRequest(m, &c.Request) })
	c.Output = readOutput(m, name, "plant/{adapter}/{field}")
	c.Rule = readRule(m)
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
var framings = []string{"delimiter", "length", "length_prefix", "start", "idle_gap"}

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
		m.Problem("", "framing must have one of delimiter, length, length_prefix, start (with end) and idle_gap, and only one", "")
		return
	}
	switch found[0] {
	case "delimiter":
		c.Framing = readDelimiter(m)
	case "length":
		l := serial.Length{Bytes: 1}
		strict.Int(m, "length", &l.Bytes, 1, 64<<10)
		c.Framing = l
	case "length_prefix":
		m.Map("length_prefix", func(m *strict.Map) { c.Framing = readLengthPrefix(m) })
	case "start":
		c.Framing = readStartEnd(m)
	case "idle_gap":
		var g serial.IdleGap
		m.Duration("idle_gap", &g.Gap, time.Millisecond, time.Minute)
		c.Framing = g
	}
	m.Check(c.Framing.Validate())
}

func readDelimiter(m *strict.Map) (d serial.Delimiter) {
	m.String("delimiter", &d.Bytes)
	m.Bool("include", &d.Include)
	return d
}

func readLengthPrefix(m *strict.Map) serial.LengthPrefix {
	l := serial.LengthPrefix{Width: 1}
	strict.Int(m, "offset", &l.Offset, 0, 32)
	strict.Int(m, "width", &l.Width, 1, 4)
	m.Bool("little_endian", &l.LittleEndian)
	strict.Int(m, "adjust", &l.Adjust, math.MinInt16, math.MaxInt16)
	return l
}

func readStartEnd(m *strict.Map) (s serial.StartEnd) {
	m.Need("start", &s.Start)
	m.Need("end", &s.End)
	strict.Int(m, "trailer", &s.Trailer, 0, 32)
	m.Bool("line", &s.Line)
	m.Bool("include", &s.Include)
	return s
}

func readChecksum(m *strict.Map, c *serial.Checksum) {
	strict.Choice(m, "kind", &c.Kind, "none", "nmea", "p1", "xor", "sum8", "lrc", "crc16-modbus", "crc16-ccitt")
	m.Bool("hex", &c.Hex)
}

func readParse(m *strict.Map, p *serial.Parse) {
	p.Kind = "text"
	strict.Choice(m, "kind", &p.Kind, "raw", "text", "csv", "json", "kv", "regex", "nmea", "obis")
	var names strict.Names
	m.ShortList("fields", "name", func(m *strict.Map) { p.Fields = append(p.Fields, readField(m, &names)) })
	m.String("separator", &p.Separator)
	m.String("pattern", &p.Pattern)
	m.Strings("sentences", &p.Sentences)
	m.Check(p.Validate())
}

// noField is the name of a column of no interest.
const noField = "-"

func readField(m *strict.Map, names *strict.Names) (f serial.Field) {
	if m.String("name", &f.Name); f.Name != "" && f.Name != noField {
		f.Name = m.Unique("name", f.Name, names)
	}
	m.Called("field " + f.Name)
	m.String("from", &f.From)
	strict.Choice(m, "type", &f.Type, serial.Number, serial.Int, serial.Bool, serial.Text)
	m.Float("scale", &f.Scale, math.Inf(-1), math.Inf(1))
	m.Float("offset", &f.Offset, math.Inf(-1), math.Inf(1))
	m.String("unit", &f.Unit)
	f.Rule = readRule(m)
	return f
}

func readRequest(m *strict.Map, r *serial.Request) {
	r.Every, r.Timeout = time.Second, time.Second
	readPeriod(m, &r.Every)
	m.Need("send", &r.Send)
	m.Duration("timeout", &r.Timeout, time.Millisecond, time.Hour)
}
