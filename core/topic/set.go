package topic

// set holds the subscribers of one filter. A few are searched one by one; many
// have an index.
type set[K comparable, V any] struct {
	entries []entry[K, V]
	index   map[K]int32 // nil up to smallSet entries
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

const smallSet = 16

// put returns whether the key was there before.
func (s *set[K, V]) put(k K, v V) (replaced bool) {
	if i := s.find(k); i >= 0 {
		s.entries[i].value = v
		return true
	}
	s.entries = append(s.entries, entry[K, V]{k, v})
	switch {
	case s.index != nil:
		s.index[k] = int32(len(s.entries) - 1)
	case len(s.entries) > smallSet:
		s.reindex()
	}
	return false
}

// remove returns whether the key was there. The last entry takes its place.
func (s *set[K, V]) remove(k K) bool {
	i := s.find(k)
	if i < 0 {
		return false
	}
	last := len(s.entries) - 1
	s.entries[i] = s.entries[last]
	clear(s.entries[last:])
	s.entries = s.entries[:last]
	switch {
	case s.index == nil:
	case last <= smallSet/2:
		s.index = nil
	default:
		s.index[s.entries[min(i, last-1)].key] = int32(min(i, last-1))
		delete(s.index, k)
	}
	return true
}

// find is the place of a key, -1 if it is not there.
func (s *set[K, V]) find(k K) int {
	if s.index != nil {
		if i, ok := s.index[k]; ok {
			return int(i)
		}
		return -1
	}
	for i := range s.entries {
		if s.entries[i].key == k {
			return i
		}
	}
	return -1
}

func (s *set[K, V]) reindex() {
	s.index = make(map[K]int32, 2*len(s.entries))
	for i := range s.entries {
		s.index[s.entries[i].key] = int32(i)
	}
}
