package exchange

import "time"

// Exchange is one request with its answer.
type Exchange struct {
	// Static.
	Every   time.Duration // 0: only once
	Timeout time.Duration // for the answer; 0: there is none
	Retries int           // so often is it asked again when no answer comes
	Pause   time.Duration // of the line between the end of this and the next request

	next  time.Time // when to ask; zero: at once
	tries int       // of this turn
}

// Rotation gives exchanges their turns. One is on the line at a time; of those
// whose time has come, the one that has waited longest is next.
type Rotation struct {
	all []*Exchange

	current *Exchange // its answer is awaited
	again   *Exchange // it is to be asked again
	sent    time.Time // the request of current
	free    time.Time // the line is, from then on
}

// NewRotation makes the rotation of all that are asked again and again.
func NewRotation(all []*Exchange) *Rotation { return &Rotation{all: all} }

// Restart forgets an exchange that is going on: the line was opened anew.
func (r *Rotation) Restart() { r.current, r.again, r.free = nil, nil, time.Time{} }

// Current is the exchange whose answer is awaited, or nil.
func (r *Rotation) Current() *Exchange { return r.current }

// Idle says whether the line may be used now.
func (r *Rotation) Idle(now time.Time) bool { return r.current == nil && !now.Before(r.free) }

// Pick is the exchange to begin now, or nil.
func (r *Rotation) Pick(now time.Time) *Exchange {
	if !r.Idle(now) {
		return nil
	}
	if r.again != nil {
		return r.again
	}
	if e := r.first(); e != nil && !now.Before(e.next) {
		return e
	}
	return nil
}

// first is the exchange whose time comes first.
func (r *Rotation) first() (first *Exchange) {
	for _, e := range r.all {
		if first == nil || e.next.Before(first.next) {
			first = e
		}
	}
	return first
}

// Sent notes that the request of e was sent at now. Exchanges keep their rhythm;
// turns that were missed are not made up for.
func (r *Rotation) Sent(e *Exchange, now time.Time) {
	r.current, r.again, r.sent = e, nil, now
	if e.tries++; e.tries > 1 || e.Every == 0 {
		return
	}
	if e.next.IsZero() {
		e.next = now
	}
	missed := now.Sub(e.next) / e.Every
	e.next = e.next.Add((missed + 1) * e.Every)
}

// Answered ends the current exchange and says how long the answer took.
func (r *Rotation) Answered(now time.Time) time.Duration {
	if r.current == nil {
		return 0
	}
	r.current.tries = 0
	r.end(now)
	return now.Sub(r.sent)
}

// Failed ends the current exchange, whose request found no answer, or could not
// be sent. again says that it will be repeated.
func (r *Rotation) Failed(now time.Time) (again bool) {
	e := r.current
	if again = e.tries <= e.Retries; again {
		r.again = e
	} else {
		e.tries = 0
	}
	r.end(now)
	return again
}

func (r *Rotation) end(now time.Time) {
	r.free = now.Add(r.current.Pause)
	r.current = nil
}

// Overdue says whether the answer should be there by now.
func (r *Rotation) Overdue(now time.Time) bool {
	return r.current != nil && !now.Before(r.sent.Add(r.current.Timeout))
}

// Deadline is when the rotation must be asked again; zero: never.
func (r *Rotation) Deadline() time.Time {
	if r.current != nil {
		return r.sent.Add(r.current.Timeout)
	}
	if r.again != nil {
		return r.free
	}
	e := r.first()
	switch {
	case e == nil:
		return time.Time{}
	case e.next.Before(r.free):
		return r.free
	}
	return e.next
}

// Free is when the line may be used next.
func (r *Rotation) Free() time.Time { return r.free }

// Repeats says whether an exchange is to be asked again.
func (r *Rotation) Repeats() bool { return r.again != nil }
