package broker

import (
	"strconv"
	"strings"
	"time"
)

// isSys says whether a filter is about $SYS. Wildcards at its beginning are not
// [MQTT-4.7.2-1].
func isSys(filter string) bool { return strings.HasPrefix(filter, "$SYS/") }

// sysDue moves the averages on and publishes $SYS if anybody has subscribed to it.
func (b *Broker) sysDue(now time.Time) {
	b.timers.set(&b.sysTimer, now.Add(b.cfg.SysInterval))
	b.loads.move(&b.counters, b.cfg.SysInterval)
	if b.sysFilters > 0 {
		b.publishSys()
		b.sweepQueues()
	}
}

// publishSys publishes what has changed, retained. It is called before somebody
// subscribes as well, who then gets the values as they are.
func (b *Broker) publishSys() { b.eachSys(b.publishSysValue) }

func (b *Broker) publishSysValue(name, value string) {
	name = "$SYS/broker/" + name
	if old, ok := b.retained.Get(name); ok && old.says(value) {
		return
	}
	b.publishOwn(name, []byte(value), true)
}

// eachSys goes over the values, under Mosquitto's names where the meaning is the same.
func (b *Broker) eachSys(yield func(name, value string)) {
	n := &b.counters
	yield("version", "weir version "+b.cfg.Version)
	yield("uptime", strconv.FormatInt(int64(b.now.Sub(n.started)/time.Second), 10)+" seconds")
	for _, v := range []struct {
		name  string
		value uint64
	}{
		{"clients/total", uint64(len(b.clients))},
		{"clients/connected", uint64(b.connected)},
		{"clients/disconnected", uint64(len(b.clients) - b.connected)},
		{"clients/maximum", uint64(n.maxClients)},
		{"clients/expired", n.expired},
		{"messages/received", n.packetsReceived},
		{"messages/sent", n.packetsSent},
		{"publish/messages/received", n.messagesReceived},
		{"publish/messages/sent", n.messagesSent},
		{"publish/messages/dropped", n.allDropped()},
		{"bytes/received", n.bytesReceived},
		{"bytes/sent", n.bytesSent},
		{"subscriptions/count", uint64(b.subscriptions.Len())},
		{"shared_subscriptions/count", uint64(len(b.shares))},
		{"retained messages/count", uint64(b.retained.Len())},
		{"store/messages/count", b.store.Status().Messages},
	} {
		yield(v.name, strconv.FormatUint(v.value, 10))
	}
	b.loads.each(yield)
}
