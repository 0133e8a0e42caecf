package bridge

import (
	"strings"
	"sync"

	"github.com/weir-edge/weir/core"
)

// Seen remembers the ids of messages that have come to a gateway over any of its
// bridges, so that one that comes again on another way round goes no further. All
// bridges of a gateway share one. It holds the last seenMost.
//
// An id is added when its message is taken for good, never before: a message that
// was refused comes again and must be taken then.
type Seen struct {
	mu   sync.Mutex
	ids  map[string]struct{}
	ring []string
	next int
}

const seenMost = 8192

// NewSeen is an empty one.
func NewSeen() *Seen {
	return &Seen{ids: make(map[string]struct{}), ring: make([]string, seenMost)}
}

func (s *Seen) add(id string) {
	if id == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.ids[id]; ok {
		return
	}
	delete(s.ids, s.ring[s.next])
	s.ring[s.next] = id
	s.next = (s.next + 1) % seenMost
	s.ids[id] = struct{}{}
}

func (s *Seen) has(m *core.Message) bool {
	id := property(m, propID)
	if id == "" {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.ids[id]
	return ok
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
