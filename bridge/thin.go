package bridge

import (
	"bytes"
	"container/heap"
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/weir-edge/weir/core"
)

// Thin is what a rule leaves out of telemetry on a link that is paid by the byte.
// Its zero value leaves out nothing.
//
// Of each topic at most one message goes in Interval; in a backlog that is counted
// by when the gateway took them, so that it is thinned like live traffic. The newest
// waits for its time and always goes in the end; those before it are dropped as
// superseded.
// A number that differs from the last one sent by no more than Deadband, or Percent
// of it, is dropped as within the deadband.
//
// What must not be thinned out is not:
//
//   - a message that was published with QoS 2
//   - an empty payload, which deletes a retained message
//   - for the deadband: retained state, which would stay a little wrong for ever;
//     what is no number; and a reading whose quality has changed
//
// Such a message goes at once. What waits of its topic is then older, and superseded.
//
// The message that waits is owed like any other: it survives a crash, and when it
// waits for longer than spill_after it is written to the disk.
type Thin struct {
	Interval time.Duration
	Deadband float64
	Percent  float64
}

func (t Thin) check(f *faults, path string) {
	f.check(t.Interval >= 0, path+".min_interval", t.Interval, "0 or more")
	f.check(t.Deadband >= 0 && !math.IsInf(t.Deadband, 0), path+".deadband", t.Deadband, "0 or more")
	f.check(t.Percent >= 0 && !math.IsInf(t.Percent, 0), path+".deadband", t.Percent, "0 or more percent")
}

// thinMost bounds the topics that a rule remembers. Those beyond go as they come.
const thinMost = 10_000

// thinner is a rule's Thin at work, on one connection: what was sent on another may
// not have arrived. It belongs to Run.
type thinner struct {
	Thin
	topics map[string]*sample
	due    samples // those whose interval runs, by its end
}

// sample is what is known of a topic.
type sample struct {
	topic   string
	at      core.Stamp // when the interval began: the last that was sent was taken then, or had waited till then
	value   reading    // of the same
	waiting core.Delivery
	due     time.Time // the end of the interval
	place   int       // in thinner.due; -1: not there
}

// newThinner is nil for a rule that leaves out nothing.
func newThinner(t Thin) *thinner {
	if t == (Thin{}) {
		return nil
	}
	return &thinner{Thin: t, topics: make(map[string]*sample)}
}

// verdict is what becomes of a message.
type verdict int

const (
	goes verdict = iota
	waits
	dropped // within the deadband
)

// judge decides about a message, and forgets what waited before it: older is the one
// that is superseded; its Message is nil if there is none. must: it goes in any case.
func (t *thinner) judge(d core.Delivery, state, must bool, now time.Time, stamp core.Stamp) (v verdict, older core.Delivery) {
	m := d.Message
	s := t.topics[m.Topic]
	if s == nil {
		if len(t.topics) < thinMost {
			s = &sample{topic: m.Topic, place: -1}
			t.topics[m.Topic] = s
			t.sent(s, m, m.Received, now, stamp)
		}
		return goes, older
	}
	older, s.waiting = s.waiting, core.Delivery{}
	must = must || m.QoS == core.ExactlyOnce || len(m.Payload) == 0
	switch {
	case must:
	case !state && t.within(s.value, m.Payload):
		return dropped, older
	case m.Received.Since(s.at) < t.Interval:
		s.waiting = d
		return waits, older
	}
	t.sent(s, m, m.Received, now, stamp)
	return goes, older
}

// sent begins a topic's interval.
func (t *thinner) sent(s *sample, m *core.Message, at core.Stamp, now time.Time, stamp core.Stamp) {
	s.at = at
	if t.watches() {
		s.value = readingOf(m.Payload)
	}
	s.due = now.Add(t.Interval - stamp.Since(s.at))
	if s.place >= 0 {
		heap.Fix(&t.due, s.place)
	} else {
		heap.Push(&t.due, s)
	}
}

// next is a message that has waited for its time, if there is one.
func (t *thinner) next(now time.Time, stamp core.Stamp) (d core.Delivery, ok bool) {
	for len(t.due) > 0 && !now.Before(t.due[0].due) {
		s := t.due[0]
		d, s.waiting = s.waiting, core.Delivery{}
		if d.Message != nil {
			if !d.Message.Expired(stamp) { // which nobody will get
				t.sent(s, d.Message, stamp, now, stamp)
			}
			return d, true
		}
		heap.Pop(&t.due)
		if !t.watches() { // there is nothing to compare with the next one
			delete(t.topics, s.topic)
		}
	}
	return d, false
}

// wakeAt is when next may have something, after now; zero: it is not known to.
func (t *thinner) wakeAt(now time.Time) time.Time {
	if len(t.due) == 0 || !now.Before(t.due[0].due) {
		return time.Time{}
	}
	return t.due[0].due
}

// forget ends a connection: what is owed comes again, from the queue. It says how
// many waited that are not.
func (t *thinner) forget() (lost int) {
	for _, s := range t.due {
		if s.waiting.Message != nil && s.waiting.Seq == 0 {
			lost++
		}
	}
	clear(t.topics)
	t.due = nil
	return lost
}

func (t *thinner) watches() bool { return t.Deadband > 0 || t.Percent > 0 }

func (t *thinner) within(last reading, payload []byte) bool {
	if !t.watches() || !last.ok {
		return false
	}
	r := readingOf(payload)
	return r.ok && r.quality == last.quality &&
		math.Abs(r.value-last.value) <= max(t.Deadband, t.Percent/100*math.Abs(last.value))
}

// reading is a number and how good it is.
type reading struct {
	value   float64
	quality string
	ok      bool
}

// readingOf takes a payload that is a number, or a JSON object whose value is one.
func readingOf(payload []byte) reading {
	text := bytes.TrimSpace(payload)
	if len(text) > 0 && text[0] == '{' {
		var o struct {
			Value   *float64
			Quality string
		}
		if json.Unmarshal(text, &o) != nil || o.Value == nil {
			return reading{}
		}
		return reading{value: *o.Value, quality: o.Quality, ok: true}
	}
	const longest = 64
	if len(text) > longest {
		return reading{}
	}
	v, err := strconv.ParseFloat(string(text), 64)
	return reading{value: v, ok: err == nil && !math.IsNaN(v) && !math.IsInf(v, 0)}
}

// samples is a heap by due.
type samples []*sample

func (h samples) Len() int           { return len(h) }
func (h samples) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h samples) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *samples) Push(x any) {
	s := x.(*sample)
	s.place = len(*h)
	*h = append(*h, s)
}

func (h *samples) Pop() any {
	last := len(*h) - 1
	s := (*h)[last]
	(*h)[last] = nil
	*h, s.place = (*h)[:last], -1
	return s
}
