package bridge

import (
	"strings"
	"sync"
)

// Seen remembers the ids of messages that have come to a gateway, so that one that
// comes again on another way round goes no further. All bridges of a gateway share
// one. It holds the last seenMost, and those that are being taken.
//
// An id is reserved when its message arrives, and is known for good once the message
// is taken: one that is refused comes again and must be taken then. A copy that
// arrives meanwhile over another link waits for that outcome, since to acknowledge it
// is to promise that the message is kept.
type Seen struct {
	mu      sync.Mutex
	ids     map[string]string // id to the publisher that it was taken from, "" for a client
	ring    []string
	next    int
	pending map[string][]func(error) // reserved, with what waits for the outcome
}

const seenMost = 8192

// NewSeen is an empty one.
func NewSeen() *Seen {
	return &Seen{ids: make(map[string]string), ring: make([]string, seenMost), pending: make(map[string][]func(error))}
}

// arrival is what Seen knows of a message that arrives.
type arrival int

const (
	first  arrival = iota // nobody has it: reserved for the caller, who must settle it
	second                // another copy is being taken; wait is called with the outcome
	known                 // it has been taken
)

// reserve is called when a message arrives. wait may be called from any goroutine.
func (s *Seen) reserve(id string, wait func(error)) arrival {
	if id == "" {
		return first
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.ids[id]; ok {
		return known
	}
	if waiting, ok := s.pending[id]; ok {
		s.pending[id] = append(waiting, wait)
		return second
	}
	s.pending[id] = nil
	return first
}

// settle ends a reservation: with nil the message of publisher is taken, with an
// error nothing has happened.
func (s *Seen) settle(id, publisher string, err error) {
	if id == "" {
		return
	}
	s.mu.Lock()
	waiting := s.pending[id]
	delete(s.pending, id)
	if err == nil {
		s.addLocked(id, publisher)
	}
	s.mu.Unlock()
	for _, wait := range waiting {
		wait(err)
	}
}

// add notes a message that is in the gateway and did not come over a bridge.
func (s *Seen) add(id string) {
	if id == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addLocked(id, "")
}

func (s *Seen) addLocked(id, publisher string) {
	if _, ok := s.ids[id]; ok {
		return
	}
	delete(s.ids, s.ring[s.next])
	s.ring[s.next] = id
	s.next = (s.next + 1) % seenMost
	s.ids[id] = publisher
}

// from says whether the message with this id was taken from publisher.
func (s *Seen) from(id, publisher string) bool {
	if id == "" {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.ids[id]
	return ok && p == publisher
}

// mayReturn says whether what is sent may come back: the upstream is known to
// forward, or what goes out is among what comes in.
func (c *Config) mayReturn() bool {
	if presets[c.Preset].returns {
		return true
	}
	for _, o := range c.Out {
		for _, i := range c.In {
			if o.RemoteTopic != "" || overlap(o.RemotePrefix+o.Filter, i.RemoteFilter()) {
				return true
			}
		}
	}
	return false
}

// overlap says whether there are topics that both filters match.
func overlap(a, b string) bool {
	for {
		x, restA, moreA := strings.Cut(a, "/")
		y, restB, moreB := strings.Cut(b, "/")
		switch {
		case x == "#" || y == "#":
			return true
		case x != y && x != "+" && y != "+":
			return false
		case !moreA && !moreB:
			return true
		case !moreA:
			return restB == "#" // which matches its parent, too
		case !moreB:
			return restA == "#"
		}
		a, b = restA, restB
	}
}
