package broker

import (
	"strings"

	"github.com/weir-edge/weir/core"
)

// The mount point of a listener stands before the topics of its clients everywhere
// in the broker: in rules, in what is retained, in what others subscribe to. Only
// on the way to and from the client it is taken off and put on.

// mounted is the topic in the broker for one of the client. It may lie in memory
// that is used again for the next publication. A topic with $ stays as it is, to be
// refused.
func (c *conn) mounted(name string) string {
	mount := c.listener.MountPoint
	if mount == "" || strings.HasPrefix(name, "$") {
		return name
	}
	b := c.broker
	b.mounting = append(append(b.mounting[:0], mount...), name...)
	return alias(b.mounting)
}

// mountedProperties puts the mount before the response topic: who answers may be outside.
// The properties are the caller's own.
func (c *conn) mountedProperties(p *core.Properties) *core.Properties {
	if p != nil && p.ResponseTopic != "" {
		p.ResponseTopic = c.listener.MountPoint + p.ResponseTopic
	}
	return p
}

// overlong says whether a topic of a message does not fit behind the mount.
func (c *conn) overlong(m *core.Message) bool {
	if c.listener.MountPoint == "" {
		return false
	}
	const most = 1<<16 - 1 // [MQTT-4.7.3-3]
	return len(m.Topic) > most || m.Properties != nil && len(m.Properties.ResponseTopic) > most
}

// mountedFilter is the filter in the broker for a valid one of the client, which
// may be shared.
func (c *conn) mountedFilter(filter string) string {
	if c.listener.MountPoint == "" {
		return filter
	}
	inner := unshared(filter)
	return filter[:len(filter)-len(inner)] + c.listener.MountPoint + inner
}

// unmounted is the topic as the client sees it; not ok where it sees nothing, as a
// session that was made at another listener.
func (c *conn) unmounted(name string) (_ string, ok bool) {
	return strings.CutPrefix(name, c.listener.MountPoint)
}
