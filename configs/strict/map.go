package strict

import (
	"fmt"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v4"
)

// Map is a section of the file: keys with their values. Its methods ask for
// keys. A key that is absent, or present without a value, leaves the variable
// as it is, which is how defaults are given. Every method notes what is wrong
// with the value and then leaves the variable alone, too.
type Map struct {
	r       *reader
	parent  *Map
	path    string
	spot    spot
	keys    []string // of the file, in its order
	entries map[string]entry
	asked   []string
	out     *yaml.Node
}

// entry is a key of the file with its value, aliases resolved.
type entry struct {
	key, value *yaml.Node
	merged     bool // by <<: another value of the same key hides it
}

func (r *reader) newMap(parent *Map, path string, at *yaml.Node) *Map {
	m := &Map{r: r, parent: parent, path: path, entries: make(map[string]entry), out: &yaml.Node{Kind: yaml.MappingNode}}
	if at != nil {
		m.spot = r.spotOf(at)
	}
	return m
}

// fill takes the keys of n, which ought to be a mapping.
func (m *Map) fill(n *yaml.Node) {
	if n = m.r.resolve(n); n == nil {
		return
	}
	if n.Kind != yaml.MappingNode {
		m.r.addAt(m.r.spotOf(n), m.path, "this must be a section of keys, but is "+describe(n), "write it as \"key: value\" lines, or as {key: value, key: value}")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		m.take(n.Content[i], n.Content[i+1])
	}
}

// fillShort is fill, but a single value is that of the key main.
func (m *Map) fillShort(n *yaml.Node, main string) {
	if v := m.r.resolve(n); main == "" || v == nil || v.Kind != yaml.ScalarNode || isNull(v) {
		m.fill(n)
		return
	}
	m.keys = append(m.keys, main)
	m.entries[main] = entry{key: n, value: m.r.resolve(n)}
}

func (m *Map) take(key, value *yaml.Node) {
	if key.ShortTag() == "!!merge" {
		m.merge(value)
		return
	}
	k := m.r.resolve(key)
	value = m.r.resolve(value)
	if k == nil || value == nil {
		return
	}
	if k.Kind != yaml.ScalarNode {
		m.r.addAt(m.r.spotOf(key), m.path, "a key must be a single word, but is "+describe(k), "")
		return
	}
	if first, twice := m.entries[k.Value]; twice && !first.merged {
		m.r.addAt(m.r.spotOf(key), m.join(k.Value), fmt.Sprintf("key %q stands here twice", k.Value), fmt.Sprintf("the first is in line %d; keep one of them", first.key.Line))
		return
	} else if !twice {
		m.keys = append(m.keys, k.Value)
	}
	m.entries[k.Value] = entry{key: k, value: value}
}

// merge takes the keys of another section, or of several, that m has not itself.
func (m *Map) merge(from *yaml.Node) {
	n := m.r.resolve(from)
	switch {
	case n == nil:
	case n.Kind == yaml.MappingNode:
		m.mergeKeys(n)
	case n.Kind == yaml.SequenceNode:
		for _, c := range n.Content {
			if c = m.r.resolve(c); c != nil && c.Kind == yaml.MappingNode {
				m.mergeKeys(c)
			}
		}
	default:
		m.r.addAt(m.r.spotOf(from), m.path, "<< must be followed by another section, but is followed by "+describe(n), "write <<: *name, where &name marks the section to take over")
	}
}

func (m *Map) mergeKeys(n *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := m.r.resolve(n.Content[i]), m.r.resolve(n.Content[i+1])
		if k == nil || v == nil || k.Kind != yaml.ScalarNode {
			continue
		}
		if _, have := m.entries[k.Value]; !have {
			m.keys = append(m.keys, k.Value)
			m.entries[k.Value] = entry{key: k, value: v, merged: true}
		}
	}
}

// close notes the keys that nobody asked for.
func (m *Map) close() {
	for _, k := range m.keys {
		if !slices.Contains(m.asked, k) {
			m.r.addAt(m.r.spotOf(m.entries[k].key), m.join(k), fmt.Sprintf("unknown key %q", k), suggestion(k, "key", m.asked))
		}
	}
}

// ask looks a key up and remembers its place; a key without a value is absent.
func (m *Map) ask(key string) (entry, bool) {
	if !slices.Contains(m.asked, key) {
		m.asked = append(m.asked, key)
	}
	e, ok := m.entries[key]
	if !ok {
		return entry{}, false
	}
	at := e.key
	if e.value.Kind == yaml.ScalarNode && !isNull(e.value) {
		at = e.value
	}
	m.r.spots[m.join(key)] = m.r.spotOf(at)
	return e, !isNull(e.value)
}

