package auth

import (
	"net/netip"
	"slices"
	"sync"
)

// queue is where logins wait for their check. Each address has a line. The line of
// whom has asked for least comes first, so that somebody new does not wait for those
// who try and try; every few times another line has its turn whatever it has asked
// for. When all together are too many the longest line gives way. The methods may be
// called from any goroutine.
type queue struct {
	ready chan struct{} // something has come

	mu    sync.Mutex
	lines map[netip.Addr]*line
	turns []*line // those with somebody in them; who was served last stands at the end
	n     int
	pops  int
}

type line struct {
	from netip.Addr
	jobs []job
	past int // what has gone wrong from this address lately
}

// fairTurn says how often it is the turn of a line whatever it has asked for.
const fairTurn = 4

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
	l.jobs, l.past = append(l.jobs, j), j.past
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

// modestLocked is the line that has asked for least.
func (q *queue) modestLocked() (at int) {
	for i, l := range q.turns {
		if best := q.turns[at]; len(l.jobs)+l.past < len(best.jobs)+best.past {
			at = i
		}
	}
	return at
}

// pop takes the first of the line whose turn it is.
func (q *queue) pop() (j job, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.n == 0 {
		return job{}, false
	}
	next := 0
	if q.pops++; q.pops%fairTurn != 0 {
		next = q.modestLocked()
	}
	l := q.turns[next]
	q.turns = slices.Delete(q.turns, next, next+1)
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
