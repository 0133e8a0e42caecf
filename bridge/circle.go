package bridge

import (
	"strconv"
	"strings"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
)

// fromBridge begins the publisher of what a bridge has brought in.
const fromBridge = "bridge:"

// trace makes a message that came in over a link in both directions recognisable,
// should it come round again: another gateway may fetch it from our broker, which
// stamps nothing. Before MQTT 5 nothing can be written on it; what is known is only
// that it may have been here before.
func (b *Bridge) trace(m *core.Message, v packet.Version) {
	if v < packet.V5 {
		m.Hops = core.HopsUnknown
		return
	}
	if m.Properties == nil {
		m.Properties = &core.Properties{}
	}
	us := m.Properties.User
	if property(m, propID) == "" {
		us = append(us, core.UserProperty{Name: propID, Value: string(b.appendID(nil, 0))})
	}
	m.Properties.User = append(us, core.UserProperty{Name: propHops, Value: strconv.Itoa(int(m.Hops) + 1)})
}

// hops is how many gateways a message has passed before this one. One that another
// gateway has published here as a client has the count on it.
func hops(m *core.Message) int {
	if m.Hops == 0 && m.Properties != nil && !strings.HasPrefix(m.Publisher, fromBridge) {
		n := uint8(0)
		for _, u := range m.Properties.User {
			if u.Name == propHops {
				n = max(n, parseHops(u.Value))
			}
		}
		return int(n)
	}
	return int(m.Hops)
}

// circles says whether a message must not go to the upstream because it may go round
// for ever:
//
//   - it came from there: over this bridge, or a copy of it did;
//   - it left this gateway before, and another has published it here as a client, or
//     too many have;
//   - it came over a link in both directions that carries no ids and hops, and this
//     one leads in both directions too, or the other way about. Each circle that has
//     such a link passes from it to another link, or to it, at a gateway; so it is cut
//     there.
//
// With transit the last holds no more: then it is the operator who knows that there
// is one way only.
func (l *link) circles(m *core.Message) bool {
	b := l.b
	fetched := strings.HasPrefix(m.Publisher, fromBridge)
	switch {
	case m.Publisher == b.publisher, b.cfg.Seen.from(property(m, propID), b.publisher):
		return true
	case !fetched && (b.ours(m) || hops(m) >= b.cfg.MaxHops):
		return true
	}
	if !b.returns || b.cfg.Transit {
		return false
	}
	return m.Hops == core.HopsUnknown || l.g.version < packet.V5 && (fetched || hops(m) > 0)
}

// halt pays for a message that goes no further.
func (l *link) halt(o *outlet, seq core.Seq, m *core.Message) {
	if m.Publisher == l.b.publisher { // it is where it came from: nobody misses it
		o.owe(seq)
		return
	}
	if !l.b.halted && m.Hops == core.HopsUnknown {
		l.b.halted = true
		l.b.log.Warn("a message from one link is not passed on to another: over MQTT 3.1.1 it could go round for ever; if there is one way only, set transit: true", "topic", m.Topic)
	}
	o.drop(seq, core.DroppedLoop)
}
