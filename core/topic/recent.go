package topic

import "strings"

// recent remembers what matched the names that come again and again, as those of
// devices do: then a match costs the same however many filters there are. A name is
// remembered when it is seen for the second time, so that names that come once cost
// nothing but a look; a change of the tree forgets them all.
//
// It is a table with some places, a set, for each hash. Who was asked for since the
// last time that a place of the set was wanted keeps it.
type recent[K comparable, V any] struct {
	slots  []memory[K, V]
	filled []uint32 // sets with a name, some of them more than once; at most recentSlots
}

// memory is a name that was seen: once if name is empty, more often otherwise.
type memory[K comparable, V any] struct {
	hash  uint32
	asked bool
	many  bool // more than maxFound: it has to be looked for
	name  string
	found []entry[K, V] // immutable
}

const (
	recentSlots = 4096
	ways        = 2
	maxFound    = 16
	// manyFilters is from when on it is worth the memory.
	manyFilters = 64
)

// recall finds a name. known: s says what matches it; otherwise it is where that is
// to be remembered, nil if it is not.
func (r *recent[K, V]) recall(hash uint32, name string) (s *memory[K, V], known bool) {
	if r.slots == nil {
		r.slots = make([]memory[K, V], recentSlots)
	}
	set := r.slots[hash%(recentSlots/ways)*ways:][:ways]
	for i := range set {
		switch s := &set[i]; {
		case s.hash != hash:
		case s.name == name:
			s.asked = true
			return s, true
		case s.name == "":
			return s, false
		}
	}
	for i := range set {
		if s := &set[i]; !s.asked {
			*s = memory[K, V]{hash: hash}
			return nil, false
		}
	}
	for i := range set {
		set[i].asked = false
	}
	return nil, false
}

// keep remembers what was found for a name, in the place that recall gave.
func (r *recent[K, V]) keep(s *memory[K, V], name string, found []entry[K, V]) {
	hash := s.hash
	if len(r.filled) == recentSlots {
		r.forget()
	}
	if *s = (memory[K, V]{hash: hash, asked: true, name: strings.Clone(name), found: found}); len(found) > maxFound {
		s.many, s.found = true, nil
	}
	r.filled = append(r.filled, hash%(recentSlots/ways)*ways)
}

// forget is called when the tree has changed.
func (r *recent[K, V]) forget() {
	for _, at := range r.filled {
		clear(r.slots[at:][:ways])
	}
	r.filled = r.filled[:0]
}
