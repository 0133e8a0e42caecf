package parse

import (
	"fmt"

	"github.com/weir-edge/weir/adapters"
)

// Shaper makes of what a parser read what the configuration asks for.
type Shaper struct {
	fields map[string][]Field // by the value's name in the frame; nil: all values as they are
	rule   adapters.Rule      // of values that no field names
}

// NewShaper makes the shaper of p; rule is for the values that no field names.
func NewShaper(p Config, rule adapters.Rule) Shaper {
	if len(p.Fields) == 0 {
		return Shaper{rule: rule}
	}
	s := Shaper{fields: make(map[string][]Field)}
	for _, f := range p.Fields {
		if !f.Skipped() {
			from := f.source(p.Kind)
			if p.Kind == "binary" {
				f.Type = "" // the parser has seen to it
			}
			s.fields[from] = append(s.fields[from], f)
		}
	}
	return s
}

// source is the name in the frame of the value that the field takes.
func (f Field) source(kind string) string {
	switch {
	case kind == "csv", kind == "binary":
		return f.Name
	case f.From != "":
		return f.From
	case kind == "raw", kind == "text", kind == "":
		return valueName
	}
	return f.Name
}

// Shape appends the shaped values of doc to dst; those that the device left
// empty are not among them. One value that isn't what it should be is an error:
// where one is harmed, the others of the frame can't be trusted.
func (s Shaper) Shape(dst []Value, doc *Document) ([]Value, error) {
	for _, v := range doc.Values {
		if s.fields == nil {
			if v.Any, _ = convert(v.Any, ""); v.Any != nil {
				v.Rule = s.rule
				dst = append(dst, v)
			}
			continue
		}
		for _, f := range s.fields[v.Name] {
			shaped, ok := f.shape(v)
			if !ok {
				return nil, fmt.Errorf("field %s: %q is not a %s", f.Name, asText(v.Any), f.kind(v.Any))
			}
			if shaped.Any != nil {
				dst = append(dst, shaped)
			}
		}
	}
	return dst, nil
}
