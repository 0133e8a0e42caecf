package bridge

import (
	"strconv"
	"strings"
	"time"

	"github.com/weir-edge/weir/core"
)

// The user properties that a message can carry over an uplink of MQTT 5, besides
// core.PropTime.
const (
	propID   = "weir-id"   // gateway/sequence: lets the receiver drop duplicates
	propHops = "weir-hops" // how many gateways it has passed
)

// lateAfter is how long a message must have waited to be stamped as buffered.
const lateAfter = time.Second

// stamps appends the user properties that are added to a message. One that came
// through another gateway keeps the id and the time that it got there.
func (b *Bridge) stamps(us []core.UserProperty, rule OutRule, d core.Delivery, again bool, now core.Stamp) []core.UserProperty {
	m := d.Message
	late := again || d.Again || now.Since(m.Received) > lateAfter
	wanted := rule.Stamp == StampAlways || rule.Stamp == StampBuffered && late
	if (wanted && d.Seq != 0 || b.returns) && property(m, propID) == "" {
		us = append(us, core.UserProperty{Name: propID, Value: b.id(d.Seq)})
	}
	if wanted && property(m, core.PropTime) == "" {
		us = m.Received.AppendMarks(us)
	}
	us = append(us, rule.Properties...)
	if b.returns {
		us = append(us, core.UserProperty{Name: propHops, Value: strconv.Itoa(hops(m) + 1)})
	}
	return us
}

// id names a message in the world. One of QoS 0 is in no log, and gets a number that
// no log gives.
func (b *Bridge) id(seq core.Seq) string {
	if seq != 0 {
		var room [64]byte // for most names
		return string(strconv.AppendUint(append(append(room[:0], b.cfg.Gateway...), '/'), uint64(seq), 10))
	}
	b.unlogged++
	return b.cfg.Gateway + "/0-" + strconv.FormatUint(b.unlogged, 36)
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
