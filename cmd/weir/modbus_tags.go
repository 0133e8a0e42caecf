package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tags are the points of a table, by device.
type tags struct {
	units  []string
	points map[string][]tag
}

// tag is one line of the table.
type tag struct {
	name, register, kind, order, pace string
	scale, offset                     float64
	digits                            int
	writable, onChange                bool
}

// importTags reads a table in Neuron's columns. left are lines that can't be
// taken over; err says that it isn't such a table at all.
func importTags(in io.Reader) (all *tags, left []error, err error) {
	text, err := io.ReadAll(in)
	if err != nil {
		return nil, nil, err
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	r := csv.NewReader(bytes.NewReader(text))
	r.FieldsPerRecord, r.TrimLeadingSpace = -1, true
	if first, _, _ := bytes.Cut(text, []byte("\n")); bytes.Count(first, []byte(";")) > bytes.Count(first, []byte(",")) {
		r.Comma = ';'
	}
	head, err := r.Read()
	if err != nil {
		return nil, nil, fmt.Errorf("no line with the names of the columns: %w", err)
	}
	columns := columnsOf(head)
	for _, needed := range []string{"name", "address", "type"} {
		if _, ok := columns[needed]; !ok {
			return nil, nil, fmt.Errorf("line 1: there is no column %q", needed)
		}
	}
	all = &tags{points: make(map[string][]tag)}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return all, left, nil
		}
		if err != nil {
			left = append(left, err) // which has the line
			continue
		}
		if err := all.add(func(column string) string { return field(record, columns, column) }); err != nil {
			line, _ := r.FieldPos(0)
			left = append(left, fmt.Errorf("line %d: %w", line, err))
		}
	}
}

func columnsOf(head []string) map[string]int {
	columns := make(map[string]int)
	for i, name := range head {
		columns[strings.ToLower(strings.TrimSpace(name))] = i
	}
	return columns
}

func field(record []string, columns map[string]int, column string) string {
	if i, ok := columns[column]; ok && i < len(record) {
		return strings.TrimSpace(record[i])
	}
	return ""
}

// add takes a line over.
func (t *tags) add(get func(column string) string) error {
	p := tag{name: get("name")}
	if p.name == "" {
		return errors.New("there is no name")
	}
	unit, err := p.place(get("address"), strings.ToLower(get("type")))
	if err != nil {
		return err
	}
	if err := p.attributes(get("attribute")); err != nil {
		return err
	}
	if err := p.numbers(get); err != nil {
		return err
	}
	if t.points[unit] == nil {
		t.units = append(t.units, unit)
	}
	if t.has(unit, p.name) && get("group") != "" {
		p.name = get("group") + "-" + p.name
	}
	if t.has(unit, p.name) {
		return fmt.Errorf("the name %q is there already", p.name)
	}
	t.points[unit] = append(t.points[unit], p)
	return nil
}

func (t *tags) has(unit, name string) bool {
	return slices.ContainsFunc(t.points[unit], func(p tag) bool { return p.name == name })
}

// address is unit, table, number from 1, and perhaps a bit or a length of text,
// with which bytes of a register it uses, and an order of bytes.
var address = regexp.MustCompile(`^(\d{1,3})!([0134])(\d{5})(?:\.(\d{1,3})([HLDE]?))?(?:#([BL]{1,2}))?$`)

// What Neuron's words are here. Its orders count the bytes as they come.
var (
	tagTables = map[string]string{"0": "coil", "1": "discrete", "3": "input", "4": "holding"}
	tagOrders = map[string]string{"": "", "L": "", "LL": "", "B": "BADC", "LB": "BADC", "BL": "CDAB", "BB": "DCBA"}
	tagTypes  = map[string]string{
		"int16": "int16", "uint16": "uint16", "word": "uint16", "int32": "int32", "uint32": "uint32", "dword": "uint32",
		"int64": "int64", "uint64": "uint64", "lword": "uint64", "float": "float32", "double": "float64",
		"bit": "bool", "bool": "bool", "string": "string", "int8": "int8", "uint8": "uint8",
	}
)

