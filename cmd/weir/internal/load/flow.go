//go:build linux

package load

import (
	"fmt"
	"time"

	"github.com/weir-edge/weir/core/packet"
)

// flow is messages from publishers to subscribers.
type flow struct {
	run  *run
	id   uint32 // in the stamps
	fan  int    // deliveries per message
	pubs []*publisher
	subs []*subscriber
	turn int // of the publishers

	sent      uint64 // messages
	delivered uint64 // fresh ones
	forgone   uint64 // deliveries that are waited for no longer
	latency   histogram
	last      int64 // when something was delivered last

	payload []byte
	limit   uint64 // of sent; the phase ends there
	until   int64  // or there
}

// publisher sends numbered messages on its topics, one after the other.
type publisher struct {
	idle
	conn     *conn
	number   uint32
	sequence uint64
	topics   []string
}

// subscriber follows the streams of the publishers.
type subscriber struct {
	flow    *flow
	conn    *conn
	filters []string
	streams []stream // by publisher
}

func (s *subscriber) ready(c *conn) {
	s.conn = c
	c.subscribe(s.flow.run.o.QoS, s.filters...)
}

func (p *publisher) ready(c *conn) { p.conn = c }

func (s *subscriber) publish(_ *conn, p *packet.Publish) {
	m, ok := readStamp(p.Payload)
	f := s.flow
	if !ok || m.run != f.id || p.Retain {
		return // somebody else's
	}
	now := f.run.now
	f.last = now
	if s.streams[m.publisher].take(m.sequence) {
		f.delivered++
		f.latency.add(now - m.time)
	}
}

// flow runs a scenario of publishers and subscribers.
func (r *run) flow(s shape) error {
	f := newFlow(r)
	for i := range r.o.Subscribers {
		f.subscriber(s.filter(r.prefix(), i))
	}
	for i := range r.o.Publishers {
		f.publisher(s.topic(r.prefix(), i))
	}
	if s.all {
		f.fan = r.o.Subscribers
	}
	if err := f.connect(); err != nil {
		return err
	}
	c, n, err := f.measured()
	if err != nil {
		return err
	}
	r.account(c, n, &f.latency)
	f.count()
	return nil
}

func newFlow(r *run) *flow {
	return &flow{run: r, id: uint32(time.Now().UnixNano()), fan: 1, payload: make([]byte, r.o.Size)}
}

func (f *flow) subscriber(filters ...string) {
	f.subs = append(f.subs, &subscriber{flow: f, filters: filters})
}

func (f *flow) publisher(topics ...string) {
	f.pubs = append(f.pubs, &publisher{number: uint32(len(f.pubs)), topics: topics})
}

// connect opens all connections, the subscribers first.
func (f *flow) connect() error {
	for _, s := range f.subs {
		s.streams = make([]stream, len(f.pubs))
	}
	if err := f.run.open(len(f.subs), func(i int) role { return f.subs[i] }); err != nil {
		return err
	}
	if f.run.refused > 0 {
		return fmt.Errorf("the broker refused %d subscriptions", f.run.refused)
	}
	return f.run.open(len(f.pubs), func(i int) role { return f.pubs[i] })
}

// measured warms up, then runs and says what that cost for how many deliveries.
func (f *flow) measured() (cost, uint64, error) {
	if err := f.phase(f.run.o.Warmup, f.run.o.Messages/10); err != nil {
		return cost{}, 0, err
	}
	before := f.delivered
	f.latency.reset()
	c, err := f.run.measure(func() error { return f.phase(f.run.o.Duration, f.run.o.Messages) })
	return c, f.delivered - before, err
}

// count adds up what the streams have seen.
func (f *flow) count() {
	r := f.run.result
	r.Sent += f.sent
	r.Delivered += f.delivered
	r.Lost += f.sent*uint64(f.fan) - f.delivered
	for _, s := range f.subs {
		for i := range s.streams {
			r.Duplicate += s.streams[i].duplicate
			r.OutOfOrder += s.streams[i].late
		}
	}
}

// phase publishes for a time, or a number of messages if that is not 0, and waits
// until all have arrived.
func (f *flow) phase(d time.Duration, messages int) error {
	e := f.run.engine
	f.until, f.limit = e.tick()+int64(d), ^uint64(0)
	if messages > 0 {
		f.until, f.limit = 1<<62, f.sent+uint64(messages)
	}
	publish, stop, err := f.pace()
	if err != nil {
		return err
	}
	defer stop()
	f.last = e.now
	return e.run(d+phaseLimit, func() bool {
		if e.err != nil {
			return true
		}
		publish()
		return f.ended() && f.settled()
	})
}

