package topic

import (
	"hash/maphash"
	"iter"
	"math"
	"slices"
	"strings"
)

// Retained keeps one value for a name, and finds the names that match a filter.
// The zero value is empty. It is owned by one goroutine.
type Retained[V any] struct {
	rows   arena[slot[V]]
	byName table
	seed   maphash.Seed

	// order has all rows in order of their names, in blocks of 1 to maxBlock.
	order [][]uint32

	// version counts the changes of order: places in it hold as long as it stands.
	version uint64
}

type slot[V any] struct {
	name  string
	value V
}

const maxBlock = 256

// Len is the number of names.
func (r *Retained[V]) Len() int { return r.byName.used }

// Get is the value of exactly this name.
func (r *Retained[V]) Get(name string) (value V, ok bool) {
	if id, _ := r.row(name); id != 0 {
		return r.rows.at(id).value, true
	}
	return value, false
}

// Set gives a name a value, and says whether it had one. The name is kept, not
// copied: in place of the one before, which goes with the value before.
func (r *Retained[V]) Set(name string, value V) (replaced bool) {
	old, hash := r.row(name)
	if old != 0 {
		*r.rows.at(old) = slot[V]{name, value}
		return true
	}
	id, s := r.rows.alloc()
	*s = slot[V]{name, value}
	r.byName.add(hash, id)
	r.insert(id)
	return false
}

// Delete removes a name, and says whether it was there.
func (r *Retained[V]) Delete(name string) bool {
	id, hash := r.row(name)
	switch {
	case id == 0:
		return false
	case r.byName.used == 1 && r.rows.used > chunkRows:
		*r = Retained[V]{version: r.version + 1} // arenas never shrink: let it go
		return true
	}
	r.remove(r.seek(name))
	r.byName.remove(hash, id)
	r.rows.release(id)
	return true
}

// row is where exactly this name is, 0 if nowhere, and its hash.
func (r *Retained[V]) row(name string) (id, hash uint32) {
	if r.byName.used == 0 {
		r.seed = maphash.MakeSeed()
		return 0, uint32(maphash.String(r.seed, name))
	}
	hash = uint32(maphash.String(r.seed, name))
	for i := r.byName.home(hash); ; i = r.byName.next(i) {
		s := r.byName.seats[i]
		if s.row == 0 || s.hash == hash && r.rows.at(s.row).name == name {
			return s.row, hash
		}
	}
}

// Matches goes over the names that match a valid filter, in order, with their
// values. Names may be set and deleted meanwhile, see [Cursor].
func (r *Retained[V]) Matches(filter string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		r.Cursor(filter).Next(math.MaxInt)(yield)
	}
}

// place is where a name is: the block and the index in it. The place behind the
// last is {len(order), 0}.
type place struct{ block, index int }

// seek is the place of the first name that is not less than this one.
func (r *Retained[V]) seek(name string) place {
	b, _ := slices.BinarySearchFunc(r.order, name, func(block []uint32, name string) int {
		return strings.Compare(r.rows.at(block[len(block)-1]).name, name)
	})
	if b == len(r.order) {
		return place{b, 0}
	}
	i, _ := slices.BinarySearchFunc(r.order[b], name, func(id uint32, name string) int {
		return strings.Compare(r.rows.at(id).name, name)
	})
	return place{b, i}
}

// at is the slot at a place, nil behind the last.
func (r *Retained[V]) at(p place) *slot[V] {
	if p.block == len(r.order) {
		return nil
	}
	return r.rows.at(r.order[p.block][p.index])
}

// after is the place behind p.
func (r *Retained[V]) after(p place) place {
	if p.index++; p.index == len(r.order[p.block]) {
		return place{p.block + 1, 0}
	}
	return p
}

func (r *Retained[V]) insert(id uint32) {
	r.version++
	p := r.seek(r.rows.at(id).name)
	if p.block == len(r.order) {
		r.push(id)
		return
	}
	block := slices.Insert(r.order[p.block], p.index, id)
	if len(block) > maxBlock {
		half := len(block) / 2 // both copied, so that neither has room for a whole block to spare
		r.order = slices.Insert(r.order, p.block+1, slices.Clone(block[half:]))
		block = slices.Clone(block[:half])
	}
	r.order[p.block] = block
}

// push puts a name behind all others. Full blocks are left full: names often come
// in order, from a store.
func (r *Retained[V]) push(id uint32) {
	last := len(r.order) - 1
	if last < 0 || len(r.order[last]) >= maxBlock {
		r.order = append(r.order, []uint32{id})
		return
	}
	r.order[last] = append(r.order[last], id)
}

// remove takes a name out of its block. A small block is joined with the next.
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
