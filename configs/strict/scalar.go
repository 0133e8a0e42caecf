package strict

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// scalar is a single value of the file.
type scalar struct {
	text  string // after ${NAME} has been replaced
	shown string // as it stands in the file: the environment's part is not shown
}

// scalar reads a single value.
func (m *Map) scalar(key string) (scalar, bool) {
	e, ok := m.ask(key)
	if !ok {
		return scalar{}, false
	}
	if e.value.Kind != yaml.ScalarNode {
		m.fail(key, "must be a single value, but is "+describe(e.value), "")
		return scalar{}, false
	}
	return m.r.expand(e.value, m.join(key))
}

// expand replaces ${NAME} in a value.
func (r *reader) expand(n *yaml.Node, path string) (scalar, bool) {
	var b strings.Builder
	ok := true
	for rest := n.Value; rest != ""; {
		before, after, found := strings.Cut(rest, "${")
		if !found {
			b.WriteString(rest)
			break
		}
		if literal, dollar := strings.CutSuffix(before, "$"); dollar {
			b.WriteString(literal + "${")
			rest = after
			continue
		}
		name, tail, closed := strings.Cut(after, "}")
		value, set := "", false
		if r.env != nil {
			value, set = r.env(name)
		}
		if !closed || !set {
			r.unset(n, path, name, closed)
			ok = false
		}
		b.WriteString(before + value)
		rest = tail
	}
	return scalar{text: b.String(), shown: n.Value}, ok
}

func (r *reader) unset(n *yaml.Node, path, name string, closed bool) {
	message, hint := fmt.Sprintf("the environment variable %s is not set", name), "set it before the start; for a literal ${ write $${"
	if !closed {
		message, hint = "${ has no closing }", "write ${NAME}; for a literal ${ write $${"
	}
	r.addAt(r.spotOf(n), path, message, hint)
}

// fail notes that the value of a key is wrong; what follows "key (value) ".
func (m *Map) fail(key, what, hint string) {
	e := m.entries[key]
	name := key
	if e.value != nil && e.value.Kind == yaml.ScalarNode {
		name = fmt.Sprintf("%s (%s)", key, shorten(e.value.Value))
	}
	m.r.addAt(m.r.spots[m.join(key)], m.join(key), name+" "+what, hint)
}

// shorten keeps a value that is quoted in a message to a readable length.
func shorten(s string) string {
	s = userInfo.ReplaceAllString(s, "${1}"+hidden+"@")
	if rs := []rune(s); len(rs) > 48 {
		return string(rs[:45]) + "…"
	}
	return s
}

// String reads a text. A number or a truth value is taken as it is written.
func (m *Map) String(key string, v *string) {
	s, ok := m.scalar(key)
	if ok {
		*v = s.text
	}
	m.putText(key, s, ok, *v)
}

// Secret reads a text that is shown nowhere.
func (m *Map) Secret(key string, v *string) {
	if s, ok := m.scalar(key); ok {
		*v = s.text
		m.put(key, text(hidden))
	}
}

// Strings reads a list of texts.
func (m *Map) Strings(key string, v *[]string) {
	if m.Has(key) {
		m.texts(key, m.items(key), v)
		return
	}
	m.putTexts(key, *v)
}

// OneOrMore reads a text, or a list of them.
func (m *Map) OneOrMore(key string, v *[]string) {
	e, ok := m.ask(key)
	switch {
	case !ok:
		m.putTexts(key, *v)
	case e.value.Kind == yaml.ScalarNode:
		if s, ok := m.scalar(key); ok {
			*v = []string{s.text}
			m.putText(key, s, true, s.text)
		}
	default:
		m.texts(key, m.items(key), v)
	}
}

// texts reads the entries of a list.
func (m *Map) texts(key string, items []*yaml.Node, v *[]string) {
	var read, shown []string
	for i, n := range items {
		path := fmt.Sprintf("%s[%d]", m.join(key), i)
		if n = m.r.resolve(n); n == nil {
			return
		}
		m.r.spots[path] = m.r.spotOf(n)
		if n.Kind != yaml.ScalarNode || isNull(n) {
			m.r.addAt(m.r.spotOf(n), path, "an entry of "+key+" must be a single value, but is "+describe(n), "")
			continue
		}
		if s, ok := m.r.expand(n, path); ok {
			read, shown = append(read, s.text), append(shown, s.shown)
		}
	}
	*v = read
	m.putTexts(key, shown)
}

// Bool reads true or false.
func (m *Map) Bool(key string, v *bool) {
	if s, ok := m.scalar(key); ok {
		switch s.text {
		case "true", "false":
			*v = s.text == "true"
		default:
			m.fail(key, "must be true or false", "")
		}
	}
	m.record(key, plain("!!bool", strconv.FormatBool(*v)), !*v)
}

