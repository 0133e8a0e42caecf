package modbus

import (
	"math/rand/v2"
	"time"
)

// health is what the loop believes of a device. It is a machine without clock:
// each step is told the time.
//
// A device that doesn't answer once is suspect: it is left alone until its answer
// can't come any more, and asked again. If it fails three times (or has never answered
// at all) it is down, and is probed after 2 s, 4 s … 60 s. So a lost frame costs
// one period, and a dead device next to nothing.
type health struct {
	seen      bool // it has answered since the start
	up        bool
	failures  int           // in a row
	notBefore time.Time     // it is not asked earlier
	backoff   time.Duration // the last wait of a device that is down
	problem   string        // in plain words, since the last failure
}

// When a device is down, and how often it is asked then.
const (
	maxFailures  = 3
	minProbeWait = 2 * time.Second
	maxProbeWait = 60 * time.Second
)

// ready says whether the device may be asked at now.
func (h *health) ready(now time.Time) bool { return !now.Before(h.notBefore) }

// down says whether asking is a probe.
func (h *health) down() bool { return !h.up && h.failures > 0 }

// answered is any answer, also an exception.
func (h *health) answered() {
	*h = health{seen: true, up: true}
}

// failed is a request without an answer; the device is asked again not before
// quietUntil.
func (h *health) failed(now, quietUntil time.Time, problem string) {
	h.failures++
	h.problem = problem
	h.notBefore = quietUntil
	if h.seen && h.failures < maxFailures {
		return
	}
	h.up = false
	h.backoff = min(max(2*h.backoff, minProbeWait), maxProbeWait)
	wait := h.backoff - rand.N(h.backoff/8) // so that devices that fell together part
	if again := now.Add(wait); again.After(quietUntil) {
		h.notBefore = again
	}
}

// lost says that the line is down, and with it the device. Once the line is up
// again, the device is asked at once, and that is no probe: nothing is known of it.
func (h *health) lost(problem string) { *h = health{problem: problem} }

// probeBudget keeps the time that is spent on devices which don't answer below a
// share of the line's time, as long as there are devices that do.
type probeBudget struct{ next time.Time } // no probe before

// probeShare is one part in how many of the time may go to dead devices.
const probeShare = 50

func (b *probeBudget) spent(now time.Time, cost time.Duration) {
	b.next = now.Add((probeShare - 1) * cost)
}
