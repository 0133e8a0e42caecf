package broker

// fifo is a queue whose memory goes back when it has run empty.
type fifo[T any] struct {
	items []T
	head  int
}

func (q *fifo[T]) len() int { return len(q.items) - q.head }

func (q *fifo[T]) push(v T) {
	if q.head > 32 && q.head > len(q.items)/2 { // the front half is empty: move down
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, v)
}

func (q *fifo[T]) first() *T { return &q.items[q.head] }

func (q *fifo[T]) pop() T {
	var zero T
	v := q.items[q.head]
	q.items[q.head] = zero
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = keepSmall(q.items), 0
	}
	return v
}

// keepSmall keeps what a queue that is often empty needs.
func keepSmall[T any](items []T) []T {
	if cap(items) > 64 {
		return nil
	}
	return items[:0]
}
