package parse

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// nmeaParser reads NMEA 0183 sentences: those of the table as named values with
// units, every other one as numbered columns.
//
// A receiver goes on sending positions while it has none; sentences say so in a
// status, and then only the status is reported.
type nmeaParser struct {
	table   map[string]nmeaSentence
	only    map[string]bool // nil: all
	columns nmeaColumns     // of the sentence that is being read: kept from one to the next
}

// nmeaSentence says what stands where in the sentences of one type.
type nmeaSentence struct {
	// valid says whether the device vouches for data; nil: always.
	valid  func(nmeaColumns) bool
	status []nmeaColumn // reported always
	data   []nmeaColumn // reported when valid
}

// nmeaColumn is one value of a sentence.
type nmeaColumn struct {
	at         int // of the value's first column; the address is column 0
	name, unit string
	read       nmeaReader
}

// nmeaReader reads the value that begins at a column, or nil when it is empty.
type nmeaReader func(c nmeaColumns, at int) (any, error)

// nmeaColumns are a sentence's columns, the address among them. A column that
// isn't there is an empty one: older devices leave out the last.
type nmeaColumns []string

func (c nmeaColumns) at(i int) string {
	if i < len(c) {
		return c[i]
	}
	return ""
}

func newNMEAParser(only []string) (Parser, error) {
	p := &nmeaParser{table: nmeaTable()}
	for _, s := range only {
		if s != strings.ToUpper(s) || len(s) < 3 {
			return nil, fmt.Errorf("sentence (%q) must be a type such as RMC, or PGRME", s)
		}
		if p.only == nil {
			p.only = make(map[string]bool)
		}
		p.only[s] = true
	}
	return p, nil
}

// Parse takes what is between $ and *, or the whole line when no checksum was
// asked for.
func (p *nmeaParser) Parse(frame []byte, doc *Document) error {
	line := strings.TrimSpace(string(frame))
	line = line[max(strings.LastIndexByte(line, '$'), strings.LastIndexByte(line, '!'))+1:]
	if i := strings.LastIndexByte(line, '*'); i >= 0 {
		line = line[:i]
	}
	c := p.split(line)
	kind, ok := nmeaType(c[0])
	if !ok || len(c) < 2 {
		return errors.New("it is not an NMEA sentence")
	}
	if p.only != nil && !p.only[kind] {
		return ErrForeign
	}
	doc.Device = kind
	switch kind {
	case "XDR":
		return readTransducers(c, doc)
	case "GSV":
		return readSatellites(c, doc)
	}
	sentence, known := p.table[kind]
	if !known {
		c.numbered(kind, doc)
		return nil
	}
	return sentence.read(c, doc)
}

// split cuts a sentence into its columns, which are valid until the next one.
func (p *nmeaParser) split(line string) nmeaColumns {
	p.columns = p.columns[:0]
	for {
		column, rest, more := strings.Cut(line, ",")
		p.columns = append(p.columns, column)
		if !more {
			return p.columns
		}
		line = rest
	}
}

// nmeaType is the type in a sentence's address: RMC of GPRMC; the whole address
// of a proprietary one.
func nmeaType(address string) (string, bool) {
	for i := range len(address) {
		if c := address[i]; (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return "", false
		}
	}
	switch {
	case len(address) >= 3 && address[0] == 'P':
		return address, true
	case len(address) == 5:
		return address[2:], true
	}
	return "", false
}

// numbered adds the columns of a sentence that isn't in the table.
func (c nmeaColumns) numbered(kind string, doc *Document) {
	for i, column := range c[1:] {
		doc.add(strings.ToLower(kind)+"_"+strconv.Itoa(i+1), untyped(column), "")
	}
}

func (s nmeaSentence) read(c nmeaColumns, doc *Document) error {
	if err := c.read(s.status, doc); err != nil {
		return err
	}
	if s.valid != nil && !s.valid(c) {
		return nil
	}
	return c.read(s.data, doc)
}

func (c nmeaColumns) read(columns []nmeaColumn, doc *Document) error {
	for _, col := range columns {
		v, err := col.read(c, col.at)
		if err != nil {
			return fmt.Errorf("%s: %w", col.name, err)
		}
		if v != nil {
			doc.add(col.name, v, col.unit)
		}
	}
	return nil
}

// readSatellites reads the count from the first GSV sentence of a group. Each
// satellite system sends its own group, so the name tells the talker.
func readSatellites(c nmeaColumns, doc *Document) error {
	if c.at(2) != "1" {
		return nil
	}
	count := nmeaColumn{3, "satellites_in_view_" + strings.ToLower(c[0][:2]), "", nmeaInt}
	return c.read([]nmeaColumn{count}, doc)
}

// readTransducers reads an XDR sentence: groups of type, value, unit and name.
func readTransducers(c nmeaColumns, doc *Document) error {
	for i := 1; i+3 < len(c); i += 4 {
		v, err := nmeaNumber(c, i+1)
		if err != nil {
			return fmt.Errorf("transducer %s: %w", c[i+3], err)
		}
		if name := strings.ToLower(c[i+3]); v != nil && name != "" {
			doc.add(name, v, transducerUnit(c[i], c[i+2]))
		}
	}
	return nil
}

// transducerUnit is the unit that an XDR group means by a letter.
func transducerUnit(kind, unit string) string {
	switch kind + unit {
	case "CC":
		return "°C"
	case "PB":
		return "bar"
	case "PP":
		return "Pa"
	case "AD":
		return "deg"
	case "HP", "H":
		return "%"
	case "DM":
		return "m"
	}
	return unit
}

// The readers of columns.

