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
// when it does not, the next try is lingerSkips windows later, and twice as many
// after each further one. A try that fails is seen after two groups, so that it
// costs a publisher that waits some 40 ms. The rate without is measured anew every
// lingerSkips windows. It belongs to the owner.
type linger struct {
	on    bool
	until time.Time // when the group that is gathering goes; zero: none gathers

	since time.Time // begin of the window
	count int       // messages in it
	rate  float64   // a second, without lingering
	age   int       // windows in this mode
	fails uint      // tries in a row that slowed the publishers down
}

const (
	lingerFor    = 20 * time.Millisecond
	lingerEnough = 64
	lingerWindow = 250 * time.Millisecond
	lingerKeeps  = 0.7
	lingerSkips  = 20
	lingerBacks  = 5 // times that the pause between tries is doubled, at most
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
	if took < lingerWindow && !l.starves(took) {
		return
	}
	if took < 4*lingerWindow { // after a pause the window says nothing
		l.judge(float64(l.count) / took.Seconds())
	}
	l.since, l.count = now, 0
}

// starves: so much less has come than without lingering that the window need not
// be waited for.
func (l *linger) starves(took time.Duration) bool {
	expected := lingerKeeps * l.rate * took.Seconds()
	return l.on && took >= 2*lingerFor && expected >= lingerEnough/4 && float64(l.count) < expected/2
}

// judge decides whether to linger in the next window.
func (l *linger) judge(rate float64) {
	l.age++
	switch {
	case l.on && rate < lingerKeeps*l.rate:
		l.on, l.age = false, 0
		l.fails = min(l.fails+1, lingerBacks+1)
	case l.on && l.age >= lingerSkips:
		l.on, l.age, l.fails = false, 0, 0
	case !l.on:
		l.rate = rate
		if l.fails == 0 || l.age >= lingerSkips<<(l.fails-1) {
			l.on, l.age = true, 0
		}
	}
}
