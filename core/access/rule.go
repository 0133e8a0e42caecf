package access

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/topic"
)

// Rule is one entry of a list of which the first that fits decides. A condition that
// is empty holds for everybody.
type Rule struct {
	Where string // it stands, for people: "weir.yaml:12"

	Users     []string
	Groups    []string
	ClientIDs []string // a * at the end stands for any rest
	Addresses []netip.Prefix
	Anonymous bool // only who has no user name

	Deny      bool
	Publish   bool
	Subscribe bool // and to be sent what was published
	Topics    []string
	Literal   bool // %u and %c in Topics are no names
}

// The names in topics.
const (
	userName = "%u"
	clientID = "%c"
)

// Check says what is wrong with a rule.
func (r *Rule) Check() error {
	if len(r.Topics) == 0 {
		return fmt.Errorf("a rule needs topics")
	}
	for _, filter := range r.Topics {
		if err := topic.ValidFilter(filter); err != nil {
			return fmt.Errorf("topic %q: %w", filter, err)
		}
		if strings.HasPrefix(filter, "$share/") {
			return fmt.Errorf("topic %q: a rule is about the topics within a shared subscription, whatever its group", filter)
		}
	}
	for _, id := range r.ClientIDs {
		if stem := strings.TrimSuffix(id, "*"); strings.Contains(stem, "*") {
			return fmt.Errorf("client id %q: a * can stand at the end only", id)
		}
	}
	if !r.Publish && !r.Subscribe {
		return fmt.Errorf("a rule needs something to allow or deny: publish, subscribe")
	}
	return nil
}

// String is the rule as in the configuration.
func (r *Rule) String() string {
	var parts []string
	add := func(key string, values []string) {
		switch len(values) {
		case 0:
		case 1:
			parts = append(parts, key+": "+values[0])
		default:
			parts = append(parts, key+": ["+strings.Join(values, ", ")+"]")
		}
	}
	add("user", r.Users)
	add("group", r.Groups)
	if r.Anonymous {
		parts = append(parts, "anonymous: true")
	}
	add("client_id", r.ClientIDs)
	var addresses []string
	for _, p := range r.Addresses {
		addresses = append(addresses, p.String())
	}
	add("address", addresses)
	var actions []string
	if r.Publish {
		actions = append(actions, "publish")
	}
	if r.Subscribe {
		actions = append(actions, "subscribe")
	}
	verb := "allow"
	if r.Deny {
		verb = "deny"
	}
	add(verb, actions)
	add("topics", r.Topics)
	return strings.Join(parts, ", ")
}

// about says whether a rule is about a client. An address that is not known, of a
// client that has gone or came through a Unix socket, is in no network that is
// allowed something, and in every one that is denied it.
func (r *Rule) about(who broker.Principal, groups []string) bool {
	switch {
	case r.Anonymous && who.Identity != "":
		return false
	case (len(r.Users) > 0 || len(r.Groups) > 0) && !r.names(who.Identity, groups):
		return false
	case len(r.ClientIDs) > 0 && !slices.ContainsFunc(r.ClientIDs, func(id string) bool { return idFits(id, who.ClientID) }):
		return false
	case len(r.Addresses) > 0 && !who.From.IsValid():
		return r.Deny
	case len(r.Addresses) > 0:
		return slices.ContainsFunc(r.Addresses, func(p netip.Prefix) bool { return p.Contains(who.From) })
	}
	return true
}

// names says whether a user is one of those of the rule, by name or by group.
func (r *Rule) names(user string, groups []string) bool {
	if user == "" {
		return false
	}
	return slices.Contains(r.Users, user) ||
		slices.ContainsFunc(r.Groups, func(g string) bool { return slices.Contains(groups, g) })
}

func idFits(pattern, id string) bool {
	if stem, any := strings.CutSuffix(pattern, "*"); any {
		return strings.HasPrefix(id, stem)
	}
	return pattern == id
}

// personal says whether the topics depend on who asks.
func (r *Rule) personal() bool {
	return !r.Literal && slices.ContainsFunc(r.Topics, func(f string) bool {
		return strings.Contains(f, userName) || strings.Contains(f, clientID)
	})
}

// filters are the topics for one client.
func (r *Rule) filters(who broker.Principal) []string {
	if !r.personal() {
		return r.Topics
	}
	out := make([]string, 0, len(r.Topics))
	for _, filter := range r.Topics {
		if f, ok := r.fill(filter, who); ok {
			out = append(out, f)
		}
	}
	return out
}

// fill puts the client's names in, level by level, and both at once: a name that says
// %c stays what it is. Where one cannot be used, a rule that denies takes any in its
// place.
func (r *Rule) fill(filter string, who broker.Principal) (string, bool) {
	names := strings.NewReplacer(userName, who.Identity, clientID, who.ClientID)
	levels := strings.Split(filter, "/")
	for i, level := range levels {
		switch bad := unusable(level, userName, who.Identity) || unusable(level, clientID, who.ClientID); {
		case !bad:
			levels[i] = names.Replace(level)
		case r.Deny:
			levels[i] = "+"
		default:
			return "", false
		}
	}
	return strings.Join(levels, "/"), true
}

// unusable says whether a level asks for a name that cannot stand in one.
func unusable(level, name, value string) bool {
	return strings.Contains(level, name) && !oneLevel(value)
}

// oneLevel says whether a name can stand in a topic without becoming more than a
// part of one level of it.
func oneLevel(name string) bool {
	return name != "" && name[0] != '$' && !strings.ContainsFunc(name, func(r rune) bool {
		return r == '/' || r == '+' || r == '#' || r < ' ' || r >= 0x7F && r < 0xA0
	})
}
