package broker

import (
	"errors"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/session"
)

// will is what a client leaves behind. It is on record while it can come due, lazily:
// after an end of the broker, planned or not, those of sessions wait for their
// clients as long as their delay says, and all others are published at the start.
// message is shared with the store and never changed.
type will struct {
	message *core.Message
	delay   time.Duration
}

// newWill copies a will out of a CONNECT.
func newWill(w *packet.Will, clientID string) *will {
	out := &will{message: &core.Message{
		Topic: string(w.Topic), Payload: append([]byte{}, w.Payload...), QoS: w.QoS,
		Retain:     w.Retain, // [MQTT-3.1.2-14] [MQTT-3.1.2-15]
		Publisher:  clientID,
		Properties: session.Properties(w.Properties), // [MQTT-3.1.3-10]
		Expiry:     session.Expiry(w.Properties),
	}}
	if w.Properties != nil && w.Properties.WillDelay != nil {
		out.delay = time.Duration(*w.Properties.WillDelay) * time.Second
	}
	return out
}

// setWill is called with each connection [MQTT-3.1.2-7]; the delayed will before it
// is never sent [MQTT-3.1.3-9].
func (cl *client) setWill(w *will) {
	switch {
	case w != nil:
		cl.broker.store.Record(core.WillSaved{Will: core.Will{
			ClientID: cl.id, Identity: cl.identity, Delay: w.delay, Message: w.message,
		}}, true)
	case cl.willSaved:
		cl.forgetWill()
	}
	cl.takeWill()
	cl.putWill(w)
	cl.willSaved = w != nil
}

// putWill and takeWill are where wills come and go.
func (cl *client) putWill(w *will) {
	cl.will = w
	cl.broker.willBytes += w.size()
}

func (cl *client) takeWill() *will {
	w := cl.will
	cl.will = nil
	cl.broker.willBytes -= w.size()
	return w
}

func (w *will) size() int64 {
	if w == nil {
		return 0
	}
	return int64(w.message.Size())
}

// forgetWill takes it off the record.
func (cl *client) forgetWill() {
	cl.broker.store.Record(core.WillDropped{ClientID: cl.id}, true)
	cl.willSaved = false
}

// publishWill publishes the will, once [MQTT-3.1.2-10].
func (cl *client) publishWill() {
	m := cl.takeWill().message
	cl.willSaved = false
	cl.broker.publishWill(cl.principal(), m)
}

// publishWill publishes a will, if its client may still publish there. That it is
// over becomes durable with it.
func (b *Broker) publishWill(who Principal, of *core.Message) {
	over := b.willIsOver(who.ClientID)
	if !b.may(who, Publish, of.Topic) {
		b.drop(core.DroppedDenied, 1)
		if b.cfg.Audit != nil {
			b.cfg.Audit.Often("denied", "user", who.Identity, "client", who.ClientID, "action", "will", "topic", of.Topic)
		}
		b.recordLazily(over)
		return
	}
	m := *of
	m.Received = b.stamp
	b.begin(&m, true)
	switch _, err := b.take(over...); {
	case errors.Is(err, core.ErrBusy):
		b.awaitRoom(func() { b.publishWill(who, of) })
	case err != nil:
		b.log.Warn("will not kept", "client", who.ClientID, "topic", m.Topic, "error", err)
		b.drop(core.DroppedStoreFull, 1)
		b.recordLazily(over)
	}
}

// willIsOver is the change that takes a will off the record, unless the client has put
// another one there meanwhile.
func (b *Broker) willIsOver(id string) []core.Change {
	if cl := b.clients[id]; cl != nil && cl.willSaved {
		return nil
	}
	return []core.Change{core.WillDropped{ClientID: id}}
}

func (b *Broker) recordLazily(changes []core.Change) {
	for _, c := range changes {
		b.store.Record(c, true)
	}
}

// restoreWill gives a session its will back. One of a client without a session is
// due: as soon as everybody who may want it is there.
func (b *Broker) restoreWill(w core.Will) {
	if cl := b.clients[w.ClientID]; cl != nil {
		cl.putWill(&will{message: w.Message, delay: w.Delay})
		cl.willSaved = true
		return
	}
	b.publishWillLater(Principal{Identity: w.Identity, ClientID: w.ClientID}, w.Message)
}

func (b *Broker) publishWillLater(who Principal, m *core.Message) {
	b.work(func() (more bool) {
		b.publishWill(who, m)
		return false
	})
}