// place reads where the point is and what it is.
func (p *tag) place(text, kind string) (unit string, err error) {
	m := address.FindStringSubmatch(strings.ToUpper(text))
	if m == nil {
		return "", fmt.Errorf("the address %q is not like 1!400001, 1!400001.3, 1!400001#BL or 1!400001.10H", text)
	}
	number, _ := strconv.Atoi(m[3])
	known, ok := tagTypes[kind]
	switch {
	case number < 1 || number > 1<<16:
		return "", fmt.Errorf("the address %q does not count from 1 to 65536", text)
	case !ok:
		return "", fmt.Errorf("there is nothing like the type %q", kind)
	case (known == "string") != (m[4] != "" && known != "bool"):
		return "", fmt.Errorf("the address %q does not go with the type %q", text, kind)
	}
	p.register = fmt.Sprintf("%s:%d", tagTables[m[2]], number-1)
	p.kind, p.order = known, tagOrders[m[6]]
	switch {
	case known == "string":
		p.kind = map[string]string{"": "string", "H": "string", "L": "string", "D": "stringl", "E": "stringh"}[m[5]] + "(" + m[4] + ")"
		if m[5] == "L" {
			p.order = "BADC"
		}
	case m[4] != "":
		p.register += "." + m[4]
	}
	return m[1], nil
}

// attributes reads words, or the sum of 1 (read), 2 (write), 4 (subscribe).
func (p *tag) attributes(text string) error {
	sum, err := strconv.Atoi(text)
	if err == nil {
		p.writable, p.onChange = sum&2 != 0, sum&4 != 0
		if sum&8 != 0 {
			return errors.New("it is static: no register")
		}
		return nil
	}
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return r < 'a' || r > 'z' })
	for _, word := range words {
		switch word {
		case "read":
		case "write":
			p.writable = true
		case "subscribe":
			p.onChange = true
		default:
			return fmt.Errorf("there is nothing like the attribute %q", word)
		}
	}
	return nil
}

// numbers reads interval, decimal (the scale), precision (digits) and bias.
func (p *tag) numbers(get func(column string) string) error {
	for column, v := range map[string]*float64{"decimal": &p.scale, "bias": &p.offset} {
		if text := get(column); text != "" {
			x, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return fmt.Errorf("%s (%s) is no number", column, text)
			}
			*v = x
		}
	}
	if text := get("interval"); text != "" {
		ms, err := strconv.Atoi(text)
		if err != nil || ms < 1 {
			return fmt.Errorf("interval (%s) is no number of milliseconds", text)
		}
		p.pace = (time.Duration(ms) * time.Millisecond).String()
	}
	if text := get("precision"); text != "" {
		digits, err := strconv.Atoi(text)
		if err != nil || digits < 0 || digits > 15 {
			return fmt.Errorf("precision (%s) is no number of digits", text)
		}
		p.digits = digits
	}
	return nil
}

// yaml is an adapter with all of them.
func (t *tags) yaml(name, url string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "adapters:\n  - name: %q\n    type: modbus\n    url: %q\n    devices:\n", name, url)
	for _, unit := range t.units {
		fmt.Fprintf(&b, "      - name: unit-%s\n        unit: %s\n        points:\n", unit, unit)
		for _, p := range t.points[unit] {
			fmt.Fprintf(&b, "          - {%s}\n", strings.Join(p.fields(), ", "))
		}
	}
	return b.String()
}

func (p *tag) fields() []string {
	fields := []string{fmt.Sprintf("name: %q", p.name), fmt.Sprintf("register: %q", p.register), "type: " + p.kind}
	add := func(format string, v any, given bool) {
		if given {
			fields = append(fields, fmt.Sprintf(format, v))
		}
	}
	add("order: %s", p.order, p.order != "")
	add("every: %s", p.pace, p.pace != "")
	add("scale: %v", p.scale, p.scale != 0 && p.scale != 1)
	add("offset: %v", p.offset, p.offset != 0)
	add("round: %v", p.digits, p.digits > 0)
	add("writable: %v", p.writable, p.writable)
	add("on_change: %v", p.onChange, p.onChange)
	return fields
}
