package storage

import (
	"errors"
	"syscall"
	"time"
)

// The states of Status.
const (
	stateOK     = "ok"
	stateFull   = "full"
	stateFailed = "failed"
	stateHangs  = "hangs"
)

// health says whether the disk takes what it is given. It belongs to the owner.
type health struct {
	err        error // of the last write; nil when it went well
	retryAt    time.Time
	backoff    time.Duration
	probeAt    time.Time // when the disk is looked at again
	free       int64     // bytes on the file system, -1: not known
	short      bool      // less is free than is to be kept
	positionAt time.Time // when positions are synced, at the latest
	hangs      bool      // it was said that the disk does not answer
}

func (h *health) failed(err error, now time.Time, longest time.Duration) {
	h.err = err
	h.backoff = min(max(2*h.backoff, retryMin), longest)
	h.retryAt = now.Add(h.backoff)
}

func (h *health) succeeded() {
	h.err, h.backoff, h.retryAt = nil, 0, time.Time{}
}

// measure takes note of the free space. It is short below the reserve, and until
// an eighth more is free again.
func (h *health) measure(free, reserve int64) {
	if free < 0 {
		return
	}
	h.free = free
	h.short = h.missing(reserve) > 0
}

// missing is how much more must be free for the store not to be full.
func (h *health) missing(reserve int64) int64 {
	reserve = max(reserve, watermark)
	if h.short {
		reserve += reserve / 8
	}
	return max(0, reserve-h.free)
}

// ill: the disk has to be looked at again, although nothing may be due.
func (h *health) ill() bool { return h.err != nil || h.short }

// A disk that keeps the committer waiting hangs. It is said after hangsAfter: a card that
// has to erase before it writes takes a second or two. What waits is refused only after
// refusesAfter, because who is refused has to begin anew.
const (
	hangsAfter   = 3 * time.Second
	refusesAfter = 10 * time.Second
)

// silence is for how long the disk has not answered.
func (l *Log) silence(now time.Time) time.Duration {
	if !l.busy {
		return 0
	}
	return now.Sub(l.busySince)
}

// listen says when the disk begins to hang, and how long until it has to be asked
// whether it does.
func (l *Log) listen(now time.Time) (wait time.Duration) {
	if !l.busy || l.health.hangs {
		return never
	}
	if wait := hangsAfter - l.silence(now); wait > 0 {
		return wait
	}
	l.health.hangs = true
	l.log.Warn("the disk does not answer: what has to be kept is not acknowledged until it does", "for", l.silence(now).Round(time.Second))
	return never
}

// unbusy notes that the committer has come back from the disk with its group.
func (l *Log) unbusy() {
	if l.health.hangs {
		l.health.hangs = false
		l.log.Info("the disk answers again", "after", time.Since(l.busySince).Round(time.Second))
	}
	l.busy = false
}

// Refuses: see broker.Commits. A disk that fails is tried some times before.
func (l *Log) Refuses() bool {
	failing := l.health.err != nil && l.health.backoff >= l.cfg.retry
	return l.without || l.health.full() || failing || l.silence(time.Now()) > refusesAfter
}

// full: no room, by any of the words that a system has for it.
func (h *health) full() bool {
	return h.short || errors.Is(h.err, errFullDisk) || errors.Is(h.err, syscall.ENOSPC) || errors.Is(h.err, syscall.EDQUOT)
}

func (h *health) state() (state, text string) {
	switch {
	case h.full():
		return stateFull, "the disk is full: what is kept stays, new messages that need the disk are refused"
	case h.err != nil:
		return stateFailed, "the disk does not take what is written: " + h.err.Error()
	default:
		return stateOK, ""
	}
}
