package access

import (
	"errors"
	"fmt"
	"strings"

	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/topic"
)

// Rules are what a configuration says. They do not change: a reload makes new ones.
// Rights is for the broker's loop; the rest is for anybody.
type Rules struct {
	rules  []Rule
	groups map[string][]string // of each user

	shared map[string]*Rights // by the rules that apply
}

// New makes rules. members are the users of each group.
func New(rules []Rule, members map[string][]string) (*Rules, error) {
	var errs []error
	for i := range rules {
		if err := rules[i].Check(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", rules[i].Where, err))
		}
	}
	rs := &Rules{rules: rules, groups: make(map[string][]string), shared: make(map[string]*Rights)}
	for group, users := range members {
		for _, user := range users {
			rs.groups[user] = append(rs.groups[user], group)
		}
	}
	return rs, errors.Join(errs...)
}

// All lists the rules in their order.
func (rs *Rules) All() []Rule { return rs.rules }

// Groups are those of a user.
func (rs *Rules) Groups(user string) []string { return rs.groups[user] }

// maxShared bounds how many different rights are kept to be shared.
const maxShared = 1024

var _ broker.Authorizer = (*Rules)(nil)

// Rights are what one client may do.
func (rs *Rules) Rights(who broker.Principal) broker.Rights { return rs.RightsOf(who) }

// RightsOf is Rights, which can say which rule decides.
func (rs *Rules) RightsOf(who broker.Principal) *Rights {
	var key []byte
	var apply []*Rule
	personal := false
	for i := range rs.rules {
		r := &rs.rules[i]
		if r.about(who, rs.groups[who.Identity]) {
			apply = append(apply, r)
			key = append(key, byte(i), byte(i>>8), byte(i>>16))
			personal = personal || r.personal()
		}
	}
	if personal {
		return newRights(who, apply)
	}
	if r := rs.shared[string(key)]; r != nil {
		return r
	}
	r := newRights(who, apply)
	if len(rs.shared) < maxShared {
		rs.shared[string(key)] = r
	}
	return r
}

// Rights are what one client may do. They do not change.
type Rights struct{ publish, subscribe []entry }

// entry is a filter of a rule, with what can be said of it at a glance.
type entry struct {
	filter string
	stem   int32 // bytes of the filter before its first wildcard, and the / before a #
	shape  shape
	rule   *Rule
}

// shape is how the rest of a filter, behind its stem, is matched.
type shape byte

const (
	exact   shape = iota // there is none
	below                // "/#": the stem itself and all below it
	general              // level by level
)

func newEntry(filter string, rule *Rule) entry {
	e := entry{filter: filter, stem: int32(len(filter)), rule: rule}
	switch at := strings.IndexAny(filter, "+#"); {
	case at < 0:
	case at > 1 && filter[at] == '#':
		e.stem, e.shape = int32(at-1), below
	case filter[at] == '#':
		e.stem, e.shape = 0, general
	default:
		e.stem, e.shape = int32(at), general
	}
	return e
}

// matches is topic.Match: most topics differ from most rules at their beginning.
func (e *entry) matches(name string) bool {
	stem := int(e.stem)
	if len(name) < stem || name[:stem] != e.filter[:stem] {
		return false
	}
	switch e.shape {
	case exact:
		return len(name) == stem
	case below:
		return len(name) == stem || name[stem] == '/'
	}
	return topic.Match(e.filter, name)
}

func newRights(who broker.Principal, rules []*Rule) *Rights {
	var r Rights
	for _, rule := range rules {
		for _, filter := range rule.filters(who) {
			if rule.Publish {
				r.publish = append(r.publish, newEntry(filter, rule))
			}
			if rule.Subscribe {
				r.subscribe = append(r.subscribe, newEntry(filter, rule))
			}
		}
	}
	return &r
}

// May says whether the client may do something with a topic: for Subscribe, with a
// filter.
func (r *Rights) May(do broker.Access, name string) bool {
	rule := r.Decide(do, name)
	return rule != nil && !rule.Deny
}

// Decide is the rule that says so; nil: none does, which is a no.
func (r *Rights) Decide(do broker.Access, name string) *Rule {
	switch do {
	case broker.Publish:
		return first(r.publish, name)
	case broker.Receive:
		return first(r.subscribe, name)
	}
	if !strings.ContainsAny(name, "+#") {
		return first(r.subscribe, name)
	}
	for _, e := range r.subscribe {
		if e.rule.Deny && covers(e.filter, name) || !e.rule.Deny && overlap(e.filter, name) {
			return e.rule
		}
	}
	return nil
}

func first(entries []entry, name string) *Rule {
	for i := range entries {
		if entries[i].matches(name) {
			return entries[i].rule
		}
	}
	return nil
}
