package bridge

import "github.com/weir-edge/weir/core/packet"

// The state of the uplink, for those at the upstream: a retained message on a topic of
// the configuration. The upstream itself says "offline", as our will, when it loses us
// without a word; we say it before each goodbye, since a goodbye takes the will back.
// That is a state and no telemetry: it goes with QoS 0, first on the connection, and
// is in no queue.
const (
	stateOnline  = "online"
	stateOffline = "offline"
)

// will is what the upstream says when it loses us; nil: nothing.
func (b *Bridge) will() *packet.Will {
	if b.cfg.StateTopic == "" {
		return nil
	}
	return &packet.Will{
		Topic: []byte(b.cfg.StateTopic), Payload: []byte(stateOffline), Retain: true,
		QoS: min(1, b.preset.maxQoS),
	}
}

// quit clears the states that have been told on other topics.
func (l *link) quit() {
	for _, topic := range l.b.former {
		if l.g.retain {
			l.filling = (&packet.Publish{Topic: []byte(topic), Retain: true}).AppendTo(l.filling, l.g.version)
		}
	}
	l.b.former = nil
}

// announce tells the state.
func (l *link) announce(state string) {
	if l.b.cfg.StateTopic == "" {
		return
	}
	p := packet.Publish{Topic: []byte(l.b.cfg.StateTopic), Payload: []byte(state), Retain: l.g.retain} // [MQTT-3.2.2-14]
	l.filling = p.AppendTo(l.filling, l.g.version)
}
