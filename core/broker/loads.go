package broker

import (
	"math"
	"strconv"
	"time"
)

// loads are averages of what the counters count, by the minute, over the last one,
// five and fifteen minutes, as $SYS/broker/load shows them under Mosquitto's names.
// Each move weighs what has come since the last one; what is older fades.
type loads [9]load

type load struct {
	last     uint64 // the counter at the last move
	averages [len(spans)]float64
}

// spans are the times over which is averaged.
var spans = [...]struct {
	name string
	span time.Duration
}{{"1min", time.Minute}, {"5min", 5 * time.Minute}, {"15min", 15 * time.Minute}}

// of names the counters, in the order of the loads.
func (*loads) of(n *counters) [len(loads{})]struct {
	name  string
	value uint64
} {
	return [len(loads{})]struct {
		name  string
		value uint64
	}{
		{"messages/received", n.packetsReceived},
		{"messages/sent", n.packetsSent},
		{"publish/received", n.messagesReceived},
		{"publish/sent", n.messagesSent},
		{"publish/dropped", n.allDropped()},
		{"bytes/received", n.bytesReceived},
		{"bytes/sent", n.bytesSent},
		{"sockets", n.accepted},
		{"connections", n.connects},
	}
}

// move goes on by the time since the last move.
func (l *loads) move(n *counters, passed time.Duration) {
	for i, c := range l.of(n) {
		now := &l[i]
		perMinute := float64(c.value-now.last) / passed.Minutes()
		now.last = c.value
		for j, s := range spans {
			fade := math.Exp(-passed.Seconds() / s.span.Seconds())
			now.averages[j] = perMinute + fade*(now.averages[j]-perMinute)
		}
	}
}

// each goes over the averages.
func (l *loads) each(yield func(name, value string)) {
	for i, c := range l.of(&counters{}) {
		for j, s := range spans {
			yield("load/"+c.name+"/"+s.name, strconv.FormatFloat(l[i].averages[j], 'f', 2, 64))
		}
	}
}
