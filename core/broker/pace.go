package broker

import "time"

// pace learns how long a receiver takes to acknowledge, by timing one message at
// a time.
type pace struct {
	usual  time.Duration // 0: not known yet
	timing uint64        // what is being timed: a packet id or a Seq; 0: nothing
	since  time.Time
}

// giveUp is longer than any acknowledgement that is worth waiting for.
const giveUp = 10 * time.Second

// sent starts to time a message, unless another is being timed.
func (p *pace) sent(key uint64, now time.Time) {
	if p.timing == 0 {
		p.timing, p.since = key, now
	}
}

// acknowledged ends that. usual moves an eighth of the way, as a round-trip time
// is smoothed in TCP. A message that may have gone another way (dropped, expired)
// is given up while others are acknowledged.
func (p *pace) acknowledged(key uint64, now time.Time) {
	took := max(now.Sub(p.since), time.Microsecond)
	switch {
	case p.timing == 0:
		return
	case p.timing != key:
		if took > giveUp {
			p.timing = 0
		}
		return
	}
	if p.usual == 0 {
		p.usual = took
	} else {
		p.usual += (took - p.usual) / 8
	}
	p.timing = 0
}

// patience is how long to hope for an acknowledgement before the message is
// written: three times what is usual, but not so short that a hiccup of the machine
// costs a write. It is 0 for a receiver that would not make it.
func (p *pace) patience(now time.Time, most time.Duration) time.Duration {
	switch {
	case p.usual >= most, p.timing != 0 && now.Sub(p.since) >= most:
		return 0
	case p.usual == 0:
		return most
	}
	return min(most, max(3*p.usual, most/5))
}
