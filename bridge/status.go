package bridge

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-edge/weir/core"
)

// The states of a bridge.
const (
	stateConnecting = "connecting"
	stateConnected  = "connected"
	stateWaiting    = "waiting"
	stateRefused    = "refused"
	statePaused     = "paused"
	stateResting    = "resting"
)

// status is what others see of the bridge.
type status struct {
	inflight  atomic.Int64
	rtt       atomic.Int64  // ns
	writes    atomic.Uint64 // to connections
	gathering atomic.Bool

	mu  sync.Mutex
	now core.BridgeStatus // without what is counted elsewhere
	trend
}

func (s *status) start(name, url string) {
	s.now = core.BridgeStatus{Name: name, URL: url, State: stateConnecting, Since: time.Now()}
}

func (s *status) change(f func(*core.BridgeStatus)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.now.State
	f(&s.now)
	if s.now.State != before {
		s.now.Since = time.Now()
	}
}

// dialing keeps the last error: it is the answer to why there is no connection.
func (s *status) dialing(url string) {
	s.change(func(b *core.BridgeStatus) { b.State, b.URL, b.Until = stateConnecting, url, "" })
}

// away: there is no connection.
func (s *status) away() {
	s.inflight.Store(0)
	s.gathering.Store(false)
}

func (s *status) waiting(why string, refused bool) {
	s.away()
	s.change(func(b *core.BridgeStatus) {
		b.State, b.Error, b.Window = stateWaiting, why, 0
		if refused {
			b.State = stateRefused
		}
	})
}

func (s *status) paused() {
	s.away()
	s.change(func(b *core.BridgeStatus) { b.State, b.Error, b.Window, b.Until = statePaused, "", 0, "" })
}

// resting is no error: the configuration wants it.
func (s *status) resting(until string) {
	s.away()
	s.change(func(b *core.BridgeStatus) { b.State, b.Error, b.Window, b.Until = stateResting, "", 0, until })
}

// trend is what changes from one look to the next: how fast what is owed gets less, and
// how many messages a write carries.
type trend struct {
	at    time.Time
	owed  uint64
	speed float64 // messages a second, smoothed; negative: it grows

	published uint64
	writes    uint64
	perWrite  float64
}

// trendEvery is the least time between two looks that count.
const trendEvery = time.Second

func (t *trend) look(now time.Time, owed, published, writes uint64) {
	d, was := now.Sub(t.at), *t
	if d < trendEvery && !t.at.IsZero() {
		return
	}
	*t = trend{at: now, owed: owed, published: published, writes: writes}
	if was.at.IsZero() || d > time.Minute {
		return
	}
	speed := (float64(was.owed) - float64(owed)) / d.Seconds()
	t.speed = was.speed + (speed-was.speed)/2
	if n := writes - was.writes; n > 0 {
		t.perWrite = float64(published-was.published) / float64(n)
	}
}

// eta is when nothing will be owed any more, in seconds; 0 when that is not known.
func (t *trend) eta(owed uint64) float64 {
	if t.speed <= 0 || owed == 0 {
		return 0
	}
	return float64(owed) / t.speed
}

func (s *status) connected(g *greeting, window int, again bool) {
	s.change(func(b *core.BridgeStatus) {
		b.State, b.Error, b.URL, b.Window = stateConnected, "", g.server.url, window
		b.Protocol = g.protocol()
		if again {
			b.Reconnects++
		}
	})
}

// complain shows something that is wrong while the connection stands.
func (s *status) complain(what string) {
	s.change(func(b *core.BridgeStatus) { b.Error = what })
}

// observe takes a new measurement of the round trip, and smoothes as TCP does.
func (s *status) observe(rtt time.Duration) {
	old := s.rtt.Load()
	if old == 0 {
		s.rtt.Store(int64(rtt))
		return
	}
	s.rtt.Store(old + (int64(rtt)-old)/8)
}

// tally counts what went over a rule.
type tally struct {
	messages atomic.Uint64

	mu      sync.Mutex
	dropped map[core.Reason]uint64
}

func (t *tally) drop(why core.Reason) { t.dropMany(why, 1) }

func (t *tally) dropMany(why core.Reason, n int) {
	if n == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dropped == nil {
		t.dropped = make(map[core.Reason]uint64)
	}
	t.dropped[why] += uint64(n)
}

func (t *tally) drops() map[core.Reason]uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.dropped)
}

// sum adds what the queue has counted.
func sum(a, b map[core.Reason]uint64) map[core.Reason]uint64 {
	if a == nil {
		return b
	}
	for why, n := range b {
		a[why] += n
	}
	return a
}

// Status is a snapshot; it may be called from any goroutine.
func (b *Bridge) Status() core.BridgeStatus {
	b.status.mu.Lock()
	s := b.status.now
	b.status.mu.Unlock()
	s.Inflight = int(b.status.inflight.Load())
	s.Writes, s.Gathering = b.status.writes.Load(), b.status.gathering.Load()
	s.RTT = time.Duration(b.status.rtt.Load()).Seconds()
	s.Rules = make([]core.RuleStatus, 0, len(b.outlets)+len(b.inlets))
	for _, o := range b.outlets {
		if o.second {
			continue
		}
		r := core.RuleStatus{
			Direction: "out", Filter: o.rule.LocalFilter(), Messages: o.tally.messages.Load(), Owed: o.queue.Owed(), Receiver: o.receiver,
			Paused: o.paused.Load(), Dropped: sum(o.tally.drops(), o.queue.Dropped()),
		}
		if o.beside != nil {
			r.Beside = o.beside.receiver
			r.Owed += o.beside.queue.Owed()
			r.Dropped = sum(r.Dropped, o.beside.queue.Dropped())
		}
		s.Published += r.Messages
		s.Owed += r.Owed
		s.Rules = append(s.Rules, r)
	}
	for _, i := range b.inlets {
		n := i.tally.messages.Load()
		s.Received += n
		s.Rules = append(s.Rules, core.RuleStatus{
			Direction: "in", Filter: i.filter, Messages: n, Dropped: i.tally.drops(),
		})
	}
	b.status.mu.Lock()
	defer b.status.mu.Unlock()
	b.status.look(time.Now(), s.Owed, s.Published, s.Writes)
	s.DrainRate, s.DrainSeconds, s.PerWrite = b.status.speed, b.status.eta(s.Owed), b.status.perWrite
	return s
}
