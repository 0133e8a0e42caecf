package bridge

import (
	"strconv"
	"strings"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
)

// The user properties that a message can carry over an uplink of MQTT 5, besides
// core.PropTime.
const (
	propID   = "weir-id"   // gateway/sequence: lets the receiver drop duplicates
	propHops = "weir-hops" // how many gateways it has passed
)

// lateAfter is how long a message must have waited to be stamped as buffered.
const lateAfter = time.Second

// stamps appends the user properties that are added to a message, as they are on the
// wire. One that came through another gateway keeps the id and the time that it got there.
func (b *Bridge) stamps(out []byte, rule *OutRule, d core.Delivery, again bool, now core.Stamp) []byte {
	m := d.Message
	late := again || d.Again || now.Since(m.Received) > lateAfter
	wanted := rule.Stamp == StampAlways || rule.Stamp == StampBuffered && late
	if (wanted && d.Seq != 0 || b.returns) && property(m, propID) == "" {
		b.text = b.appendID(b.text[:0], d.Seq)
		out = packet.AppendUserProperty(out, propID, b.text)
	}
	if wanted && property(m, core.PropTime) == "" {
		out = b.appendMarks(out, m.Received)
	}
	for _, u := range rule.Properties {
		out = packet.AppendUserProperty(out, u.Name, u.Value)
	}
	if b.returns {
		out = packet.AppendUserProperty(out, propHops, strconv.Itoa(hops(m)+1))
	}
	return out
}

// appendMarks appends what Stamp.AppendMarks does.
func (b *Bridge) appendMarks(out []byte, received core.Stamp) []byte {
	b.text = core.AppendTimestamp(b.text[:0], received.Time())
	out = packet.AppendUserProperty(out, core.PropTime, b.text)
	if !received.Synced {
		out = packet.AppendUserProperty(out, core.PropSynced, "false")
	}
	return out
}

// appendID appends the name of a message in the world. One of QoS 0 is in no log, and
// gets a number that no log gives.
func (b *Bridge) appendID(out []byte, seq core.Seq) []byte {
	out = append(append(out, b.cfg.Gateway...), '/')
	if seq != 0 {
		return strconv.AppendUint(out, uint64(seq), 10)
	}
	b.unlogged++
	return strconv.AppendUint(append(out, "0-"...), b.unlogged, 36)
}

// ours says whether a message that came in has left this very gateway before.
func (b *Bridge) ours(m *core.Message) bool {
	rest, ok := strings.CutPrefix(property(m, propID), b.cfg.Gateway)
	return ok && b.cfg.Gateway != "" && strings.HasPrefix(rest, "/")
}

func property(m *core.Message, name string) string {
	if m.Properties != nil {
		for _, u := range m.Properties.User {
			if u.Name == name {
				return u.Value
			}
		}
	}
	return ""
}

// takeHops moves the count of hops from the properties of a message that came in,
// and is not shared yet, to its field. Where gateways have each added theirs, the
// largest counts.
func takeHops(m *core.Message) {
	if m.Properties == nil {
		return
	}
	kept := m.Properties.User[:0]
	for _, u := range m.Properties.User {
		if u.Name != propHops {
			kept = append(kept, u)
		} else {
			m.Hops = max(m.Hops, parseHops(u.Value))
		}
	}
	m.Properties.User = kept
}

// parseHops counts up to 255.
func parseHops(s string) uint8 {
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil {
		return core.HopsUnknown
	}
	return uint8(n)
}
