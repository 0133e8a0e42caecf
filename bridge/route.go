package bridge

import (
	"slices"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/topic"
)

// Route is what a rule does with a topic.
type Route struct {
	Direction string // "out" or "in"
	Filter    string // on the side that the topic comes from
	Topic     string // on the other side
	QoS       core.QoS
	Problem   string // why it does not go all the same: excluded, or not representable
}

// Routes says what becomes of a topic: of a local one by the out rules, of a
// remote one by the in rules.
func (c Config) Routes(name string) (routes []Route) {
	c = c.withDefaults()
	p := presets[c.Preset]
	for _, r := range c.Out {
		if !topic.Match(r.LocalFilter(), name) {
			continue
		}
		o := &outlet{rule: r, topic: templateOf(r.RemoteTopic)}
		route := Route{Direction: "out", Filter: r.LocalFilter(), QoS: min(r.QoS, p.maxQoS), Topic: o.remote(&c, &core.Message{Topic: name})}
		route.Problem = p.unfit(route.Topic)
		if i := slices.IndexFunc(r.LocalExcludes(), func(f string) bool { return topic.Match(f, name) }); i >= 0 {
			route.Problem = "excluded by " + r.LocalExcludes()[i]
		}
		routes = append(routes, route)
	}
	for _, r := range c.In {
		if topic.Match(r.RemoteFilter(), name) {
			in := &inlet{rule: r, topic: templateOf(r.LocalTopic)}
			routes = append(routes, Route{Direction: "in", Filter: r.RemoteFilter(), QoS: r.QoS, Topic: in.local(&c, name)})
			break // as in a connection: the first rule that matches has it
		}
	}
	return routes
}
