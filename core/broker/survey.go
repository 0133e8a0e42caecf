package broker

import (
	"errors"
	"slices"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/topic"
)

// survey gives a rule that is new what was retained before it, as a new subscription
// would get it. From then on the rule has seen everything. It goes over the retained
// messages a slice at a time, and waits where the disk is slower.
type survey struct {
	broker  *Broker
	queue   *Queue
	filters []string // of the rule when it began
	next    int      // filter
	cursor  *topic.Cursor[resting]
	left    string              // the topic for which the store had no room; "": none
	since   map[string]struct{} // topics retained since it began, whose message the rule has got
}

// oweRetained begins a survey.
func (b *Broker) oweRetained(q *Queue) {
	s := &survey{broker: b, queue: q, filters: slices.Clone(q.cfg.Filters), since: map[string]struct{}{}}
	b.surveys[s] = struct{}{}
	b.work(s.step)
}

func (s *survey) step() (more bool) {
	if s.over() || !s.again() {
		return false
	}
	if s.cursor == nil || s.cursor.Done() {
		if s.next == len(s.filters) {
			delete(s.broker.surveys, s)
			return false
		}
		s.cursor = s.broker.retained.Cursor(s.filters[s.next])
		s.next++
	}
	for name, r := range s.cursor.Next(sliceSize) {
		if !s.look(name, &r) {
			return false
		}
	}
	return true
}

// over: nobody is there for whom it is.
func (s *survey) over() bool {
	if s.broker.receivers[s.queue.receiver] == receiver(s.queue) {
		return false
	}
	delete(s.broker.surveys, s)
	return true
}

// again goes on with the topic for which there was no room.
func (s *survey) again() (room bool) {
	name := s.left
	if name == "" {
		return true
	}
	s.left = ""
	r, ok := s.broker.retained.Get(name)
	return !ok || s.look(name, &r)
}

// look owes a retained message to the rule if it is to have it. Without room the survey
// comes back to it.
func (s *survey) look(name string, r *resting) (room bool) {
	m := r.wake(name, new(core.Message))
	if !s.wants(m) {
		return true
	}
	err := s.queue.oweOne(m)
	switch {
	case errors.Is(err, core.ErrBusy):
		s.left = name
		s.broker.awaitRoom(func() { s.broker.work(s.step) })
		return false
	case err != nil:
		s.queue.drop(core.DroppedStoreFull, 1)
	}
	return true
}

func (s *survey) wants(m *core.Message) bool {
	q := s.queue
	if _, has := s.since[m.Topic]; has || m.QoS == 0 || m.Publisher == q.cfg.NoPublisher || q.excluded(m.Topic) || m.Expired(s.broker.stamp) {
		return false
	}
	return !slices.ContainsFunc(s.filters[:s.next-1], func(f string) bool { return topic.Match(f, m.Topic) })
}
