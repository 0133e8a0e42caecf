package broker

import (
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/session"
)

// will is what a client leaves behind. It does not survive the broker.
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

// publishWill publishes the will, once [MQTT-3.1.2-10], if its client may still
// publish there.
func (cl *client) publishWill() {
	b := cl.broker
	m := cl.will.message
	cl.will = nil
	if !b.may(cl.principal(), Publish, m.Topic) {
		b.drop(core.DroppedDenied, 1)
		return
	}
	m.Received = b.stamp
	b.begin(m, true)
	if _, err := b.take(); err != nil {
		b.log.Warn("will not kept", "client", cl.id, "topic", m.Topic, "error", err)
		b.drop(core.DroppedStoreFull, 1)
	}
}
