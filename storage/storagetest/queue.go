package storagetest

import (
	"cmp"
	"slices"

	"github.com/weir-edge/weir/core"
)

// queue is what is owed to one receiver, in order.
type queue struct {
	id     core.ReceiverID
	policy core.Policy
	items  []item // from the oldest unpaid on
	cursor int    // items before it were handed out since the last Rewind
	owed   uint64
	bytes  int64
	want   *want // the Fetch that is not answered yet
}

type item struct {
	e    *entry
	paid bool
	sent bool // ever handed out
}

type want struct{ messages, bytes int }

// push adds a message. It is handed out at once if that was said and all before
// it was.
func (q *queue) push(e *entry, live bool) (handed bool) {
	handed = live && q.cursor == len(q.items)
	q.items = append(q.items, item{e: e, sent: handed})
	if handed {
		q.cursor++
	}
	q.owed++
	q.bytes += int64(e.m.Size())
	return handed
}

// pay gives the entry of a debt that was open, else nil.
func (q *queue) pay(seq core.Seq) *entry {
	i, ok := slices.BinarySearchFunc(q.items, seq, func(i item, s core.Seq) int { return cmp.Compare(i.e.seq, s) })
	if !ok || q.items[i].paid {
		return nil
	}
	e := q.drop(i)
	q.trim()
	return e
}

// drop ends the debt of an item.
func (q *queue) drop(i int) *entry {
	it := &q.items[i]
	it.paid = true
	q.owed--
	q.bytes -= int64(it.e.m.Size())
	return it.e
}

// dropFirst ends the oldest debt.
func (q *queue) dropFirst() *entry {
	q.trim()
	e := q.drop(0)
	q.trim()
	return e
}

// trim forgets what is paid at the front.
func (q *queue) trim() {
	n := 0
	for n < len(q.items) && q.items[n].paid {
		n++
	}
	clear(q.items[:n]) // of its pointers
	q.items = q.items[n:]
	q.cursor = max(0, q.cursor-n)
}

func (q *queue) rewind() { q.cursor = 0 }
