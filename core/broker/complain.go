package broker

import "time"

// maxComplaints bounds the lines a second that peers can cause in the log. What is
// beyond is counted all the same (Status.Refused).
const maxComplaints = 20

// quota lets a number of things happen in a second.
type quota struct {
	second   int64
	taken    int
	withheld int
}

// take says whether one more fits, and how many did not since the last that did.
func (q *quota) take(now time.Time) (ok bool, withheld int) {
	if s := now.Unix(); s != q.second {
		q.second, q.taken = s, 0
	}
	if q.taken >= maxComplaints {
		q.withheld++
		return false, 0
	}
	q.taken++
	withheld, q.withheld = q.withheld, 0
	return true, withheld
}

// complain logs what a peer did wrong, unless peers do too much of it: a log is not
// theirs to fill.
func (b *Broker) complain(message string, args ...any) {
	ok, withheld := b.complaints.take(b.now)
	if !ok {
		return
	}
	if withheld > 0 {
		args = append(args, "complaints_withheld", withheld)
	}
	b.log.Info(message, args...)
}
