package parse

import (
	"encoding/csv"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Config says how values are read from a frame.
type Config struct {
	// Kind is one of:
	//
	//	raw    the frame's bytes as they are, as one value
	//	text   the frame as one value, if it is text (the default)
	//	csv    columns
	//	json   a document; the names of nested values are joined by dots
	//	kv     name=value or name:value, several in a frame
	//	regex  the named groups of Pattern
	//	nmea   an NMEA 0183 sentence
	//	obis   a telegram of a smart meter (DSMR P1, IEC 62056-21)
	//	sml    a transmission of a smart meter (SML)
	//	binary values at fixed places
	Kind string
	// Fields are the values to report. None means all, by the names that the device
	// gives them (csv: 1, 2, 3 …; raw and text: value).
	Fields []Field
	// Separator is between columns (default ,) or pairs (default: blanks, commas and
	// semicolons). One blank or tab stands for any number of them.
	Separator string
	Pattern   string   // regex only
	Order     Order    // binary only: of the fields that don't say their own; default ABCD
	Sentences []string // nmea only: those to report, such as RMC; none means all
}

// Parser reads one frame into doc. It does not keep the frame.
type Parser interface {
	Parse(frame []byte, doc *Document) error
}

// ErrForeign is a frame that is all right but not asked for.
var ErrForeign = errors.New("not to be reported")

// valueName is the name of a frame's only value.
const valueName = "value"

// Validate returns everything that is wrong with p, joined.
func (p Config) Validate() error {
	_, err := p.Parser()
	errs := []error{err}
	seen := make(map[string]bool)
	for _, f := range p.Fields {
		if f.Skipped() {
			continue
		}
		errs = append(errs, f.validate(p.Kind))
		if seen[f.Name] {
			errs = append(errs, fmt.Errorf("field %s is there twice", f.Name))
		}
		seen[f.Name] = true
	}
	return errors.Join(errs...)
}

// Parser makes the parser of the kind.
func (p Config) Parser() (Parser, error) {
	switch p.Kind {
	case "raw":
		return parserFunc(parseRaw), nil
	case "", "text":
		return parserFunc(parseLine), nil
	case "csv":
		return newCSVParser(p), nil
	case "json":
		return parserFunc(parseJSON), nil
	case "kv":
		return pairParser{p.Separator}, nil
	case "regex":
		return newRegexParser(p.Pattern)
	case "nmea":
		return newNMEAParser(p.Sentences)
	case "obis":
		return newOBISParser(), nil
	case "sml":
		return smlParser{obisParser{obisNames()}}, nil
	case "binary":
		return newBinaryParser(p)
	}
	return nil, fmt.Errorf("parse kind (%q) must be raw, text, csv, json, kv, regex, nmea, obis, sml or binary", p.Kind)
}

type parserFunc func([]byte, *Document) error

func (f parserFunc) Parse(frame []byte, doc *Document) error { return f(frame, doc) }

func parseRaw(frame []byte, doc *Document) error {
	doc.add(valueName, string(frame), "")
	return nil
}

func parseLine(frame []byte, doc *Document) error {
	if !printable(frame) {
		return errNotText
	}
	doc.add(valueName, strings.TrimSpace(string(frame)), "")
	return nil
}

var errNotText = errors.New("it is not text")

// csvParser reads columns by position.
type csvParser struct {
	separator string
	names     []string // "" skips; nil: any number of columns, 1, 2, 3 …
}

func newCSVParser(p Config) csvParser {
	c := csvParser{separator: p.Separator}
	if c.separator == "" {
		c.separator = ","
	}
	for _, f := range p.Fields {
		if f.Skipped() {
			f.Name = ""
		}
		c.names = append(c.names, f.Name)
	}
	return c
}

// Parse refuses another number of columns than configured: half a line must not
// pass for a whole one, nor a value move to the next name.
func (p csvParser) Parse(frame []byte, doc *Document) error {
	if !printable(frame) {
		return errNotText
	}
	columns, err := p.columns(string(frame))
	if err != nil {
		return err
	}
	if p.names != nil && len(columns) != len(p.names) {
		return fmt.Errorf("it has %d columns, not %d", len(columns), len(p.names))
	}
	for i, column := range columns {
		switch {
		case p.names == nil:
			doc.add(fmt.Sprint(i+1), untyped(column), "")
		case p.names[i] != "":
			doc.add(p.names[i], untyped(column), "")
		}
	}
	return nil
}

func (p csvParser) columns(line string) ([]string, error) {
	switch {
	case strings.TrimSpace(p.separator) == "":
		return strings.Fields(line), nil
	case len(p.separator) > 1 || !strings.Contains(line, `"`):
		return strings.Split(line, p.separator), nil
	}
	r := csv.NewReader(strings.NewReader(line))
	r.Comma = rune(p.separator[0])
	columns, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("read its columns: %w", err)
	}
	return columns, nil
}

// pairParser reads name=value pairs.
type pairParser struct{ separator string }

func (p pairParser) Parse(frame []byte, doc *Document) error {
	if !printable(frame) {
		return errNotText
	}
	for _, pair := range p.pairs(string(frame)) {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		i := strings.IndexAny(pair, "=:")
		if i < 1 {
			return fmt.Errorf("%q is not name=value", pair)
		}
		doc.add(strings.TrimSpace(pair[:i]), untyped(pair[i+1:]), "")
	}
	return nil
}

func (p pairParser) pairs(line string) []string {
	switch {
	case p.separator == "":
		return strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t,;", r) })
	case strings.TrimSpace(p.separator) == "":
		return strings.Fields(line)
	}
	return strings.Split(line, p.separator)
}

// regexParser reads the named groups of a pattern.
type regexParser struct{ pattern *regexp.Regexp }

func newRegexParser(pattern string) (Parser, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("pattern: %w", err)
	}
	named := func(name string) bool { return name != "" }
	if !slices.ContainsFunc(re.SubexpNames(), named) {
		return nil, fmt.Errorf("pattern (%q) must have a named group, such as (?P<weight>[0-9.]+)", pattern)
	}
	return regexParser{re}, nil
}

func (p regexParser) Parse(frame []byte, doc *Document) error {
	groups := p.pattern.FindSubmatch(frame)
	if groups == nil {
		return errors.New("the pattern does not match")
	}
	for i, name := range p.pattern.SubexpNames() {
		if name != "" && groups[i] != nil {
			doc.add(name, untyped(groups[i]), "")
		}
	}
	return nil
}
