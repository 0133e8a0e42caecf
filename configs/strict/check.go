package strict

import (
	"fmt"
	"regexp"
	"strings"
)

// Problem notes that something is wrong with a key, or with the section itself
// when key is "".
func (m *Map) Problem(key, message, hint string) {
	path := m.join(key)
	if key == "" {
		path = m.path
	}
	m.r.addAt(m.place(key), path, message, hint)
}

// Warn notes that something of a key deserves attention.
func (m *Map) Warn(key, message, hint string) {
	m.Problem(key, message, hint)
	m.r.problems[len(m.r.problems)-1].Warning = true
}

// place is that of a key's value, else of the section.
func (m *Map) place(key string) spot {
	if s, ok := m.r.spots[m.join(key)]; ok && key != "" {
		return s
	}
	return m.spot
}

// Line is the line of the file that a key's value is in, for messages about two
// places.
func (m *Map) Line(key string) int { return m.place(key).line }

// Require notes each of the keys that is missing.
func (m *Map) Require(keys ...string) {
	for _, k := range keys {
		if !m.Has(k) {
			m.r.addAt(m.spot, m.join(k), fmt.Sprintf("key %q is missing here", k), "")
		}
	}
}

// Need reads a text that must be there. Where it is not, which is noted, v is a
// stand-in, so that a later check does not miss it once more.
func (m *Map) Need(key string, v *string) {
	m.Require(key)
	if m.String(key, v); *v != "" {
		return
	}
	if m.Has(key) {
		m.Problem(key, key+" must not be empty", "")
	}
	*v = "?"
}

// Skip takes all keys of the section for known, where nothing can be said about
// them because of another problem.
func (m *Map) Skip() { m.asked = append(m.asked, m.keys...) }

// Names finds names that are used twice. The zero value is ready.
type Names struct{ lines map[string]int }

// Unique notes that a name, the value of key, was claimed before. What it returns
// is the name, or a stand-in for one that is used twice, so that a later check
// can tell the two apart.
func (m *Map) Unique(key, name string, used *Names) string {
	if !m.Has(key) {
		return name
	}
	if used.lines == nil {
		used.lines = make(map[string]int)
	}
	first, twice := used.lines[name]
	if !twice {
		used.lines[name] = m.place(key).line
		return name
	}
	m.Problem(key, fmt.Sprintf("the name %q is used twice", name), fmt.Sprintf("the first is in line %d; names must differ", first))
	return fmt.Sprintf("%s in line %d", name, m.place(key).line)
}

// Called gives the section another name, which the errors of other packages use
// for it: "device m1" for devices[0], say. Names are those below the section in
// which this one stands.
func (m *Map) Called(name string) {
	if m.parent != nil {
		m.r.called[m.parent.path+"\x00"+name] = m
	}
}

// Check notes what another package found wrong in the section. Each part of a
// joined error gets the place that it names: by names and a path, as in
// "device m1: point voltage: unit (0) must be …" or "out[2].qos (3) must be …".
// What has a problem already is not blamed twice.
func (m *Map) Check(err error) {
	switch joined, ok := err.(interface{ Unwrap() []error }); {
	case err == nil:
	case ok:
		for _, e := range joined.Unwrap() {
			m.Check(e)
		}
	default:
		p := m.locate(err.Error())
		if !m.r.blamed(p.Path) && !m.r.said(m.path, p.checked) {
			m.r.add(p)
		}
	}
}

// locate finds the place that a message names: first sections by their names,
// then a path below the last of them ("a + b" are two, of which one is enough).
// What is not there has the place of what it would stand in.
func (m *Map) locate(text string) Problem {
	at, message := m.section(text)
	keys := leadingKeys(message)
	p := Problem{Path: at.join(keys[0]), Message: message[strings.LastIndexByte(keys[0], '.')+1:], Hint: guess(message), checked: text}
	s := at.nearest(keys[0])
	for _, key := range keys {
		if found, ok := m.r.spots[at.join(key)]; ok {
			s, p.Path = found, at.join(key)
			break
		}
	}
	p.Line, p.Column, p.Width = s.line, s.column, s.width
	return p
}

// leadingKeys is the path, or the paths, with which a message begins.
func leadingKeys(message string) []string {
	if i := strings.IndexAny(message, ":("); i >= 0 {
		message = message[:i]
	}
	keys := strings.Split(strings.TrimSpace(message), " + ")
	first, _, _ := strings.Cut(keys[0], " ")
	folder := first[:strings.LastIndexByte(first, '.')+1]
	for i, k := range keys[1:] {
		keys[i+1] = folder + k
	}
	keys[0] = first
	return keys
}

// nearest is the place of the section or list in which a key would stand.
func (m *Map) nearest(key string) spot {
	for key != "" {
		key = key[:max(0, strings.LastIndexAny(key, ".["))]
		if s, ok := m.r.spots[m.join(key)]; ok && key != "" {
			return s
		}
	}
	return m.spot
}

// choices is a message that names a wrong value and the right ones.
var choices = regexp.MustCompile(`\("?([^")]*)"?\) must be (.*)$`)

// guess proposes the right value that was probably meant.
func guess(message string) string {
	m := choices.FindStringSubmatch(message)
	if m == nil {
		return ""
	}
	words := strings.FieldsFunc(m[2], func(r rune) bool { return r == ',' || r == ' ' })
	if k := closest(m[1], words); k != "" && k != m[1] {
		return "did you mean \"" + k + "\"?"
	}
	return ""
}

// section follows the names at the beginning of a message; what is left of it is
// about the section that was found.
func (m *Map) section(message string) (*Map, string) {
	name, rest, found := strings.Cut(message, ": ")
	if sub := m.r.called[m.path+"\x00"+name]; found && sub != nil {
		return sub.section(rest)
	}
	return m, message
}

// said says whether an earlier check of a part of the section at path noted the
// same text: it knew the place better.
func (r *reader) said(path, text string) bool {
	for _, p := range r.problems {
		if p.checked == text && strings.HasPrefix(p.Path, path) {
			return true
		}
	}
	return false
}

// blamed says whether there is an error at path already.
func (r *reader) blamed(path string) bool {
	for _, p := range r.problems {
		if p.Path == path && !p.Warning {
			return true
		}
	}
	return false
}
