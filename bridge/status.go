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
	inflight atomic.Int64
	rtt      atomic.Int64 // ns

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

func (s *status) waiting(why string, refused bool) {
	s.inflight.Store(0)
	s.change(func(b *core.BridgeStatus) {
		b.State, b.Error, b.Window = stateWaiting, why, 0
		if refused {
			b.State = stateRefused
		}
	})
}

func (s *status) paused() {
	s.inflight.Store(0)
	s.change(func(b *core.BridgeStatus) { b.State, b.Error, b.Window, b.Until = statePaused, "", 0, "" })
}

// resting is no error: the configuration wants it.
func (s *status) resting(until string) {
	s.inflight.Store(0)
	s.change(func(b *core.BridgeStatus) { b.State, b.Error, b.Window, b.Until = stateResting, "", 0, until })
}

// trend is how fast what is owed gets less, from one look to the next.
type trend struct {
	at    time.Time
	owed  uint64
	speed float64 // messages a second, smoothed; negative: it grows
}

// trendEvery is the least time between two looks that count.
const trendEvery = time.Second

func (t *trend) look(now time.Time, owed uint64) {
	switch d := now.Sub(t.at); {
	case t.at.IsZero() || d > time.Minute:
		*t = trend{at: now, owed: owed}
	case d >= trendEvery:
		speed := (float64(t.owed) - float64(owed)) / d.Seconds()
		*t = trend{at: now, owed: owed, speed: t.speed + (speed-t.speed)/2}
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
	b.status.look(time.Now(), s.Owed)
	s.DrainRate, s.DrainSeconds = b.status.speed, b.status.eta(s.Owed)
	return s
}
