package adapters

import (
	"sync/atomic"

	"github.com/weir-edge/weir/core"
)

// Reporter turns readings into messages and gives them to the bus.
//
// One goroutine owns it and calls Report and ReportBatch; the counters may be
// read by any.
type Reporter struct {
	// Static after construction.
	out       Output
	publisher string
	clock     *core.Clock
	bus       Bus

	// Owned by the caller of Report.
	points  map[pointKey]*pointState
	devices map[string]*deviceState
	ts      timeText
	scratch []byte    // a document is built here, and copied once its size is known
	batch   []Reading // what the rules let through
	passed  []*pointState

	readings atomic.Uint64
	lost     atomic.Uint64
}

type pointKey struct{ device, point string }

// pointState is what is remembered of a point between its readings.
type pointState struct {
	key   pointKey
	topic string
	last  reported
}

// deviceState is what is remembered of a device between its batches.
type deviceState struct {
	topic string        // of its documents
	order []*pointState // of the last batch: the next most likely has the same
}

// NewReporter makes the reporter of one adapter. out is valid.
func NewReporter(out Output, clock *core.Clock, bus Bus) *Reporter {
	if out.Format == "" {
		out.Format = JSON
	}
	return &Reporter{
		out:       out,
		publisher: publisher(out.Adapter),
		clock:     clock,
		bus:       bus,
		points:    make(map[pointKey]*pointState),
		devices:   make(map[string]*deviceState),
	}
}

// publisher is what the messages of an adapter have as their publisher.
func publisher(adapter string) string { return "adapter:" + adapter }

// Readings counts what was published, Lost what the bus did not take.
func (p *Reporter) Readings() uint64 { return p.readings.Load() }

// Lost counts the readings that the bus did not take.
func (p *Reporter) Lost() uint64 { return p.lost.Load() }

// Report publishes r, if rule wants it published now. The error is the bus's:
// the reading is lost then, and counted. With [JSONBatch] it becomes a document
// of one value.
func (p *Reporter) Report(r Reading, rule Rule) error {
	if p.out.Format == JSONBatch {
		return p.ReportBatch(r.Device, []Reading{r}, []Rule{rule})
	}
	return p.report(r, rule, p.state(pointKey{r.Device, r.Point}))
}

func (p *Reporter) report(r Reading, rule Rule, point *pointState) error {
	p.stamp(&r)
	r = r.checked()
	if !rule.wants(&r, &point.last) || p.out.Format == Raw && r.Value == nil {
		return nil
	}
	// The payload of most readings fits into the message's own allocation.
	m := new(struct {
		core.Message
		inline [96]byte
	})
	m.Payload = appendReading(m.inline[:0], p.out.Format, &r, p.ts.of(r.Time.Time()))
	p.address(&m.Message, point.topic, r.Time)
	if err := p.publish(&m.Message, 1); err != nil {
		return err // not remembered: the next reading is a change again
	}
	point.last = reported{r.Value, r.Quality, r.Time}
	return nil
}

// ReportBatch publishes those of a device's readings that their rules want
// published now: in one document with [JSONBatch], else each by itself. rules
// has a rule for each reading, or is nil.
func (p *Reporter) ReportBatch(device string, readings []Reading, rules []Rule) error {
	d := p.device(device)
	if p.out.Format != JSONBatch {
		return p.reportEach(d, readings, rules)
	}
	p.choose(d, readings, rules)
	if len(p.batch) == 0 {
		return nil
	}
	at := p.batch[len(p.batch)-1].Time
	p.scratch = appendBatch(p.scratch[:0], device, p.batch, p.ts.of(at.Time()), at.Synced)
	m := &core.Message{Payload: append([]byte(nil), p.scratch...)}
	p.address(m, d.topic, at)
	if err := p.publish(m, len(p.batch)); err != nil {
		return err
	}
	for i, r := range p.batch {
		p.passed[i].last = reported{r.Value, r.Quality, r.Time}
	}
	return nil
}

// reportEach reports one by one; the first error is returned, after all.
func (p *Reporter) reportEach(d *deviceState, readings []Reading, rules []Rule) (failed error) {
	for i, r := range readings {
		if err := p.report(r, ruleOf(rules, i), p.inOrder(d, i, pointKey{r.Device, r.Point})); failed == nil {
			failed = err
		}
	}
	return failed
}

// choose puts into p.batch and p.passed what is to be published.
func (p *Reporter) choose(d *deviceState, readings []Reading, rules []Rule) {
	clear(p.batch)
	p.batch, p.passed = p.batch[:0], p.passed[:0]
	for i, r := range readings {
		p.stamp(&r)
		r = r.checked()
		point := p.inOrder(d, i, pointKey{r.Device, r.Point})
		if ruleOf(rules, i).wants(&r, &point.last) {
			p.batch, p.passed = append(p.batch, r), append(p.passed, point)
		}
	}
}

func ruleOf(rules []Rule, i int) Rule {
	if rules == nil {
		return Rule{}
	}
	return rules[i]
}

func (p *Reporter) stamp(r *Reading) {
	if r.Time.IsZero() {
		r.Time = p.clock.Now()
	}
}

func (p *Reporter) state(key pointKey) *pointState {
	s := p.points[key]
	if s == nil {
		s = &pointState{key: key, topic: p.out.PointTopic(key.device, key.point)}
		p.points[key] = s
	}
	return s
}

// inOrder is the state of the point that is number i of d's batch.
func (p *Reporter) inOrder(d *deviceState, i int, key pointKey) *pointState {
	if i < len(d.order) && d.order[i].key == key {
		return d.order[i]
	}
	s := p.state(key)
	d.order = append(d.order[:min(i, len(d.order))], s)
	return s
}

func (p *Reporter) device(name string) *deviceState {
	d := p.devices[name]
	if d == nil {
		d = &deviceState{topic: p.out.DeviceTopic(name)}
		p.devices[name] = d
	}
	return d
}

func (p *Reporter) address(m *core.Message, topic string, at core.Stamp) {
	m.Topic, m.QoS, m.Retain = topic, p.out.QoS, p.out.Retain
	m.Publisher, m.Received = p.publisher, at
}

func (p *Reporter) publish(m *core.Message, readings int) error {
	if err := p.bus.Publish(m); err != nil {
		p.lost.Add(uint64(readings))
		return err
	}
	p.readings.Add(uint64(readings))
	return nil
}
