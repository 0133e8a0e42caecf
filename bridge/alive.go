package bridge

import (
	"time"

	"github.com/weir-edge/weir/core/packet"
)

// deadline is when expire must be called, if nothing happens before.
func (l *link) deadline() time.Time {
	first := l.deadAt()
	for _, t := range []time.Time{l.pingAt(), l.stuckAt(), l.redial, l.failBack, l.renew} {
		if !t.IsZero() && t.Before(first) {
			first = t
		}
	}
	if wait := l.b.drain.wait(l.now); wait > 0 {
		first = earlier(first, l.now.Add(wait))
	}
	for _, o := range l.b.outlets {
		if o.thin == nil {
			continue
		}
		if t := o.thin.wakeAt(l.now); !t.IsZero() {
			first = earlier(first, t)
		}
	}
	if l.stopping {
		return earlier(first, l.stopBy)
	}
	if t := l.gather.wakeAt(l.now); !t.IsZero() {
		first = earlier(first, t)
	}
	return first
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// deadAt is when an upstream that sends nothing is taken for dead: one and a half
// keep-alives after its last sign of life, as a server does with a client
// [MQTT-3.1.2-22].
func (l *link) deadAt() time.Time { return l.received.Add(l.keepalive + l.keepalive/2) }

// pingAt is when PINGREQ is due: nothing was sent, or nothing came, for a
// keep-alive [MQTT-3.1.2-20]. While traffic goes both ways there is none.
func (l *link) pingAt() time.Time {
	if !l.pinged.IsZero() {
		return l.sent.Add(l.keepalive)
	}
	return earlier(l.sent, l.received).Add(l.keepalive)
}

// stuckAt is when an upstream that lives but acknowledges nothing is given up;
// zero when there is nothing to be acknowledged.
func (l *link) stuckAt() time.Time {
	if l.b.out.Active() == 0 && len(l.subs) == 0 {
		return time.Time{}
	}
	return l.progress.Add(l.b.cfg.AckTimeout)
}

// expire does what time asks for.
func (l *link) expire() {
	l.idle()
	stuck := l.stuckAt()
	switch {
	case !l.now.Before(l.deadAt()):
		l.fail(errSilent)
	case !stuck.IsZero() && !l.now.Before(stuck):
		l.fail(errStuck)
	case !l.redial.IsZero() && !l.now.Before(l.redial):
		l.fail(errAskAgain)
	case !l.renew.IsZero() && !l.now.Before(l.renew):
		l.renew = time.Time{}
		l.wind(errRenew, refusalGrace)
	case !l.failBack.IsZero() && !l.now.Before(l.failBack):
		l.watchPrimary()
	case !l.now.Before(l.pingAt()):
		l.ping()
	}
}

func (l *link) ping() {
	l.filling = (&packet.Pingreq{}).AppendTo(l.filling, l.g.version)
	l.pinged, l.sent = l.now, l.now
}

func (l *link) pong() {
	if l.pinged.IsZero() {
		return
	}
	l.b.status.observe(l.now.Sub(l.pinged))
	l.pinged = time.Time{}
}