func (m *Map) join(key string) string {
	if m.path == "" {
		return key
	}
	return m.path + "." + key
}

// Keys are the keys of a section whose keys are the user's own names, in the
// order of the file. They count as asked for.
func (m *Map) Keys() []string {
	for _, key := range m.keys {
		m.ask(key)
	}
	return slices.Clone(m.keys)
}

// Has says whether the key is there with a value. It counts as asked for.
func (m *Map) Has(key string) bool {
	_, ok := m.ask(key)
	return ok
}

// There says whether the key stands in the file, even without a value. It counts as
// asked for.
func (m *Map) There(key string) bool {
	m.ask(key)
	_, ok := m.entries[key]
	return ok
}

// Where is the place of the section, such as "weir.yaml:12".
func (m *Map) Where() string {
	return fmt.Sprintf("%s:%d", filepath.Base(m.r.src.file), m.spot.line)
}

// Map reads a section that may be absent.
func (m *Map) Map(key string, read func(*Map)) {
	if m.Has(key) {
		m.Section(key, read)
	}
}

// Section reads a section whose defaults hold when it is absent.
func (m *Map) Section(key string, read func(*Map)) {
	e, ok := m.ask(key)
	sub := m.r.newMap(m, m.join(key), e.key)
	if ok {
		sub.fill(e.value)
	}
	read(sub)
	sub.close()
	m.put(key, sub.out)
}

// Short reads a section that may be absent, or be a single value: that is the
// value of its key main then.
func (m *Map) Short(key, main string, read func(*Map)) {
	e, ok := m.ask(key)
	if !ok {
		return
	}
	sub := m.r.newMap(m, m.join(key), e.key)
	sub.fillShort(e.value, main)
	read(sub)
	sub.close()
	m.put(key, sub.out)
}

// ListOrOne reads a list of sections. Where there is none, an empty section
// stands for the only entry, with its defaults.
func (m *Map) ListOrOne(key string, read func(*Map)) {
	m.List(key, read)
	if len(m.entries[key].nodes()) > 0 {
		return
	}
	sub := m.r.newMap(m, m.join(key)+"[0]", nil)
	read(sub)
	m.put(key, &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{sub.out}})
}

// nodes is the entries of a list, or whatever else stands there.
func (e entry) nodes() []*yaml.Node {
	switch {
	case e.value == nil || isNull(e.value):
		return nil
	case e.value.Kind == yaml.SequenceNode:
		return e.value.Content
	}
	return []*yaml.Node{e.value}
}

// List reads a list of sections.
func (m *Map) List(key string, read func(*Map)) { m.ShortList(key, "", read) }

// ShortList reads a list of sections. An entry may be a single value: that is
// the value of its key main then.
func (m *Map) ShortList(key, main string, read func(*Map)) {
	out := &yaml.Node{Kind: yaml.SequenceNode}
	for i, n := range m.items(key) {
		sub := m.r.newMap(m, fmt.Sprintf("%s[%d]", m.join(key), i), n)
		m.r.spots[sub.path] = sub.spot
		sub.fillShort(n, main)
		read(sub)
		sub.close()
		out.Content = append(out.Content, sub.out)
	}
	m.put(key, out)
}

// items is the entries of a list.
func (m *Map) items(key string) []*yaml.Node {
	e, ok := m.ask(key)
	if !ok {
		return nil
	}
	if e.value.Kind != yaml.SequenceNode {
		m.fail(key, "must be a list, but is "+describe(e.value), "begin each entry with \"- \", or write [entry, entry]")
		return nil
	}
	return e.value.Content
}

// record puts a value into the tree, unless it is absent and says nothing.
func (m *Map) record(key string, value *yaml.Node, zero bool) {
	if _, there := m.entries[key]; there || !zero {
		m.put(key, value)
	}
}

// put records the effective value of a key; empty sections and lists are left out.
func (m *Map) put(key string, value *yaml.Node) {
	if value.Kind != yaml.ScalarNode && len(value.Content) == 0 {
		return
	}
	for i := 0; i+1 < len(m.out.Content); i += 2 {
		if m.out.Content[i].Value == key {
			m.out.Content[i+1] = value
			return
		}
	}
	m.out.Content = append(m.out.Content, text(key), value)
}

// describe names a node's kind.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a section of keys"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "empty"
	default:
		return "a single value"
	}
}
