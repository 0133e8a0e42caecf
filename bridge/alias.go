package bridge

import "strings"

// aliases give the topics of a connection their numbers, so that a topic travels
// once. An alias stays with its topic: where there are more topics than aliases,
// giving them anew each time would only make packets longer. When the ones that
// have an alias are not those that are sent, all are given anew.
type aliases struct {
	most  int // what the upstream takes, or less
	given map[named]uint16
	hits  int // of the present round
	asked int
}

// named is a topic at the upstream, by the local one that a rule makes it of: with an
// alias it need not be made.
type named struct {
	outlet *outlet
	topic  string
}

const (
	aliasMost  = 1000 // bounds what we and the upstream remember
	aliasRound = 4096 // messages, after which it is judged
	aliasFrom  = 4    // a shorter topic is not longer than its alias
)

func newAliases(upstream int) aliases {
	return aliases{most: min(upstream, aliasMost), given: make(map[named]uint16)}
}

// known is the alias by which the upstream knows a topic already, 0 for none: then the
// topic is sent empty [MQTT-3.3.2-12].
func (a *aliases) known(n named) uint16 {
	if a.most == 0 {
		return 0
	}
	if a.asked++; a.asked == aliasRound {
		if len(a.given) == a.most && a.hits < aliasRound/4 {
			clear(a.given)
		}
		a.asked, a.hits = 0, 0
	}
	alias := a.given[n]
	if alias > 0 {
		a.hits++
	}
	return alias
}

// give gives one to a topic that is sent whole, 0 when none is left or it is not worth it.
func (a *aliases) give(n named, topic string) uint16 {
	if len(topic) < aliasFrom || len(a.given) >= a.most {
		return 0
	}
	alias := uint16(len(a.given) + 1)
	n.topic = strings.Clone(n.topic) // it may be a part of something large
	a.given[n] = alias
	return alias
}
