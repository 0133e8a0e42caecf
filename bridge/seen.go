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
// An id is reserved when its message comes, so that of two links that bring it at once
// one takes it, and is added when it is taken for good. What was refused is given
// back: it comes again and must be taken then. A bridge that brings what it has
// reserved itself, on a new connection, is not stopped: nobody knows yet whether the
// first one will be kept.
type Seen struct {
	mu   sync.Mutex
	ids  map[string]*Bridge // who has reserved it; nil: taken for good
	ring []string           // of those that are taken
	next int
}

const seenMost = 8192

// NewSeen is an empty one.
func NewSeen() *Seen {
	return &Seen{ids: make(map[string]*Bridge), ring: make([]string, seenMost)}
}

func (s *Seen) add(id string) {
	if id == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if by, ok := s.ids[id]; ok && by == nil {
		return
	}
	delete(s.ids, s.ring[s.next])
	s.ring[s.next] = id
	s.next = (s.next + 1) % seenMost
	s.ids[id] = nil
}

// reserve says whether b may take a message; it then ends with settle.
func (s *Seen) reserve(b *Bridge, id string) bool {
	if id == "" {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	by, ok := s.ids[id]
	if !ok {
		s.ids[id] = b
	}
	return !ok || by == b
}

// settle says what has become of a message that b has reserved.
func (s *Seen) settle(b *Bridge, id string, err error) {
	if err == nil {
		s.add(id)
		return
	}
	s.giveBack(b, id)
}

func (s *Seen) giveBack(b *Bridge, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if by := s.ids[id]; by == b {
		delete(s.ids, id)
	}
}

// has says whether a message was taken for good.
func (s *Seen) has(m *core.Message) bool {
	id := property(m, propID)
	if id == "" {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	by, ok := s.ids[id]
	return ok && by == nil
}

// Loops says whether a message that a client has brought was here before: it has left
// gateway over a bridge, or has come over one. The client may be another gateway,
// whose uplink we are. It moves the message's hops to their field.
func (s *Seen) Loops(gateway string, m *core.Message) bool {
	takeHops(m)
	return int(m.Hops) >= defaultMaxHops || isOf(gateway, m) || s.has(m)
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
