package storage

import "time"

// linger lets small groups gather for a moment, because a sync of one message
// wears the flash as much as a sync of twenty. It does so only where that is
// free: publishers that send at their own pace don't notice, but those that wait
// for each acknowledgement before they send the next would be slowed down to one
// window a linger. Which of the two is the case is measured: the rate of messages
// over a window with lingering is held against the rate without it.
//
// The rule: groups of lingerEnough messages don't wait. Smaller ones wait for
// lingerFor, as long as the rate stays above lingerKeeps of what it was without;
// when it does not, the next try is lingerSkips windows later. The rate without is
// measured anew every lingerSkips windows. It belongs to the owner.
type linger struct {
	on    bool
	until time.Time // when the group that is gathering goes; zero: none gathers

	since  time.Time // begin of the window
	count  int       // messages in it
	rate   float64   // a second, without lingering
	age    int       // windows in this mode
	failed bool      // the last try slowed the publishers down
}

const (
	lingerFor    = 20 * time.Millisecond
	lingerEnough = 64
	lingerWindow = 250 * time.Millisecond
	lingerKeeps  = 0.7
	lingerSkips  = 20
)

// wait says how long a group of which so many messages are there should still gather.
func (l *linger) wait(now time.Time, waiting int) time.Duration {
	if !l.on || waiting >= lingerEnough {
		return 0
	}
	if l.until.IsZero() {
		l.until = now.Add(lingerFor)
	}
	return max(0, l.until.Sub(now))
}

// gone takes note of a group that went to the committer.
func (l *linger) gone(now time.Time, messages int) {
	l.until = time.Time{}
	l.count += messages
	took := now.Sub(l.since)
	if took < lingerWindow {
		return
	}
	if took < 4*lingerWindow { // after a pause the window says nothing
		l.judge(float64(l.count) / took.Seconds())
	}
	l.since, l.count = now, 0
}

// judge decides whether to linger in the next window.
func (l *linger) judge(rate float64) {
	l.age++
	switch {
	case l.on && rate < lingerKeeps*l.rate:
		l.on, l.age, l.failed = false, 0, true
	case l.on && l.age >= lingerSkips:
		l.on, l.age, l.failed = false, 0, false
	case !l.on:
		l.rate = rate
		if !l.failed || l.age >= lingerSkips {
			l.on, l.age = true, 0
		}
	}
}
