package strict

import (
	"fmt"
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

// Require notes each of the keys that is missing.
func (m *Map) Require(keys ...string) {
	for _, k := range keys {
		if !m.Has(k) {
			m.r.addAt(m.spot, m.join(k), fmt.Sprintf("key %q is missing here", k), "")
		}
	}
}

// Unavailable refuses a key that this version knows but cannot obey: what asks
// for safety must never be ignored in silence.
func (m *Map) Unavailable(key, instead string) {
	if e, ok := m.ask(key); ok {
		m.r.addAt(m.r.spotOf(e.key), m.join(key), fmt.Sprintf("%s is not available in this version", key), instead)
	}
}

// Skip takes all keys of the section for known, where nothing can be said about
// them because of another problem.
func (m *Map) Skip() { m.asked = append(m.asked, m.keys...) }

// Names finds names that are used twice. The zero value is ready.
type Names struct{ lines map[string]int }

// Unique notes that the name, the value of key, was claimed before.
func (m *Map) Unique(key, name string, used *Names) {
	if name == "" {
		return
	}
	s := m.place(key)
	if line, twice := used.lines[name]; twice && line != s.line {
		m.r.addAt(s, m.join(key), fmt.Sprintf("the name %q is used twice", name), fmt.Sprintf("the first is in line %d; names must differ", line))
		return
	}
	if used.lines == nil {
		used.lines = make(map[string]int)
	}
	used.lines[name] = s.line
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
// then a path below the last of them. What is not there has the place of what
// it would stand in.
func (m *Map) locate(text string) Problem {
	at, message := m.section(text)
	key := message
	if i := strings.IndexAny(message, " :("); i >= 0 {
		key = message[:i]
	}
	p := Problem{Path: at.join(key), Message: message[strings.LastIndexByte(key, '.')+1:], checked: text}
	s := at.spot
	for k := key; k != ""; k = k[:max(0, strings.LastIndexAny(k, ".["))] {
		if found, ok := m.r.spots[at.join(k)]; ok {
			s = found
			break
		}
	}
	p.Line, p.Column, p.Width = s.line, s.column, s.width
	return p
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
