package bridge

// aliases give the topics of a connection their numbers, so that a topic travels
// once. An alias stays with its topic: where there are more topics than aliases,
// giving them anew each time would only make packets longer. When the ones that
// have an alias are not those that are sent, all are given anew.
type aliases struct {
	most  int // what the upstream takes, or less
	given map[string]uint16
	hits  int // of the present round
	asked int
}

const (
	aliasMost  = 1000 // bounds what we and the upstream remember
	aliasRound = 4096 // messages, after which it is judged
	aliasFrom  = 4    // a shorter topic is not longer than its alias
)

func newAliases(upstream int) aliases {
	return aliases{most: min(upstream, aliasMost), given: make(map[string]uint16)}
}

// alias is the topic and the alias to send: 0 is none, and the topic is empty when
// the upstream knows the alias [MQTT-3.3.2-12].
func (a *aliases) alias(topic string) (string, uint16) {
	if a.most == 0 || len(topic) < aliasFrom {
		return topic, 0
	}
	if a.asked++; a.asked == aliasRound {
		if len(a.given) == a.most && a.hits < aliasRound/4 {
			clear(a.given)
		}
		a.asked, a.hits = 0, 0
	}
	if n, ok := a.given[topic]; ok {
		a.hits++
		return "", n
	}
	if len(a.given) == a.most {
		return topic, 0
	}
	n := uint16(len(a.given) + 1)
	a.given[topic] = n
	return topic, n
}
