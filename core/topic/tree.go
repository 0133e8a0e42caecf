package topic

import "strings"

// Tree holds subscriptions: for each filter a set of keys, the subscribers, each
// with a value, its options. The zero value is an empty tree. It is owned by one
// goroutine.
type Tree[K comparable, V any] struct {
	nodes  arena[node[K, V]] // the root is row 1
	edges  map[edge]uint32   // to the children that are neither + nor #
	levels interner
	count  int

	// Scratch of Match, taken away while it is in use so that a match within a
	// match has its own.
	now, next []uint32
}

// node is one level of one filter or more.
type node[K comparable, V any] struct {
	parent uint32
	level  uint32 // which child of parent this is: atPlus, atHash or an interned level
	plus   uint32 // the child +, 0 if none
	hash   uint32 // the child #, 0 if none
	kids   uint32 // children in edges
	subs   *set[K, V]
}

// edge leads from a node to its child at a level.
type edge struct{ node, level uint32 }

const root = 1

// Levels that are not interned.
const (
	atPlus uint32 = 0xFFFF_FFFE
	atHash uint32 = 0xFFFF_FFFF
)

// Len is the number of subscriptions.
func (t *Tree[K, V]) Len() int { return t.count }

// Insert adds a subscription, or replaces the value of the one that key has to
// the same filter [MQTT-3.8.4-3]. The filter must be valid and without $share.
func (t *Tree[K, V]) Insert(filter string, key K, value V) (replaced bool) {
	if t.edges == nil {
		t.edges = make(map[edge]uint32)
		t.nodes.alloc()
	}
	id := uint32(root)
	for level := range strings.SplitSeq(filter, "/") {
		id = t.grow(id, level)
	}
	n := t.nodes.at(id)
	if n.subs == nil {
		n.subs = new(set[K, V])
	}
	replaced = n.subs.put(key, value)
	if !replaced {
		t.count++
	}
	return replaced
}

// Get is the value of the subscription that key has to exactly this filter.
func (t *Tree[K, V]) Get(filter string, key K) (value V, ok bool) {
	if n := t.nodes.find(t.find(filter)); n != nil && n.subs != nil {
		if i := n.subs.find(key); i >= 0 {
			return n.subs.entries[i].value, true
		}
	}
	return value, false
}

// Remove ends the subscription that key has to exactly this filter
// [MQTT-3.10.4-1], and says whether there was one.
func (t *Tree[K, V]) Remove(filter string, key K) bool {
	id := t.find(filter)
	n := t.nodes.find(id)
	if n == nil || n.subs == nil || !n.subs.remove(key) {
		return false
	}
	if len(n.subs.entries) == 0 {
		n.subs = nil
	}
	if t.count--; t.count == 0 {
		*t = Tree[K, V]{} // maps never shrink: let them go
		return true
	}
	t.prune(id)
	return true
}

// Match calls yield for each subscription whose filter matches the name, in no
// order. A key with several such filters comes as often. yield must not change
// the tree.
func (t *Tree[K, V]) Match(name string, yield func(key K, value V)) {
	if t.count == 0 {
		return
	}
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
	levelID, known := t.levels.find(level)
	for _, id := range now {
		n := t.nodes.at(id)
		if !skipWild {
			t.each(n.hash, yield)
			if n.plus != 0 {
				next = append(next, n.plus)
			}
		}
		if !known || n.kids == 0 {
			continue
		}
		if child, ok := t.edges[edge{id, levelID}]; ok {
			next = append(next, child)
		}
	}
	return next
}

// each yields the subscriptions that end at a node, which may be 0.
func (t *Tree[K, V]) each(id uint32, yield func(K, V)) {
	if id != 0 {
		t.nodes.at(id).subs.each(yield)
	}
}

func (s *set[K, V]) each(yield func(K, V)) {
	if s == nil {
		return
	}
	for i := range s.entries {
		yield(s.entries[i].key, s.entries[i].value)
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
	if l, ok := t.levels.find(level); ok {
		return t.edges[edge{id, l}]
	}
	return 0
}

// grow is the child of a node at a level, made if there is none.
func (t *Tree[K, V]) grow(id uint32, level string) uint32 {
	if child := t.child(id, level); child != 0 {
		return child
	}
	child, c := t.nodes.alloc()
	c.parent = id
	switch n := t.nodes.at(id); level {
	case plus:
		c.level, n.plus = atPlus, child
	case hash:
		c.level, n.hash = atHash, child
	default:
		c.level = t.levels.hold(level)
		t.edges[edge{id, c.level}] = child
		n.kids++
	}
	return child
}

// prune removes a node that leads nowhere, and those above it that were only there
// for it.
func (t *Tree[K, V]) prune(id uint32) {
	for id != root {
		n := t.nodes.at(id)
		if n.subs != nil || n.plus != 0 || n.hash != 0 || n.kids != 0 {
			return
		}
		parent := t.nodes.at(n.parent)
		switch n.level {
		case atPlus:
			parent.plus = 0
		case atHash:
			parent.hash = 0
		default:
			delete(t.edges, edge{n.parent, n.level})
			t.levels.drop(n.level)
			parent.kids--
		}
		above := n.parent
		t.nodes.release(id)
		id = above
	}
}

// interner keeps each level string once and names it by a number.
type interner struct {
	ids  map[string]uint32
	rows arena[internedLevel]
}

type internedLevel struct {
	text string
	held uint32 // how many nodes have it
}

func (in *interner) find(level string) (id uint32, ok bool) {
	id, ok = in.ids[level]
	return id, ok
}

// hold names a level for one node more.
func (in *interner) hold(level string) uint32 {
	if id, ok := in.ids[level]; ok {
		in.rows.at(id).held++
		return id
	}
	if in.ids == nil {
		in.ids = make(map[string]uint32)
	}
	level = strings.Clone(level) // the filter around it may be long
	id, row := in.rows.alloc()
	row.text, row.held = level, 1
	in.ids[level] = id
	return id
}

// drop gives a level up for one node.
func (in *interner) drop(id uint32) {
	row := in.rows.at(id)
	if row.held--; row.held == 0 {
		delete(in.ids, row.text)
		in.rows.release(id)
	}
}
