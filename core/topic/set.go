package topic

// set holds the subscribers of one filter. The zero value is empty. Most filters
// have one subscriber, which needs no memory of its own; a few are searched one by
// one; many have an index.
type set[K comparable, V any] struct {
	one  entry[K, V] // the only one, while more is nil; none if its key is zero
	more *crowd[K, V]
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

// crowd is two entries or more.
type crowd[K comparable, V any] struct {
	entries []entry[K, V]
	index   map[K]int32 // nil up to smallSet entries
}

const smallSet = 16

func (s *set[K, V]) len() int {
	var none K
	switch {
	case s.more != nil:
		return len(s.more.entries)
	case s.one.key != none:
		return 1
	}
	return 0
}

func (s *set[K, V]) each(yield func(K, V)) {
	switch s.len() {
	case 0:
	case 1:
		yield(s.one.key, s.one.value)
	default:
		for i := range s.more.entries {
			yield(s.more.entries[i].key, s.more.entries[i].value)
		}
	}
}

func (s *set[K, V]) get(k K) (value V, ok bool) {
	if e := s.find(k); e != nil {
		return e.value, true
	}
	return value, false
}

// find is the entry of a key, nil if it is not there.
func (s *set[K, V]) find(k K) *entry[K, V] {
	if s.more != nil {
		if i := s.more.find(k); i >= 0 {
			return &s.more.entries[i]
		}
		return nil
	}
	if s.len() == 1 && s.one.key == k {
		return &s.one
	}
	return nil
}

// put returns whether the key was there before. It must not be zero.
func (s *set[K, V]) put(k K, v V) (replaced bool) {
	if e := s.find(k); e != nil {
		e.value = v
		return true
	}
	switch s.len() {
	case 0:
		s.one = entry[K, V]{k, v}
		return false
	case 1:
		s.more = &crowd[K, V]{entries: []entry[K, V]{s.one}}
		s.one = entry[K, V]{}
	}
	s.more.add(entry[K, V]{k, v})
	return false
}

// remove returns whether the key was there.
func (s *set[K, V]) remove(k K) bool {
	switch {
	case s.find(k) == nil:
		return false
	case s.more == nil:
		s.one = entry[K, V]{}
		return true
	}
	s.more.remove(k)
	if len(s.more.entries) == 1 {
		s.one, s.more = s.more.entries[0], nil
	}
	return true
}

func (c *crowd[K, V]) add(e entry[K, V]) {
	c.entries = append(c.entries, e)
	switch {
	case c.index != nil:
		c.index[e.key] = int32(len(c.entries) - 1)
	case len(c.entries) > smallSet:
		c.reindex()
	}
}

// remove takes out a key that is there. The last entry takes its place.
func (c *crowd[K, V]) remove(k K) {
	i, last := c.find(k), len(c.entries)-1
	c.entries[i] = c.entries[last]
	clear(c.entries[last:])
	c.entries = c.entries[:last]
	switch {
	case c.index == nil:
	case last <= smallSet/2:
		c.index = nil
	default:
		c.index[c.entries[min(i, last-1)].key] = int32(min(i, last-1))
		delete(c.index, k)
	}
}

// find is the place of a key, -1 if it is not there.
func (c *crowd[K, V]) find(k K) int {
	if c.index != nil {
		if i, ok := c.index[k]; ok {
			return int(i)
		}
		return -1
	}
	for i := range c.entries {
		if c.entries[i].key == k {
			return i
		}
	}
	return -1
}

func (c *crowd[K, V]) reindex() {
	c.index = make(map[K]int32, 2*len(c.entries))
	for i := range c.entries {
		c.index[c.entries[i].key] = int32(i)
	}
}
