package topic

import (
	"iter"
	"math"
	"slices"
	"strings"
)

// Retained keeps one value for a name, and finds the names that match a filter.
// The zero value is empty. It is owned by one goroutine.
type Retained[V any] struct {
	byName map[string]*slot[V]

	// order has all slots in order of their names, in blocks of 1 to maxBlock.
	order [][]*slot[V]

	// version counts the changes of order: places in it hold as long as it stands.
	version uint64
}

type slot[V any] struct {
	name  string
	value V
}

const maxBlock = 256

// Len is the number of names.
func (r *Retained[V]) Len() int { return len(r.byName) }

// Get is the value of exactly this name.
func (r *Retained[V]) Get(name string) (value V, ok bool) {
	if s := r.byName[name]; s != nil {
		return s.value, true
	}
	return value, false
}

// Set gives a name a value, and says whether it had one. The name is kept, not
// copied.
func (r *Retained[V]) Set(name string, value V) (replaced bool) {
	if s := r.byName[name]; s != nil {
		s.value = value
		return true
	}
	if r.byName == nil {
		r.byName = make(map[string]*slot[V])
	}
	s := &slot[V]{name, value}
	r.byName[name] = s
	r.insert(s)
	return false
}

// Delete removes a name, and says whether it was there.
func (r *Retained[V]) Delete(name string) bool {
	if _, ok := r.byName[name]; !ok {
		return false
	}
	if delete(r.byName, name); len(r.byName) == 0 {
		*r = Retained[V]{version: r.version + 1} // maps never shrink: let it go
		return true
	}
	r.remove(r.seek(name))
	return true
}

// Matches goes over the names that match a valid filter, in order, with their
// values. Names may be set and deleted meanwhile, see [Cursor].
func (r *Retained[V]) Matches(filter string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		r.Cursor(filter).Next(math.MaxInt)(yield)
	}
}

// place is where a slot is: the block and the index in it. The place behind the
// last slot is {len(order), 0}.
type place struct{ block, index int }

// seek is the place of the first name that is not less than this one.
func (r *Retained[V]) seek(name string) place {
	b, _ := slices.BinarySearchFunc(r.order, name, func(block []*slot[V], name string) int {
		return strings.Compare(block[len(block)-1].name, name)
	})
	if b == len(r.order) {
		return place{b, 0}
	}
	i, _ := slices.BinarySearchFunc(r.order[b], name, func(s *slot[V], name string) int {
		return strings.Compare(s.name, name)
	})
	return place{b, i}
}

// at is the slot at a place, nil behind the last.
func (r *Retained[V]) at(p place) *slot[V] {
	if p.block == len(r.order) {
		return nil
	}
	return r.order[p.block][p.index]
}

// after is the place behind p.
func (r *Retained[V]) after(p place) place {
	if p.index++; p.index == len(r.order[p.block]) {
		return place{p.block + 1, 0}
	}
	return p
}

func (r *Retained[V]) insert(s *slot[V]) {
	r.version++
	p := r.seek(s.name)
	if p.block == len(r.order) {
		r.push(s)
		return
	}
	block := slices.Insert(r.order[p.block], p.index, s)
	if len(block) > maxBlock {
		half := len(block) / 2 // both copied, so that neither has room for a whole block to spare
		r.order = slices.Insert(r.order, p.block+1, slices.Clone(block[half:]))
		block = slices.Clone(block[:half])
	}
	r.order[p.block] = block
}

// push puts a slot behind all others. Full blocks are left full: names often come
// in order, from a store.
func (r *Retained[V]) push(s *slot[V]) {
	last := len(r.order) - 1
	if last < 0 || len(r.order[last]) >= maxBlock {
		r.order = append(r.order, []*slot[V]{s})
		return
	}
	r.order[last] = append(r.order[last], s)
}

// remove takes the slot out of its block. A small block is joined with the next.
func (r *Retained[V]) remove(p place) {
	r.version++
	block := slices.Delete(r.order[p.block], p.index, p.index+1)
	r.order[p.block] = block
	if p.block+1 < len(r.order) && len(block)+len(r.order[p.block+1]) <= maxBlock/2 {
		r.order[p.block] = append(block, r.order[p.block+1]...)
		r.order = slices.Delete(r.order, p.block+1, p.block+2)
		return
	}
	if len(block) == 0 {
		r.order = slices.Delete(r.order, p.block, p.block+1)
	}
}
