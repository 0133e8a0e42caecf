package broker

import (
	"container/heap"
	"time"
)

// timers wakes whoever asked for a moment. It is a heap of moments; a timer that
// is moved to later is only noted, and found out when it rings: a packet that
// keeps a connection alive costs no more than storing the time.
type timers struct{ heap timerHeap }

// timer is embedded in its owner. ring is static, the rest belongs to timers.
type timer struct {
	ring  func(now time.Time)
	at    time.Time
	index int // in the heap, plus one; 0: not set
}

// set lets t ring at the moment at, instead of when it was set to before.
func (ts *timers) set(t *timer, at time.Time) {
	t.at = at
	if t.index == 0 {
		heap.Push(&ts.heap, t)
		return
	}
	heap.Fix(&ts.heap, t.index-1)
}

// stop undoes set.
func (ts *timers) stop(t *timer) {
	if t.index != 0 {
		heap.Remove(&ts.heap, t.index-1)
	}
}

// next is the earliest moment; zero when there is none.
func (ts *timers) next() time.Time {
	if len(ts.heap) == 0 {
		return time.Time{}
	}
	return ts.heap[0].at
}

// maxRings bounds the timers that ring in one turn.
const maxRings = 1000

// run rings those whose moment has come. A timer may set itself again.
func (ts *timers) run(now time.Time) {
	for range maxRings {
		if len(ts.heap) == 0 || ts.heap[0].at.After(now) {
			return
		}
		t := ts.heap[0]
		ts.stop(t)
		t.ring(now)
	}
}

type timerHeap []*timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }

func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}

func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	*h = append(*h, t)
	t.index = len(*h)
}

func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	t.index = 0
	return t
}