// phaseLimit is how much longer than planned a phase may take: a broker that is
// slower than the rest of the run needs has time for its backlog.
const phaseLimit = 5 * time.Minute

func (f *flow) ended() bool { return f.run.now >= f.until || f.sent >= f.limit }

// outstanding is the deliveries on their way.
func (f *flow) outstanding() int {
	return int(f.sent*uint64(f.fan) - f.delivered - f.forgone)
}

// unacknowledged is whether a publisher waits for the broker.
func (f *flow) unacknowledged() bool {
	for _, p := range f.pubs {
		if p.conn.open > 0 || len(p.conn.out) > 0 {
			return true
		}
	}
	return false
}

// settled is true when everything has arrived, or nothing has for too long.
func (f *flow) settled() bool {
	if f.outstanding() <= 0 && !f.unacknowledged() {
		return true
	}
	return f.run.now-f.last > int64(f.run.o.Patience)
}

// pace is what publishes in each turn of the loop.
func (f *flow) pace() (publish, stop func(), err error) {
	if f.run.o.Rate == 0 {
		return f.fill, func() {}, nil
	}
	start, first := f.run.tick(), f.sent
	t, err := newTicker(f.run.poll, time.Second/time.Duration(f.run.o.Rate), func() { f.due(start, first) })
	if err != nil {
		return nil, nil, err
	}
	return func() {}, t.close, nil
}

// due publishes what the rate asks for by now, one message a write.
func (f *flow) due(start int64, first uint64) {
	now := f.run.tick()
	target := first + uint64(float64(now-start)*float64(f.run.o.Rate)/1e9)
	for range min(target-min(target, f.sent), maxBurst) {
		if f.ended() {
			return
		}
		p := f.nextPublisher()
		if p.conn.full {
			continue // the broker is behind: the rate is missed
		}
		f.batch(p, 1)
	}
}

// maxBurst is what one tick may catch up with, so that the loop reads between.
const maxBurst = 64

func (f *flow) nextPublisher() *publisher {
	f.turn = (f.turn + 1) % len(f.pubs)
	return f.pubs[f.turn]
}

// fill keeps the window of the closed loop full. It waits until half of it is free,
// so that writes are as large as they may be.
func (f *flow) fill() {
	o := &f.run.o
	out := f.outstanding()
	if out > 0 && f.run.now-f.last > int64(f.run.o.Patience) {
		f.forgone += uint64(out)
		out = 0
	}
	if f.ended() || out > o.Window/2 {
		return
	}
	room := max((o.Window-out)/f.fan, 1)
	for range f.pubs {
		if room <= 0 {
			return
		}
		p := f.nextPublisher()
		room -= f.batch(p, min(room, f.allowed(p)))
	}
}

// allowed is how many messages p may send at once: as many as fit in a write, and
// none until half of its own window is free.
func (f *flow) allowed(p *publisher) int {
	if p.conn.full {
		return 0
	}
	n := max(batchSize/(f.run.o.Size+len(p.topics[0])+6), 1)
	if f.run.o.QoS == 0 {
		return n
	}
	window := min(f.run.o.Inflight, f.run.receiveMaximum)
	if p.conn.open > window/2 {
		return 0
	}
	return min(n, window-p.conn.open)
}

const batchSize = 16 << 10

// batch sends n messages with one write.
func (f *flow) batch(p *publisher, n int) int {
	n = int(min(uint64(n), f.limit-f.sent))
	if n <= 0 {
		return 0
	}
	c, o := p.conn, &f.run.o
	now := f.run.tick()
	for range n {
		stamp{f.id, p.number, p.sequence, now}.put(f.payload)
		var id uint16
		if o.QoS > 0 {
			id = c.packetID()
			c.open++
		}
		topic := p.topics[p.sequence%uint64(len(p.topics))]
		c.out = packet.AppendPublish(c.out, o.Version, false, o.QoS, false, topic, id, nil, f.payload)
		p.sequence++
		f.sent++
	}
	if err := c.flush(); err != nil {
		f.run.lost(c, err)
	}
	return n
}
