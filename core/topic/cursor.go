package topic

import (
	"iter"
	"strings"
)

// Cursor goes over the retained names that match a filter, some at a time, while
// names are set and deleted between the steps and even within them. Names that
// are there all the time come once each, in order; those that come or go
// meanwhile may be seen or not.
type Cursor[V any] struct {
	r      *Retained[V]
	filter string
	done   bool

	// What comes next: the first name that is not less than from, or greater than
	// from if that one has been looked at.
	from   string
	looked bool

	// Where that is, as long as version is the one of r.
	at      place
	version uint64
}

// Cursor starts at the first name that matches a valid filter.
func (r *Retained[V]) Cursor(filter string) *Cursor[V] {
	return &Cursor[V]{r: r, filter: filter, at: r.seek(""), version: r.version}
}

// Done says whether all names have been looked at.
func (c *Cursor[V]) Done() bool { return c.done }

// Next goes on over the names that match, looking at no more than n names, so that
// its time is bounded even where few of them match.
func (c *Cursor[V]) Next(n int) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for ; n > 0 && !c.done; n-- {
			s, match := c.step()
			if match && !yield(s.name, s.value) {
				return
			}
		}
	}
}

// step looks at one name and moves behind it.
func (c *Cursor[V]) step() (s *slot[V], match bool) {
	if c.version != c.r.version {
		c.seek()
	}
	s = c.r.at(c.at)
	if s == nil {
		c.done = true
		return nil, false
	}
	match, next := judge(c.filter, s.name)
	switch next {
	case "":
		c.done = true
	case s.name:
		c.from, c.looked = next, true
		c.at = c.r.after(c.at)
	default:
		c.from, c.looked = next, false
		c.seek()
	}
	return s, match
}

// seek finds the place of what comes next.
func (c *Cursor[V]) seek() {
	c.at, c.version = c.r.seek(c.from), c.r.version
	if s := c.r.at(c.at); c.looked && s != nil && s.name == c.from {
		c.at = c.r.after(c.at)
	}
}

// judge says whether a filter matches a name, and from where on in the order of
// the bytes the next match can be: behind the name if next is the name itself, not
// before next otherwise, and nowhere if next is empty. A next that is not the name
// is always greater.
//
// In that order the names that begin with a prefix stand together. Behind all
// those below a level, P/…, comes P0 at the earliest: '0' follows '/'.
func judge(filter, name string) (match bool, next string) {
	if wild(filter) && strings.HasPrefix(name, "$") {
		return false, "%" // behind '$' [MQTT-4.7.2-1]
	}
	free := -1 // the end of the last level that + matched: a later value may stand there
	for start := 0; ; {
		level, rest, more := strings.Cut(filter, "/")
		if level == hash {
			return true, name
		}
		end := levelEnd(name, start)
		switch {
		case level == plus:
			free = end
		case level != name[start:end]:
			return false, detour(name, name[:start]+level, more, free)
		}
		switch {
		case end == len(name):
			return !more || rest == hash, name
		case !more:
			return false, name[:end] + "0" // all below is too deep
		}
		filter, start = rest, end+1
	}
}

// detour is where to go when want, the beginning of name and then the level that
// the filter asks for, is not what the name begins with.
func detour(name, want string, more bool, free int) string {
	switch {
	case want > name:
		return want
	case more && want+"/" > name: // between them are a-b, a!, … for the level a
		return want + "/"
	case free >= 0:
		return name[:free] + "0"
	}
	return ""
}

// levelEnd is where the level that starts at i ends.
func levelEnd(name string, i int) int {
	if n := strings.IndexByte(name[i:], '/'); n >= 0 {
		return i + n
	}
	return len(name)
}