// Choice reads one of a few words.
func Choice[T ~string](m *Map, key string, v *T, allowed ...T) {
	s, ok := m.scalar(key)
	if ok {
		words := make([]string, len(allowed))
		for i, a := range allowed {
			words[i] = string(a)
			if s.text == words[i] {
				*v = a
				m.putText(key, s, true, s.text)
				return
			}
		}
		hint := ""
		if k := closest(s.text, words); k != "" {
			hint = "did you mean \"" + k + "\"?"
		}
		m.fail(key, "must be "+list(words), hint)
	}
	m.putText(key, s, false, string(*v))
}

// Duration reads a time such as 250ms, 5s, 1h30m or 7d, from lo to hi.
func (m *Map) Duration(key string, v *time.Duration, lo, hi time.Duration) {
	if s, ok := m.scalar(key); ok {
		d, err := ParseDuration(s.text)
		switch {
		case err != nil:
			m.fail(key, "must be a time with its unit", hintUnit(s.text, "s", "such as 250ms, 5s, 10m, 1h30m or 7d"))
		case d < lo || d > hi:
			m.fail(key, "must be from "+FormatDuration(lo)+" to "+FormatDuration(hi), "")
		default:
			*v = d
		}
	}
	m.record(key, text(FormatDuration(*v)), *v == 0)
}

// Size reads an amount of bytes such as 64MiB, from lo to hi.
func (m *Map) Size(key string, v *int64, lo, hi int64) {
	if s, ok := m.scalar(key); ok {
		n, err := ParseSize(s.text)
		switch {
		case err != nil:
			m.fail(key, "must be a size with its unit", hintUnit(s.text, "KiB", "such as 512KiB, 64MiB or 2GiB"))
		case n < lo || n > hi:
			m.fail(key, "must be from "+FormatSize(lo)+" to "+FormatSize(hi), "")
		default:
			*v = n
		}
	}
	m.record(key, text(FormatSize(*v)), *v == 0)
}

// hintUnit proposes the unit when only that is missing.
func hintUnit(s, unit, examples string) string {
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return "write " + s + unit + " if that is meant"
	}
	return examples
}

// Integer is what [Int] reads.
type Integer interface {
	~int | ~int64 | ~uint8 | ~uint16 | ~uint32
}

// Int reads a whole number, from lo to hi. 0x introduces a hexadecimal one.
func Int[T Integer](m *Map, key string, v *T, lo, hi T) {
	if s, ok := m.scalar(key); ok {
		n, err := parseInt(s.text)
		switch {
		case err != nil:
			m.fail(key, "must be a whole number", "")
		case n < int64(lo) || n > int64(hi):
			m.fail(key, fmt.Sprintf("must be from %d to %d", lo, hi), "")
		default:
			*v = T(n)
		}
	}
	m.record(key, plain("!!int", strconv.FormatInt(int64(*v), 10)), *v == 0)
}

// parseInt refuses a leading zero, which some read as octal and some do not.
func parseInt(s string) (int64, error) {
	if len(s) > 1 && strings.Trim(s, "0123456789") == "" && s[0] == '0' {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseInt(s, 0, 64)
}

// Float reads a number, from lo to hi, which may be infinite.
func (m *Map) Float(key string, v *float64, lo, hi float64) {
	if s, ok := m.scalar(key); ok {
		f, err := strconv.ParseFloat(s.text, 64)
		switch {
		case err != nil || f-f != 0: // neither a number nor finite
			m.fail(key, "must be a number", "")
		case f < lo || f > hi:
			m.fail(key, "must be "+bounds(lo, hi), "")
		default:
			*v = f
		}
	}
	m.record(key, plain("!!float", strconv.FormatFloat(*v, 'g', -1, 64)), *v == 0)
}

// FloatOrPercent reads a number that is not negative, or one with % behind it; the
// other is 0 then.
func (m *Map) FloatOrPercent(key string, v, percent *float64) {
	s, ok := m.scalar(key)
	number, isPercent := strings.CutSuffix(s.text, "%")
	if !ok || !isPercent {
		m.Float(key, v, 0, math.Inf(1))
		if ok {
			*percent = 0
		}
		return
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(f >= 0) || math.IsInf(f, 1) {
		m.fail(key, "must be a number, or a number with % behind it", "")
		return
	}
	*v, *percent = 0, f
	m.put(key, text(s.text))
}

func bounds(lo, hi float64) string {
	if math.IsInf(hi, 1) {
		return fmt.Sprintf("at least %v", lo)
	}
	return fmt.Sprintf("from %v to %v", lo, hi)
}

// putText records a text: as it may be shown when it was read, else the default.
func (m *Map) putText(key string, s scalar, read bool, fallback string) {
	shown := fallback
	if read {
		shown = s.shown
	}
	if shown != "" {
		m.put(key, text(userInfo.ReplaceAllString(shown, "${1}"+hidden+"@")))
	}
}

func (m *Map) putTexts(key string, vs []string) {
	out := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, v := range vs {
		out.Content = append(out.Content, text(userInfo.ReplaceAllString(v, "${1}"+hidden+"@")))
	}
	m.put(key, out)
}

// text is a node that reads as a text again, whatever it says.
func text(s string) *yaml.Node { return plain("!!str", s) }

func plain(tag, s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: s}
}
