package broker

import (
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/topic"
)

// Bridges of MQTT 3.1.1 say what they are by a bit of the protocol level. Their
// messages carry no sign by which one that goes round in a circle could be known, so
//
//   - they do not get back what they have published, as with No Local;
//   - what such a bridge publishes and fetches, too, has core.HopsUnknown, and no
//     other link in both directions of that kind gets it.
const (
	toBridge      packet.Options = 1 << 6 // reserved in SUBSCRIBE [MQTT-3.8.3-5], so that it is ours
	bridgeOptions packet.Options = toBridge | 1<<3 | 1<<2
)

// fetches says whether the client has subscribed to a topic itself.
func (cl *client) fetches(name string) bool {
	for _, filter := range cl.filters {
		if topic.Match(unshared(filter), name) {
			return true
		}
	}
	return false
}
