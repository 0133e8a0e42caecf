package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/weir-edge/weir/core/packet"
)

// Which of several servers is dialled. With "primary" the first that answers, in
// their order; and while another than the first is in use, the first is tried in
// the background, and returned to when it is back. With "round-robin" the one
// behind the one that was used last.
const (
	SelectPrimary    = "primary"
	SelectRoundRobin = "round-robin"
)

// order is the order in which servers are tried now.
func (b *Bridge) order() []*server {
	if b.cfg.Select != SelectRoundRobin || b.home == nil {
		return b.servers
	}
	for i, s := range b.servers {
		if s == b.home {
			return append(append([]*server{}, b.servers[i+1:]...), b.servers[:i+1]...)
		}
	}
	return b.servers
}

// homeName is what KeepHome is told of the session at s.
func (b *Bridge) homeName(s *server) string { return s.url + " " + b.cfg.ClientID }

// homeNamed is the server of a session that was told KeepHome. When it is configured no
// more, or our name there is another one, the packet ids belong to none of ours, and the
// session starts clean wherever we go.
func (b *Bridge) homeNamed(name string) *server {
	if !strings.Contains(name, " ") {
		return nil
	}
	for _, s := range b.servers {
		if b.homeName(s) == name {
			return s
		}
	}
	return &server{}
}

// lost says of a home whether it is none of our servers.
func (s *server) lost() bool { return s.url == "" }

// settleAt makes s the server to which the packet ids belong, before any of them is used
// there: who connects to another one after a crash must know, or the session there, from
// earlier days, takes new messages for repetitions. A full disk is no reason not to
// connect: only so it is drained.
func (b *Bridge) settleAt(s *server) {
	if s == b.servers[0] {
		b.vain = 0
	}
	if s == b.home {
		return
	}
	b.home = s
	if b.cfg.KeepHome == nil {
		return
	}
	if err := b.cfg.KeepHome(b.homeName(s)); err != nil {
		b.log.Error("which server is in use will not be known after a restart", "url", s.url, "error", err)
	}
}

// watchPrimary tries the first server, and tells the owner when it is back.
func (l *link) watchPrimary() {
	b := l.b
	l.failBack = l.now.Add(b.failBackAfter())
	b.probes.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), b.cfg.ConnectTimeout)
		defer cancel()
		stop := context.AfterFunc(b.running, cancel)
		defer stop()
		conn, err := b.open(ctx, b.servers[0])
		if err != nil {
			b.log.Debug("the first server is still away", "url", b.servers[0].url, "error", err)
			return
		}
		conn.Close()
		b.events.post(event{primary: true, link: l.id})
	})
}

// failBackAt is when the first server is tried again; zero: never.
func (b *Bridge) failBackAt(s *server, now time.Time) time.Time {
	if b.cfg.Select == SelectRoundRobin || s == b.servers[0] {
		return time.Time{}
	}
	return now.Add(b.failBackAfter())
}

// failBackAfter is how long another server than the first is used at least. What is
// tried is whether the first can be reached; behind a load balancer there may be nobody
// all the same. Each time that the connection was given up for that in vain it is twice
// as long.
func (b *Bridge) failBackAfter() time.Duration { return b.cfg.FailBack << min(b.vain, failBackDoubles) }

const failBackDoubles = 6

// rivals watches for another client that has our client id: each throws the other
// out, and both come back. MQTT 5 says so (0x8E); but Mosquitto 2.0 does not, and
// 3.1.1 cannot: there it is guessed from an upstream that closes one connection after
// the other, soon after CONNACK, with nothing under way that it could have disliked.
type rivals struct {
	count  int
	last   time.Time
	closed int // connections in a row that were closed so
}

// When closed connections are taken for the work of a rival.
const (
	rivalSoon   = time.Minute
	rivalCloses = 4
)

// rivalMemory is how long after it a take-over is still shown.
const rivalMemory = 10 * time.Minute

// ended looks at how a connection ended, after it had lasted for lived (0: there was
// none). idle: nothing of ours was under way.
func (r *rivals) ended(err error, lived time.Duration, idle bool, now time.Time) {
	var refused *refusal
	switch {
	case errors.As(err, &refused) && refused.reason == packet.SessionTakenOver:
		if now.Sub(r.last) > rivalMemory {
			r.count = 0
		}
		r.count++
		r.last = now
	case lived == 0: // says nothing
	case lived < rivalSoon && idle && errors.Is(err, io.EOF):
		r.closed++
	default:
		r.closed = 0
	}
}

// warning is what is shown while connected; "" if all is well.
func (r *rivals) warning(now time.Time) string {
	if r.count == 0 || now.Sub(r.last) > rivalMemory {
		return r.suspicion()
	}
	return fmt.Sprintf("another client uses the same client_id: it has taken over our session %d times, last at %s; give each gateway its own",
		r.count, r.last.Format(time.TimeOnly))
}

// suspicion is what is shown of a rival of whom the upstream does not tell.
func (r *rivals) suspicion() string {
	if r.closed < rivalCloses {
		return ""
	}
	return "the upstream closes each connection soon after it was made: does another client use the same client_id?"
}
