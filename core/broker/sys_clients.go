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

// sweepClients publishes what is special about single clients, a slice of them at a
// time. One that comes or goes meanwhile may be left out until the next sweep.
func (b *Broker) sweepClients() {
	if b.sweeping {
		return
	}
	b.sweeping = true
	next := 0
	b.work(func() (more bool) {
		end := min(next+sliceSize, len(b.roster))
		for ; next < end; next++ {
			b.tellQueue(b.roster[next])
		}
		b.sweeping = next < len(b.roster)
		return b.sweeping
	})
}

// tellQueue publishes what waits for a client and what it has lost, if there is
// anything or was when it was told last.
func (b *Broker) tellQueue(cl *client) {
	for _, v := range [...]struct {
		what string
		n    uint64
	}{{"queued", cl.owed()}, {"dropped", cl.lost()}} {
		name := clientTopic(cl.id, v.what)
		if _, told := b.retained.Get(name); v.n > 0 || told {
			b.publishSysValue(strings.TrimPrefix(name, "$SYS/broker/"), strconv.FormatUint(v.n, 10))
		}
	}
}

// forgetClientSys clears what is retained about a session that has ended.
func (b *Broker) forgetClientSys(cl *client) {
	for _, what := range []string{"queued", "dropped"} {
		b.unsetRetained(clientTopic(cl.id, what))
	}
}
