package broker

import (
	"strings"
	"time"
)

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

// audit tells the auditor, with who it is about.
func (c *conn) audit(event, user, client string, args ...any) {
	if c.broker.cfg.Audit == nil {
		return
	}
	from := c.remote
	if c.addr.IsValid() {
		from = c.addr.String() // the port would make each one another
	}
	c.broker.cfg.Audit.Often(event, append([]any{"user", user, "client", client, "address", from}, args...)...)
}

// auditDenied tells the auditor what a client may not do.
func (c *conn) auditDenied(do, topic string) {
	if c.broker.cfg.Audit != nil { // the topic may be in a buffer that is used again
		c.audit("denied", c.client.identity, c.client.id, "action", do, "topic", strings.Clone(topic))
	}
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
