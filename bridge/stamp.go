package bridge

import (
	"strconv"
	"strings"
	"time"

	"github.com/weir-edge/weir/core"
)

// The user properties that a message can carry over an uplink of MQTT 5.
const (
	propID     = "weir-id"        // gateway/sequence: lets the receiver drop duplicates
	propTime   = "weir-ts"        // when the gateway took the message, RFC 3339
	propSynced = "weir-ts-synced" // "false": its clock was not known to be right
	propHops   = "weir-hops"      // how many gateways it has passed
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
	if wanted {
		if property(m, propTime) == "" {
			us = append(us, core.UserProperty{Name: propTime, Value: timestamp(m.Received.Time())})
			if !m.Received.Synced {
				us = append(us, core.UserProperty{Name: propSynced, Value: "false"})
			}
		}
	}
	us = append(us, rule.Properties...)
	if b.returns {
		us = append(us, core.UserProperty{Name: propHops, Value: strconv.Itoa(hops(m) + 1)})
	}
	return us
}

// timestamp is a moment in RFC 3339, to the millisecond. The library is several times
// faster with a layout that it knows.
func timestamp(t time.Time) string {
	t = t.UTC()
	b := t.AppendFormat(make([]byte, 0, 24), time.RFC3339)
	ms := t.Nanosecond() / int(time.Millisecond)
	return string(append(b[:len(b)-1], '.', '0'+byte(ms/100), '0'+byte(ms/10%10), '0'+byte(ms%10), 'Z'))
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
