package broker

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/weir-edge/weir/core"
)

// Events of clients are published as JSON, not retained, when somebody listens:
//
//	$SYS/broker/clients/ID/connected
//	$SYS/broker/clients/ID/disconnected
//	$SYS/broker/clients/ID/subscribed
//
// and with the rest of $SYS, retained, for every session that has something waiting
// or has lost something:
//
//	$SYS/broker/clients/ID/queued    messages owed to it
//	$SYS/broker/clients/ID/dropped   messages that it did not get
//
// In ID the characters that mean something in topics are percent-encoded.
type (
	connectedEvent struct {
		Client         string    `json:"client"`
		User           string    `json:"user,omitempty"`
		Address        string    `json:"address"`
		Listener       string    `json:"listener"`
		Protocol       string    `json:"protocol"`
		Keepalive      float64   `json:"keepalive_seconds"`
		CleanStart     bool      `json:"clean_start"`
		SessionPresent bool      `json:"session_present"`
		Time           time.Time `json:"time"`
	}
	disconnectedEvent struct {
		Client string    `json:"client"`
		User   string    `json:"user,omitempty"`
		Reason string    `json:"reason"`
		Code   byte      `json:"code"`
		Time   time.Time `json:"time"`
	}
	subscribedEvent struct {
		Client string    `json:"client"`
		Filter string    `json:"filter"`
		QoS    byte      `json:"qos"`
		Time   time.Time `json:"time"`
	}
)

// tell publishes an event at the end of the turn, when nothing else is on its way.
func (b *Broker) tell(cl *client, what string, event any) {
	if b.sysFilters == 0 {
		return
	}
	payload, err := json.Marshal(event)
	if err != nil {
		b.log.Error("event of a client not told", "error", err) // our events can always be written
		return
	}
	name := clientTopic(cl.id, what)
	b.work(func() (more bool) {
		b.publishOwn(name, payload, false)
		return false
	})
}

// publishOwn publishes a message of the broker itself. At QoS 0 it is owed to
// nobody, so that there is nothing that could fail.
func (b *Broker) publishOwn(name string, payload []byte, retain bool) {
	b.begin(&core.Message{Topic: name, Payload: payload, Retain: retain, Publisher: "$SYS", Received: b.stamp}, true)
	_, _ = b.take()
}

func clientTopic(id, what string) string {
	return "$SYS/broker/clients/" + escapeID.Replace(id) + "/" + what
}

var escapeID = strings.NewReplacer("%", "%25", "/", "%2F", "+", "%2B", "#", "%23", "\x00", "%00")

// goodbye says how a connection has ended.
func (c *conn) goodbye() string {
	if c.broken {
		return "connection lost"
	}
	if !c.reason.IsError() && c.reason == 0 {
		return "disconnected by the client"
	}
	return c.reason.String()
}

// sweepQueues publishes what waits for single receivers and what they have lost:
// rules, of which there are few, and a slice of the clients at a time. One that comes
// or goes meanwhile may be left out until the next sweep.
func (b *Broker) sweepQueues() {
	if b.sweeping {
		return
	}
	for name, r := range b.rules {
		if q := r.queue; q != nil && q.receiver != 0 {
			b.tellQueue("$SYS/broker/rules/"+escapeID.Replace(name)+"/", b.store.Owed(q.receiver), q.dropped)
		}
	}
	b.sweeping = true
	next := 0
	b.work(func() (more bool) {
		end := min(next+sliceSize, len(b.roster))
		for ; next < end; next++ {
			cl := b.roster[next]
			b.tellQueue(clientTopic(cl.id, ""), cl.owed(), cl.dropped)
		}
		b.sweeping = next < len(b.roster)
		return b.sweeping
	})
}

// tellQueue tells how much waits for somebody, and what was dropped: all of it, and by
// reason. What was never above zero is not told.
func (b *Broker) tellQueue(prefix string, queued uint64, dropped map[core.Reason]uint64) {
	tell := func(what string, n uint64) {
		if _, told := b.retained.Get(prefix + what); n > 0 || told {
			b.publishSysValue(strings.TrimPrefix(prefix, "$SYS/broker/")+what, strconv.FormatUint(n, 10))
		}
	}
	tell("queued", queued)
	all := uint64(0)
	for why, n := range dropped {
		tell("dropped/"+string(why), n)
		all += n
	}
	tell("dropped", all)
}

// forgetClientSys clears what is retained about a session that has ended.
func (b *Broker) forgetClientSys(cl *client) {
	for _, what := range []string{"queued", "dropped"} {
		b.unsetRetained(clientTopic(cl.id, what))
	}
	for why := range cl.dropped {
		b.unsetRetained(clientTopic(cl.id, "dropped/"+string(why)))
	}
}
