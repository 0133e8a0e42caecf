package session

import "strings"

// AliasesIn resolves the topic aliases that a peer sends. They belong to a connection.
type AliasesIn struct {
	topics []string
}

// NewAliasesIn allows the aliases 1..maximum, the Topic Alias Maximum that we gave.
func NewAliasesIn(maximum uint16) *AliasesIn {
	return &AliasesIn{topics: make([]string, int(maximum)+1)}
}

// Resolve is the topic of a PUBLISH with an alias. A topic in the packet sets
// the alias [MQTT-3.3.2-12]; none means the one set before. It fails for alias 0,
// one beyond the maximum [MQTT-3.3.2-9], and one that was never set.
func (a *AliasesIn) Resolve(alias uint16, topic []byte) (string, bool) {
	if alias == 0 || int(alias) >= len(a.topics) {
		return "", false
	}
	known := &a.topics[alias]
	if len(topic) > 0 && *known != string(topic) {
		*known = string(topic)
	}
	return *known, *known != ""
}

// AliasesOut gives aliases to the topics that are sent to a peer. They belong to
// a connection. When all are given, the one given longest ago is given anew.
type AliasesOut struct {
	alias  map[string]uint16
	topics []string // by alias
	next   int
}

// NewAliasesOut uses the aliases 1..maximum: the peer's Topic Alias Maximum, or
// fewer. With 0 no topic gets one.
func NewAliasesOut(maximum uint16) *AliasesOut {
	return &AliasesOut{
		alias:  make(map[string]uint16),
		topics: make([]string, int(maximum)+1),
	}
}

// Assign is the alias of a topic, 0 for none. The first time the topic must be
// sent along (known is false), from then on the alias stands for it. It may lie in a
// buffer that is used again.
func (a *AliasesOut) Assign(topic string) (alias uint16, known bool) {
	if len(a.topics) <= 1 {
		return 0, false
	}
	if alias, ok := a.alias[topic]; ok {
		return alias, true
	}
	a.next = a.next%(len(a.topics)-1) + 1
	delete(a.alias, a.topics[a.next])
	topic = strings.Clone(topic)
	a.topics[a.next] = topic
	a.alias[topic] = uint16(a.next)
	return uint16(a.next), false
}
