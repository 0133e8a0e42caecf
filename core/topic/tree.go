package topic

import (
	"hash/maphash"
	"strings"
)

// Tree holds subscriptions: for each filter a set of keys, the subscribers, each
// with a value, its options. The zero value is an empty tree. It is owned by one
// goroutine.
type Tree[K comparable, V any] struct {
	nodes arena[node[K, V]] // the root is row 1
	kids  table             // of the children that are neither + nor #
	long  map[uint32]string // levels that are too long for their node
	seed  maphash.Seed
	count int

	recent recent[K, V]

	// Scratch of Match, taken away while it is in use so that a match within a
	// match has its own.
	now, next []uint32
}

// node is one level of one filter or more. With the keys and values of the broker
// it is just a line of the cache.
type node[K comparable, V any] struct {
	parent uint32
	plus   uint32 // the child +, 0 if none
	hash   uint32 // the child #, 0 if none
	kids   uint32 // other children
	level  label  // which child of parent this is
	subs   set[K, V]
}

// label is a level. A short one lies in the node: to read it elsewhere would cost
// the cache one line more for each step of a match.
type label struct {
	size uint8 // longLabel: the text is in Tree.long
	text [15]byte
}

const longLabel = 0xFF

func (l *label) is(level string) bool {
	return l.size != longLabel && string(l.text[:l.size]) == level
}

// name makes level the label of a node.
func (t *Tree[K, V]) name(id uint32, level string) {
	l := &t.nodes.at(id).level
	if len(level) <= len(l.text) {
		l.size = uint8(copy(l.text[:], level))
		return
	}
	if l.size = longLabel; t.long == nil {
		t.long = make(map[uint32]string)
	}
	t.long[id] = strings.Clone(level) // the filter around it may be longer still
}

// label is the level of a node.
func (t *Tree[K, V]) label(id uint32) string {
	l := &t.nodes.at(id).level
	if l.size == longLabel {
		return t.long[id]
	}
	return string(l.text[:l.size])
}

const root = 1

// Len is the number of subscriptions.
func (t *Tree[K, V]) Len() int { return t.count }

// Insert adds a subscription, or replaces the value of the one that key has to
// the same filter [MQTT-3.8.4-3]. The filter must be valid and without $share, the key
// not the zero one.
func (t *Tree[K, V]) Insert(filter string, key K, value V) (replaced bool) {
	if t.nodes.used == 0 {
		t.seed = maphash.MakeSeed()
		t.nodes.alloc()
	}
	id := uint32(root)
	for level := range strings.SplitSeq(filter, "/") {
		id = t.grow(id, level)
	}
	t.recent.forget()
	replaced = t.nodes.at(id).subs.put(key, value)
	if !replaced {
		t.count++
	}
	return replaced
}

// Get is the value of the subscription that key has to exactly this filter.
func (t *Tree[K, V]) Get(filter string, key K) (value V, ok bool) {
	if n := t.nodes.find(t.find(filter)); n != nil {
		return n.subs.get(key)
	}
	return value, false
}

// Remove ends the subscription that key has to exactly this filter
// [MQTT-3.10.4-1], and says whether there was one.
func (t *Tree[K, V]) Remove(filter string, key K) bool {
	id := t.find(filter)
	n := t.nodes.find(id)
	if n == nil || !n.subs.remove(key) {
		return false
	}
	t.recent.forget()
	if t.count--; t.count == 0 && t.nodes.used > chunkRows {
		*t = Tree[K, V]{} // arenas never shrink: let them go
		return true
	}
	t.prune(id)
	return true
}

// Match calls yield for each subscription whose filter matches the name, in no
// order. A key with several such filters comes as often. yield must not change
// the tree.
func (t *Tree[K, V]) Match(name string, yield func(key K, value V)) {
	switch {
	case t.count == 0:
	case t.count < manyFilters:
		t.walk(name, yield)
	default:
		t.remember(name, yield)
	}
}

// remember is Match for names that may have come before.
func (t *Tree[K, V]) remember(name string, yield func(K, V)) {
	s, known := t.recent.recall(uint32(maphash.String(t.seed, name)), name)
	if !known && s != nil {
		var found []entry[K, V]
		t.walk(name, func(k K, v V) { found = append(found, entry[K, V]{k, v}) })
		t.recent.keep(s, name, found)
	}
	if s == nil || s.many {
		t.walk(name, yield)
		return
	}
	for _, e := range s.found {
		yield(e.key, e.value)
	}
}