func nmeaNumber(c nmeaColumns, at int) (any, error) {
	s := c.at(at)
	if s == "" {
		return nil, nil
	}
	v, ok := parseNumber(s)
	if !ok {
		return nil, fmt.Errorf("%q is not a number", s)
	}
	return v, nil
}

func nmeaInt(c nmeaColumns, at int) (any, error) {
	s := c.at(at)
	if s == "" {
		return nil, nil
	}
	v, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return nil, fmt.Errorf("%q is not a whole number", s)
	}
	return int64(v), nil
}

// nmeaBool reads a status, A or V.
func nmeaBool(c nmeaColumns, at int) (any, error) { return c.at(at) == "A", nil }

// nmeaSigned reads a number and the letter behind it, which makes it negative
// if it is west or south.
func nmeaSigned(c nmeaColumns, at int) (any, error) {
	v, err := nmeaNumber(c, at)
	if v == nil || err != nil {
		return nil, err
	}
	switch c.at(at + 1) {
	case "E", "N":
		return v, nil
	case "W", "S":
		return -v.(float64), nil
	}
	return nil, fmt.Errorf("%q is no direction", c.at(at+1))
}

// nmeaLatitude and nmeaLongitude read degrees and minutes, 4527.458,S, as
// signed degrees.
func nmeaLatitude(c nmeaColumns, at int) (any, error)  { return nmeaAngle(c, at, 2, 90, "NS") }
func nmeaLongitude(c nmeaColumns, at int) (any, error) { return nmeaAngle(c, at, 3, 180, "EW") }

func nmeaAngle(c nmeaColumns, at, digits int, limit float64, letters string) (any, error) {
	s, letter := c.at(at), c.at(at+1)
	if s == "" {
		return nil, nil
	}
	if len(s) < digits+2 || len(letter) != 1 || !strings.Contains(letters, letter) {
		return nil, fmt.Errorf("%q,%q is no angle", s, letter)
	}
	degrees, err := strconv.ParseUint(s[:digits], 10, 16)
	minutes, ok := parseNumber(s[digits:])
	if err != nil || !ok || minutes.(float64) < 0 || minutes.(float64) >= 60 {
		return nil, fmt.Errorf("%q is no angle", s)
	}
	v := float64(degrees) + minutes.(float64)/60
	if v > limit {
		return nil, fmt.Errorf("%q is beyond %v degrees", s, limit)
	}
	if letter == letters[1:] {
		v = -v
	}
	return roundAngle(v), nil
}

// roundAngle leaves a tenth of a millimetre of an angle in degrees, and no -0.
func roundAngle(degrees float64) float64 { return math.Round(degrees*1e9)/1e9 + 0 }

// nmeaTime reads hhmmss or hhmmss.sss as 15:04:05.
func nmeaTime(c nmeaColumns, at int) (any, error) {
	s := c.at(at)
	if s == "" {
		return nil, nil
	}
	clock, fraction, _ := strings.Cut(s, ".")
	if !within(clock, 0, 23, 59, 60) || !digits(fraction) {
		return nil, fmt.Errorf("%q is no time", s)
	}
	t := clock[:2] + ":" + clock[2:4] + ":" + clock[4:]
	if strings.Trim(fraction, "0") != "" {
		t += "." + fraction
	}
	return t, nil
}

// nmeaDateTime reads the time at a column and the date, ddmmyy, at another, as
// 2006-01-02T15:04:05Z.
func nmeaDateTime(date int) nmeaReader {
	return func(c nmeaColumns, at int) (any, error) {
		t, err := nmeaTime(c, at)
		d := c.at(date)
		if t == nil || err != nil || d == "" {
			return nil, err
		}
		if !within(d, 1, 31, 12, 99) {
			return nil, fmt.Errorf("%q is no date", d)
		}
		century := "20"
		if d[4] >= '8' { // the first of these receivers were built in the eighties
			century = "19"
		}
		return fmt.Sprintf("%s%s-%s-%sT%sZ", century, d[4:], d[2:4], d[:2], t), nil
	}
}

// nmeaDate reads day, month and year from three columns behind the time.
func nmeaDate(c nmeaColumns, at int) (any, error) {
	t, err := nmeaTime(c, at)
	day, month, year := c.at(at+1), c.at(at+2), c.at(at+3)
	if t == nil || err != nil || day+month+year == "" {
		return nil, err
	}
	if len(year) != 4 || !within(day+month+year[2:], 1, 31, 12, 99) || !digits(year) {
		return nil, fmt.Errorf("%q is no date", day+","+month+","+year)
	}
	return fmt.Sprintf("%s-%s-%sT%sZ", year, month, day, t), nil
}

// within says whether s is three numbers of two digits each, the first at least
// least, and at most a, b and c.
func within(s string, least, a, b, c int) bool {
	if len(s) != 6 || !digits(s) {
		return false
	}
	number := func(at int) int { return int(s[at]-'0')*10 + int(s[at+1]-'0') }
	return number(0) >= least && number(0) <= a && number(2) <= b && number(4) <= c
}

func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// nmeaSpeed reads a speed and the letter of its unit behind it, as m/s.
func nmeaSpeed(c nmeaColumns, at int) (any, error) {
	v, err := nmeaNumber(c, at)
	if v == nil || err != nil {
		return nil, err
	}
	x := v.(float64)
	switch c.at(at + 1) {
	case "M":
		return x, nil
	case "N":
		return round(x * 1852 / 3600), nil
	case "K":
		return round(x / 3.6), nil
	case "S":
		return round(x * 0.44704), nil
	}
	return nil, fmt.Errorf("%q is no unit of speed", c.at(at+1))
}

// round keeps a converted number from growing digits that nobody measured.
func round(x float64) float64 { return math.Round(x*1e4) / 1e4 }
