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

// hangsAfter is when a disk counts as one that hangs: a tired memory card takes its
// seconds for a write, and is waited for.
const hangsAfter = 10 * time.Second

// Refuses: see broker.Commits. A disk that fails is tried some times before.
func (l *Log) Refuses() bool {
	failing := l.health.err != nil && l.health.backoff >= l.cfg.retry
	hanging := l.busy && time.Since(l.busySince) > hangsAfter
	return l.without || l.health.full() || failing || hanging
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
