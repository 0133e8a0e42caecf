package parse

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// obisParser reads the telegram of a smart meter: lines of a code and values in
// brackets, 1-0:1.8.1(000004.426*kWh). Codes that many meters have get a name;
// the others keep their code.
//
// A line with several values (a gas meter's: time of the reading, then the
// reading) stands for its last one. Logs of past events are left out.
type obisParser struct {
	names map[string]string // by code without medium and channel
}

func newOBISParser() Parser { return obisParser{obisNames()} }

func (p obisParser) Parse(telegram []byte, doc *Document) error {
	text := strings.ReplaceAll(string(telegram), "\r", "")
	if !strings.HasPrefix(text, "/") || !printable([]byte(strings.ReplaceAll(text, "\n", ""))) {
		return errors.New("it is not a telegram")
	}
	// A value may be on a line of its own, after its code's.
	text = strings.ReplaceAll(text, "\n(", "(")
	for line := range strings.Lines(text[1:]) {
		line = strings.TrimSpace(line)
		if line == "!" {
			break
		}
		code, values, ok := strings.Cut(line, "(")
		if !ok {
			continue // the meter's make, an empty line
		}
		groups, err := obisGroups("(" + values)
		if err != nil {
			return fmt.Errorf("%s: %w", code, err)
		}
		if err := p.read(code, groups, doc); err != nil {
			return fmt.Errorf("%s: %w", code, err)
		}
	}
	return nil
}

// obisGroups splits "(a)(b)" into a and b.
func obisGroups(s string) ([]string, error) {
	var groups []string
	for s != "" {
		end := strings.IndexByte(s, ')')
		if s[0] != '(' || end < 0 {
			return nil, errors.New("its brackets don't match")
		}
		groups = append(groups, s[1:end])
		s = s[end+1:]
	}
	return groups, nil
}

// read adds the value of one line.
func (p obisParser) read(code string, groups []string, doc *Document) error {
	medium, register, ok := obisCode(code)
	if !ok {
		return errors.New("it is no OBIS code")
	}
	last := groups[len(groups)-1]
	switch {
	case register == "99.97.0", register == "98.1.0", last == "":
		return nil // a log, or no value
	case register == "24.3.0" && len(groups) == 7: // a gas meter of DSMR 2 and 3
		last += "*" + groups[5]
	}
	v, unit, err := obisValue(register, last)
	if err != nil {
		return err
	}
	doc.add(p.name(code, medium, register), v, unit)
	return nil
}

// obisCode splits 1-0:1.8.0*255 into medium and channel, 1-0, and register, 1.8.0.
func obisCode(code string) (medium, register string, ok bool) {
	medium, register, ok = strings.Cut(code, ":")
	register, _, _ = strings.Cut(register, "*")
	ok = ok && digits(strings.Replace(medium, "-", "", 1)) && digits(strings.ReplaceAll(register, ".", "")) &&
		strings.Count(register, ".") == 2
	return medium, register, ok
}

// name is the known name of a code. Meters behind the meter, 0-1 to 0-9, have
// their channel in it.
func (p obisParser) name(code, medium, register string) string {
	if len(medium) == 3 && medium[:2] == "0-" && medium[2] != '0' {
		switch register {
		case "24.2.1", "24.2.3", "24.3.0":
			return "mbus" + medium[2:] + "_reading"
		case "24.1.0":
			return "mbus" + medium[2:] + "_type"
		case "96.1.0", "96.1.1":
			return "mbus" + medium[2:] + "_id"
		}
		return strings.ReplaceAll(code, "*255", "")
	}
	if name, ok := p.names[register]; ok {
		return name
	}
	return strings.ReplaceAll(code, "*255", "")
}

// obisValue reads a value by its form: with a unit it is a number. A few registers
// are known to be names and times.
func obisValue(register, s string) (v any, unit string, err error) {
	switch register {
	case "1.0.0":
		t, ok := obisTime(s)
		if !ok {
			return nil, "", fmt.Errorf("%q is no time", s)
		}
		return t, "", nil
	case "96.1.0", "96.1.1", "96.13.0", "96.13.1":
		return obisText(s), "", nil
	case "96.1.4", "96.1.255", "0.0.0", "0.2.8":
		return s, "", nil
	}
	number, unit, hasUnit := strings.Cut(s, "*")
	v, ok := parseNumber(number)
	switch {
	case ok:
		return v, unit, nil
	case hasUnit:
		return nil, "", fmt.Errorf("%q is not a number", number)
	}
	return s, "", nil
}

// obisText reads text that is sent as hexadecimal digits.
func obisText(s string) string {
	if b, err := hex.DecodeString(s); err == nil && printable(b) {
		return string(b)
	}
	return s
}

// obisTime reads YYMMDDhhmmss with S for summer time or W for winter time, in
// the zone of these meters, UTC+1.
func obisTime(s string) (string, bool) {
	if len(s) != 13 || !within(s[4:6]+s[2:4]+s[:2], 1, 31, 12, 99) || !within(s[6:12], 0, 23, 59, 59) {
		return "", false
	}
	zone := "+01:00"
	switch s[12] {
	case 'S':
		zone = "+02:00"
	case 'W':
	default:
		return "", false
	}
	return fmt.Sprintf("20%s-%s-%sT%s:%s:%s%s", s[:2], s[2:4], s[4:6], s[6:8], s[8:10], s[10:12], zone), true
}

// obisNames are the names of registers.
func obisNames() map[string]string {
	names := map[string]string{
		"1.0.0":   "time",
		"96.1.1":  "equipment_id",
		"96.14.0": "tariff",
		"96.13.0": "message",
		"96.13.1": "message_code",
		"96.7.21": "power_failures",
		"96.7.9":  "long_power_failures",
		"16.7.0":  "power",
		"1.7.0":   "power_import",
		"2.7.0":   "power_export",
		"1.8.0":   "energy_import",
		"1.8.1":   "energy_import_t1",
		"1.8.2":   "energy_import_t2",
		"2.8.0":   "energy_export",
		"2.8.1":   "energy_export_t1",
		"2.8.2":   "energy_export_t2",
		"1.4.0":   "power_import_average",
		"1.6.0":   "power_import_peak",
	}
	// Registers of the phases: 20 apart.
	for i, phase := range []string{"l1", "l2", "l3"} {
		register := func(first int, rest string) string { return fmt.Sprintf("%d.%s", first+20*i, rest) }
		names[register(21, "7.0")] = "power_import_" + phase
		names[register(22, "7.0")] = "power_export_" + phase
		names[register(31, "7.0")] = "current_" + phase
		names[register(32, "7.0")] = "voltage_" + phase
		names[register(32, "32.0")] = "voltage_sags_" + phase
		names[register(32, "36.0")] = "voltage_swells_" + phase
	}
	return names
}
