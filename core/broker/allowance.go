package broker

import "time"

// allowance is how often something may happen: a rate, and a burst above it. It is the
// moment until which what has happened would last at the rate.
type allowance struct{ at time.Time }

// early says how long before its time one more would be now; 0: it is in time.
func (a *allowance) early(now time.Time, rate, burst int) time.Duration {
	return max(0, max(0, a.at.Sub(now))-time.Duration(burst-1)*every(rate))
}

// take counts one more, early or not.
func (a *allowance) take(now time.Time, rate int) {
	if a.at.Before(now) {
		a.at = now
	}
	a.at = a.at.Add(every(rate))
}

func every(rate int) time.Duration { return time.Second / time.Duration(rate) }

// mayComeBack says whether a client may be connected once more now. It is for
// sessions, whose state the connection before has left to be saved and found.
func (cl *client) mayComeBack() bool {
	rate := cl.broker.cfg.Limits.ReconnectRate
	if rate <= 0 {
		return true
	}
	if cl.returns.early(cl.broker.now, rate, reconnectBurst*rate) > 0 {
		return false
	}
	cl.returns.take(cl.broker.now, rate)
	return true
}

// reconnectBurst is for how many seconds a client may come back at the rate at once.
const reconnectBurst = 5

// pacing keeps a client to the rate at which it may publish: who is early is not read
// from for a while, so that TCP holds the client back and nothing is lost.
type pacing struct {
	allowance
	held  bool
	timer timer
}

// paced counts a message of the client's.
func (c *conn) paced() {
	rate := c.broker.cfg.Limits.PublishRate
	if rate <= 0 {
		return
	}
	if c.pacing == nil {
		c.pacing = &pacing{}
		c.pacing.timer.ring = c.unhold
	}
	p, now := c.pacing, c.broker.now
	p.take(now, rate)
	if wait := p.early(now, rate, rate); wait > 0 && c.phase == open {
		p.held = true
		c.broker.counters.held++
		c.broker.timers.set(&p.timer, now.Add(max(wait, minHold)))
		c.hear()
	}
}

// minHold is how long a client is held back at least: waking up for every message
// would cost more than the messages.
const minHold = 50 * time.Millisecond

// held says whether the connection is not to be read from now: because of its rate, or
// of the store.
func (c *conn) held() bool {
	return c.waits != nil || c.overdrawn != nil || c.pacing != nil && c.pacing.held
}

func (c *conn) unhold(time.Time) {
	if c.phase != open {
		return
	}
	c.pacing.held = false
	c.heard = c.broker.now // it may have spoken: we did not listen
	c.hear()
	c.digest()
}

// hear tells the link whether input is wanted.
func (c *conn) hear() { c.link.listen(!c.deaf && !c.held()) }
