package topic

// table finds rows of an arena by a hash. It is a flat list of seats with linear
// probing: to look for a row that is there costs the cache one line here and one
// for the row, whatever the size, where a map costs three or four. What the hash
// is of stays in the rows, and whoever looks compares it there.
type table struct {
	seats []seat // a power of two; at least a quarter are free
	used  int
}

// seat leads to a row; row 0 is nothing.
type seat struct{ hash, row uint32 }

const leastSeats = 8

// home is where the search for a hash begins; it goes on with next until a free
// seat. There must be a seat.
func (t *table) home(hash uint32) int { return int(hash) & (len(t.seats) - 1) }

func (t *table) next(i int) int { return (i + 1) & (len(t.seats) - 1) }

// add puts in a row that is not there.
func (t *table) add(hash, row uint32) {
	if t.used++; t.used > len(t.seats)/4*3 {
		t.resize(max(leastSeats, 2*len(t.seats)))
	}
	t.put(seat{hash, row})
}

func (t *table) put(s seat) {
	i := t.home(s.hash)
	for t.seats[i].row != 0 {
		i = t.next(i)
	}
	t.seats[i] = s
}

func (t *table) resize(n int) {
	old := t.seats
	t.seats = make([]seat, n)
	for _, s := range old {
		if s.row != 0 {
			t.put(s)
		}
	}
}

// remove takes out a row that is there. Those behind it move up if the hole lies
// on their way from home, so that no search ends too early.
func (t *table) remove(hash, row uint32) {
	hole := t.home(hash)
	for t.seats[hole].row != row {
		hole = t.next(hole)
	}
	for i := t.next(hole); t.seats[i].row != 0; i = t.next(i) {
		mask := len(t.seats) - 1
		if (i-t.home(t.seats[i].hash))&mask >= (i-hole)&mask {
			t.seats[hole] = t.seats[i]
			hole = i
		}
	}
	t.seats[hole] = seat{}
	if t.used--; t.used < len(t.seats)/8 && len(t.seats) > leastSeats {
		t.resize(len(t.seats) / 2)
	}
}
