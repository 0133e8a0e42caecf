package broker

import (
	"runtime/metrics"
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

// freshenSys is called before somebody subscribes, who then gets the values as they
// are; once a turn is enough.
func (b *Broker) freshenSys() {
	if b.sysAt.Equal(b.now) {
		return
	}
	b.sysAt = b.now
	b.publishSys()
	b.sweepQueues()
}

// publishSys publishes what has changed, retained.
func (b *Broker) publishSys() { b.eachSys(b.publishSysValue) }

func (b *Broker) publishSysValue(name, value string) {
	name = "$SYS/broker/" + name
	if old, ok := b.retained.Get(name); ok && old.says(value) {
		return
	}
	b.publishOwn(name, []byte(value), true)
}

// heapInUse is Go's memory in use, objects that nobody holds any more included.
func heapInUse() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}

// eachSys goes over the values, under Mosquitto's names where the meaning is the same.
// Some have two: older dashboards ask for the older one. Only store/messages/bytes is
// not there: the log knows what its pages take on disk, not what of them is payload.
func (b *Broker) eachSys(yield func(name, value string)) {
	n := &b.counters
	store, inUse := b.store.Status(), heapInUse()
	n.maxHeap = max(n.maxHeap, inUse)
	yield("version", "weir version "+b.cfg.Version)
	yield("uptime", strconv.FormatInt(int64(b.now.Sub(n.started)/time.Second), 10)+" seconds")
	for _, v := range []struct {
		name  string
		value uint64
	}{
		{"clients/total", uint64(len(b.clients))},
		{"clients/connected", uint64(b.connected)},
		{"clients/active", uint64(b.connected)},
		{"clients/disconnected", uint64(len(b.clients) - b.connected)},
		{"clients/inactive", uint64(len(b.clients) - b.connected)},
		{"clients/maximum", uint64(n.maxClients)},
		{"clients/expired", n.expired},
		{"messages/received", n.packetsReceived},
		{"messages/sent", n.packetsSent},
		{"publish/messages/received", n.messagesReceived},
		{"publish/messages/sent", n.messagesSent},
		{"publish/messages/dropped", n.allDropped()},
		{"publish/bytes/received", n.payloadReceived},
		{"publish/bytes/sent", n.payloadSent},
		{"bytes/received", n.bytesReceived},
		{"bytes/sent", n.bytesSent},
		{"subscriptions/count", uint64(b.subscriptions.Len())},
		{"shared_subscriptions/count", uint64(len(b.shares))},
		{"retained messages/count", uint64(b.retained.Len())},
		{"store/messages/count", store.Messages},
		{"messages/stored", store.Messages},
		{"heap/current", inUse},
		{"heap/maximum", n.maxHeap},
	} {
		yield(v.name, strconv.FormatUint(v.value, 10))
	}
	b.loads.each(yield)
}
