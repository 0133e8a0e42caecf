package topic

// arena is a table whose rows are named by number. Rows do not move, so a pointer
// to one holds until it is freed; numbers of freed rows are given again. Row 0 is
// never given: it stands for "none".
type arena[T any] struct {
	chunks []*[chunkRows]T
	used   uint32 // rows ever given, including row 0
	free   []uint32
}

// A chunk is a large object for Go's allocator even with small rows: it begins at
// the beginning of a cache line, and nothing is lost to a header.
const (
	chunkBits = 10
	chunkRows = 1 << chunkBits
)

// at is the row with this number.
func (a *arena[T]) at(id uint32) *T {
	return &a.chunks[id>>chunkBits][id&(chunkRows-1)]
}

// alloc gives a zero row.
func (a *arena[T]) alloc() (id uint32, row *T) {
	if n := len(a.free); n > 0 {
		id, a.free = a.free[n-1], a.free[:n-1]
		return id, a.at(id)
	}
	id = max(a.used, 1)
	if int(id>>chunkBits) == len(a.chunks) {
		a.chunks = append(a.chunks, new([chunkRows]T))
	}
	a.used = id + 1
	return id, a.at(id)
}

// release clears a row and takes its number back.
func (a *arena[T]) release(id uint32) {
	clear(a.chunks[id>>chunkBits][id&(chunkRows-1):][:1])
	a.free = append(a.free, id)
}

// find is at, but nil for "none".
func (a *arena[T]) find(id uint32) *T {
	if id == 0 {
		return nil
	}
	return a.at(id)
}
