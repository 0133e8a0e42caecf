package configs

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/weir-edge/weir/configs/strict"
	"github.com/weir-edge/weir/core/access"
	"github.com/weir-edge/weir/core/broker"
)

// readAccess reads what those who are in may do: the entries of acl, and behind them
// those of a file of Mosquitto's. Where either key stands there is at least one rule,
// or an error: what says nothing must not allow everything.
func (c *Config) readAccess(m *strict.Map) {
	groups := readGroups(m)
	c.auth, c.ruled = m, m.There("acl") || m.There("acl_file")
	var rules []access.Rule
	m.List("acl", func(m *strict.Map) { rules = append(rules, readPermission(m, groups)) })
	if m.There("acl") && len(rules) == 0 {
		m.Problem("acl", "acl has no rule", "write one, such as {user: meter, allow: publish, topics: \"plant/%u/#\"}, or remove the key")
	}
	if m.There("acl_file") {
		rules = append(rules, readRulesFile(m)...)
	}
	if len(rules) == 0 {
		return
	}
	// What is wrong with single rules is noted already.
	c.Access, _ = access.New(rules, groups)
}

func readGroups(m *strict.Map) map[string][]string {
	groups := make(map[string][]string)
	m.Map("groups", func(m *strict.Map) {
		for _, name := range m.Keys() {
			var users []string
			m.OneOrMore(name, &users)
			groups[name] = users
		}
	})
	return groups
}

func readPermission(m *strict.Map, groups map[string][]string) access.Rule {
	r := access.Rule{Where: m.Where()}
	m.OneOrMore("user", &r.Users)
	m.OneOrMore("group", &r.Groups)
	m.Bool("anonymous", &r.Anonymous)
	m.OneOrMore("client_id", &r.ClientIDs)
	readNetworks(m, &r)
	readActions(m, "allow", &r)
	readActions(m, "deny", &r)
	m.OneOrMore("topics", &r.Topics)
	for _, g := range r.Groups {
		if _, known := groups[g]; !known {
			m.Problem("group", fmt.Sprintf("there is no group %q", g), knownGroups(groups))
		}
	}
	switch allow, deny := m.Has("allow"), m.Has("deny"); {
	case allow && deny:
		m.Problem("deny", "a rule allows or denies, not both", "make two rules of it: the first that fits decides")
	case !allow && !deny:
		m.Problem("", "a rule must say what it allows or denies", "allow: publish, deny: [publish, subscribe]")
	}
	if r.Anonymous && len(r.Users)+len(r.Groups) > 0 {
		m.Problem("anonymous", "who has no user name is no user and in no group", "make two rules of it")
	}
	if !m.Has("topics") {
		m.Require("topics")
		return r
	}
	probe := r
	probe.Publish, probe.Subscribe = true, true // what of both is missing is said already
	if err := probe.Check(); err != nil {
		m.Problem(choose(strings.HasPrefix(err.Error(), "client id"), "client_id", "topics"), err.Error(), "")
	}
	return r
}

func choose(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}

func knownGroups(groups map[string][]string) string {
	if len(groups) == 0 {
		return "groups: {operators: [anna, ben]} makes one"
	}
	return "the groups known here are " + strings.Join(slices.Sorted(maps.Keys(groups)), ", ")
}

func readNetworks(m *strict.Map, r *access.Rule) {
	var texts []string
	m.OneOrMore("address", &texts)
	for _, text := range texts {
		prefix, err := parsePrefix(text)
		if err != nil {
			m.Problem("address", fmt.Sprintf("address (%s) must be an address or a network", text), "such as 10.0.0.5 or 10.0.0.0/24")
			continue
		}
		r.Addresses = append(r.Addresses, prefix)
	}
}

func readActions(m *strict.Map, key string, r *access.Rule) {
	var actions []string
	m.OneOrMore(key, &actions)
	r.Deny = r.Deny || key == "deny" && m.Has(key)
	for _, action := range actions {
		switch action {
		case "publish":
			r.Publish = true
		case "subscribe":
			r.Subscribe = true
		default:
			m.Problem(key, fmt.Sprintf("%s (%s) must be publish or subscribe", key, action), "subscribe is also to be sent what was published")
		}
	}
	if m.There(key) && len(actions) == 0 {
		m.Problem(key, key+" says nothing", "publish, subscribe, or both")
	}
}

// readRulesFile reads a file of Mosquitto's.
func readRulesFile(m *strict.Map) []access.Rule {
	var path string
	m.Path("acl_file", &path)
	if path == "" {
		m.Problem("acl_file", "acl_file names no file", "")
		return nil
	}
	rules, err := access.ReadMosquitto(path)
	joined, several := err.(interface{ Unwrap() []error })
	switch {
	case several:
		for _, e := range joined.Unwrap() {
			m.Problem("acl_file", e.Error(), "")
		}
	case errors.Is(err, fs.ErrNotExist):
		m.Problem("acl_file", fmt.Sprintf("the file %s does not exist", path), "a relative path is below the folder of the configuration file")
	case err != nil:
		m.Problem("acl_file", "the file cannot be used: "+err.Error(), "")
	}
	return rules
}

// noRules says what to do where users could do nothing.
const noRules = "let them do something: auth: {acl: [{allow: [publish, subscribe], topics: \"#\"}]} is everything but what begins with $"

// checkAccess wants rules where there are names: nobody may do what no rule allows.
func (c *Config) checkAccess() {
	switch d := slices.IndexFunc(c.doors, func(d door) bool { return d.certified }); {
	case c.ruled: // or what there is is wrong, and said so
	case c.usersFile != "":
		c.auth.Problem("users", "users could log in and do nothing: there are no rules", noRules)
	case c.Auth.Tokens != nil:
		c.auth.Problem("jwt", "who has a token could log in and do nothing: there are no rules", noRules)
	case d >= 0:
		c.doors[d].m.Problem("address", fmt.Sprintf("clients of listener %s could log in with their certificates and do nothing: there are no rules", c.doors[d].name), noRules)
	}
}

// Authorizer is what the broker asks; nil where there are no rules.
func (c *Config) Authorizer() broker.Authorizer {
	if c.Access == nil {
		return nil
	}
	return c.Access
}
