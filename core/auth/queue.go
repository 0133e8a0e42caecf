package auth

import (
	"net/netip"
	"sync"
)

// queue is where logins wait for their check. Each address has a line, the lines
// take turns, and the longest gives way when all together are too many: whoever
// sends many logins waits for himself. Its methods may be called from any goroutine.
type queue struct {
	ready chan struct{} // something has come

	mu    sync.Mutex
	lines map[netip.Addr]*line
	turns []*line // those with somebody in them, the next in front
	n     int
}

type line struct {
	from netip.Addr
	jobs []job
}

// maxWaiting bounds the logins that wait. Each may hold a token.
const maxWaiting = 512

func newQueue() *queue {
	return &queue{ready: make(chan struct{}, 1), lines: make(map[netip.Addr]*line)}
}

// push lets a login wait. gone is the one that has to go for it, if one has to: the
// last of the longest line, which may be the new one itself.
func (q *queue) push(j job) (gone *job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lines[j.from]
	if q.n >= maxWaiting {
		longest := q.longestLocked()
		if l == longest || len(longest.jobs) == 1 {
			return &j
		}
		last := longest.jobs[len(longest.jobs)-1]
		longest.jobs = longest.jobs[:len(longest.jobs)-1]
		gone, q.n = &last, q.n-1
	}
	if l == nil {
		l = &line{from: j.from}
		q.lines[j.from] = l
		q.turns = append(q.turns, l)
	}
	l.jobs = append(l.jobs, j)
	q.n++
	select {
	case q.ready <- struct{}{}:
	default:
	}
	return gone
}

func (q *queue) longestLocked() *line {
	longest := q.turns[0]
	for _, l := range q.turns {
		if len(l.jobs) > len(longest.jobs) {
			longest = l
		}
	}
	return longest
}

// pop takes the first of the line whose turn it is.
func (q *queue) pop() (j job, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.n == 0 {
		return job{}, false
	}
	l := q.turns[0]
	q.turns[0] = nil
	q.turns = q.turns[1:]
	j = l.jobs[0]
	l.jobs[0] = job{}
	l.jobs = l.jobs[1:]
	q.n--
	if len(l.jobs) == 0 {
		delete(q.lines, l.from)
	} else {
		q.turns = append(q.turns, l)
	}
	return j, true
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.n
}