// walk goes over the tree level by level.
func (t *Tree[K, V]) walk(name string, yield func(K, V)) {
	now, next := append(t.now[:0], root), t.next[:0]
	t.now, t.next = nil, nil
	skipWild := strings.HasPrefix(name, "$") // [MQTT-4.7.2-1]
	for more := true; more && len(now) > 0; skipWild = false {
		var level string
		level, name, more = strings.Cut(name, "/")
		next = t.step(next[:0], now, level, skipWild, yield)
		now, next = next, now
	}
	for _, id := range now { // the nodes at which the name ends
		n := t.nodes.at(id)
		n.subs.each(yield)
		t.each(n.hash, yield) // a/# matches a too
	}
	t.now, t.next = now, next
}

// step appends to next the children of the nodes in now that match a level, and
// yields what # matches there.
func (t *Tree[K, V]) step(next, now []uint32, level string, skipWild bool, yield func(K, V)) []uint32 {
	hash := maphash.String(t.seed, level)
	for _, id := range now {
		n := t.nodes.at(id)
		if !skipWild {
			t.each(n.hash, yield)
			if n.plus != 0 {
				next = append(next, n.plus)
			}
		}
		if n.kids == 0 {
			continue
		}
		if child := t.kid(id, level, mix(hash, id)); child != 0 {
			next = append(next, child)
		}
	}
	return next
}

// mix is the hash of an edge: from a node to its child at a level with this hash.
func mix(level uint64, node uint32) uint32 {
	return uint32((level ^ uint64(node)) * 0x9E37_79B9_7F4A_7C15 >> 32)
}

// kid is the child of a node at a level that is no wildcard, 0 if there is none.
func (t *Tree[K, V]) kid(id uint32, level string, hash uint32) uint32 {
	if t.kids.used == 0 {
		return 0
	}
	for i := t.kids.home(hash); ; i = t.kids.next(i) {
		s := t.kids.seats[i]
		if s.row == 0 {
			return 0
		}
		if s.hash != hash {
			continue
		}
		if n := t.nodes.at(s.row); n.parent == id && (n.level.is(level) || n.level.size == longLabel && t.long[s.row] == level) {
			return s.row
		}
	}
}

// each yields the subscriptions that end at a node, which may be 0.
func (t *Tree[K, V]) each(id uint32, yield func(K, V)) {
	if id != 0 {
		t.nodes.at(id).subs.each(yield)
	}
}

// find is the node of a filter, 0 if there is none.
func (t *Tree[K, V]) find(filter string) uint32 {
	if t.count == 0 {
		return 0
	}
	id := uint32(root)
	for level := range strings.SplitSeq(filter, "/") {
		if id = t.child(id, level); id == 0 {
			return 0
		}
	}
	return id
}

// child is the child of a node at a level, 0 if there is none.
func (t *Tree[K, V]) child(id uint32, level string) uint32 {
	switch level {
	case plus:
		return t.nodes.at(id).plus
	case hash:
		return t.nodes.at(id).hash
	}
	return t.kid(id, level, t.edge(id, level))
}

func (t *Tree[K, V]) edge(id uint32, level string) uint32 {
	return mix(maphash.String(t.seed, level), id)
}

// grow is the child of a node at a level, made if there is none.
func (t *Tree[K, V]) grow(id uint32, level string) uint32 {
	if child := t.child(id, level); child != 0 {
		return child
	}
	child, c := t.nodes.alloc()
	c.parent = id
	t.name(child, level)
	switch n := t.nodes.at(id); level {
	case plus:
		n.plus = child
	case hash:
		n.hash = child
	default:
		t.kids.add(t.edge(id, level), child)
		n.kids++
	}
	return child
}

// prune removes a node that leads nowhere, and those above it that were only there
// for it.
func (t *Tree[K, V]) prune(id uint32) {
	for id != root {
		n := t.nodes.at(id)
		if n.subs.len() != 0 || n.plus != 0 || n.hash != 0 || n.kids != 0 {
			return
		}
		parent := t.nodes.at(n.parent)
		switch level := t.label(id); level {
		case plus:
			parent.plus = 0
		case hash:
			parent.hash = 0
		default:
			t.kids.remove(t.edge(n.parent, level), id)
			delete(t.long, id)
			parent.kids--
		}
		above := n.parent
		t.nodes.release(id)
		id = above
	}
}
