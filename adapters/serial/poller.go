package serial

import "time"

// poller decides when the device is asked, and when its answer is overdue. It
// takes the time from its caller.
type poller struct {
	// Static.
	every, timeout time.Duration // every 0: the device is never asked

	next time.Time // when to ask; zero: at once
	due  time.Time // when the answer must be there; zero: none is awaited
}

// mustAsk says whether it is time to ask.
func (p *poller) mustAsk(now time.Time) bool {
	return p.every > 0 && p.due.IsZero() && !now.Before(p.next)
}

// asked notes that the request was sent at now. Requests keep their rhythm; those
// that were missed are not made up for.
func (p *poller) asked(now time.Time) {
	p.due = now.Add(p.timeout)
	if p.next.IsZero() {
		p.next = now
	}
	missed := now.Sub(p.next) / p.every
	p.next = p.next.Add((missed + 1) * p.every)
}

// overdue says, once for each request, that no answer came in time.
func (p *poller) overdue(now time.Time) bool {
	if p.due.IsZero() || now.Before(p.due) {
		return false
	}
	p.due = time.Time{}
	return true
}

// answered notes that the answer is there.
func (p *poller) answered() { p.due = time.Time{} }

// deadline is when the poller must be asked again; zero: never.
func (p *poller) deadline() time.Time {
	switch {
	case p.every == 0:
		return time.Time{}
	case !p.due.IsZero():
		return p.due
	}
	return p.next
}
