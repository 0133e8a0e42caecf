package serial

import (
	"fmt"

	"github.com/weir-edge/weir/adapters"
)

// shaper makes of what a parser read what the configuration asks for.
type shaper struct {
	fields map[string][]Field // by the value's name in the frame; nil: all values as they are
	rule   adapters.Rule      // of values that no field names
}

func newShaper(p Parse, rule adapters.Rule) shaper {
	if len(p.Fields) == 0 {
		return shaper{rule: rule}
	}
	s := shaper{fields: make(map[string][]Field)}
	for _, f := range p.Fields {
		if !f.skipped() {
			from := f.source(p.Kind)
			s.fields[from] = append(s.fields[from], f)
		}
	}
	return s
}

// source is the name in the frame of the value that the field takes.
func (f Field) source(kind string) string {
	switch {
	case kind == "csv":
		return f.Name
	case f.From != "":
		return f.From
	case kind == "raw", kind == "text", kind == "":
		return valueName
	}
	return f.Name
}

// shape appends the shaped values of doc to dst; those that the device left
// empty are not among them. One value that isn't what it should be is an error:
// where one is harmed, the others of the frame can't be trusted.
func (s shaper) shape(dst []value, doc *document) ([]value, error) {
	for _, v := range doc.values {
		if s.fields == nil {
			if v.any, _ = convert(v.any, ""); v.any != nil {
				v.rule = s.rule
				dst = append(dst, v)
			}
			continue
		}
		for _, f := range s.fields[v.name] {
			shaped, ok := f.shape(v)
			if !ok {
				return nil, fmt.Errorf("field %s: %q is not a %s", f.Name, asText(v.any), f.kind(v.any))
			}
			if shaped.any != nil {
				dst = append(dst, shaped)
			}
		}
	}
	return dst, nil
}
