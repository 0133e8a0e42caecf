package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/core/access"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/topic"
)

func newACLCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "acl",
		Short: "Show what users may do, and which rule decides",
		Long: "Look at the rules of a configuration, auth.acl and auth.acl_file. It is the file that\n" +
			"is asked, not the gateway: so a change can be tried before its reload.",
	}
	c.AddCommand(newACLTestCommand(), newACLListCommand())
	return c
}

// aclActions are what can be asked about.
var aclActions = map[string]broker.Access{"publish": broker.Publish, "subscribe": broker.Subscribe, "receive": broker.Receive}

func newACLTestCommand() *cobra.Command {
	var config, clientID, address string
	c := &cobra.Command{
		Use:   "test USER ACTION TOPIC",
		Short: "Say whether a user may publish, subscribe or receive, and by which rule",
		Long: "Say whether USER may do ACTION (publish, subscribe, receive) with TOPIC, and which rule\n" +
			"decides. USER is - for a client without a user name. For subscribe, TOPIC may be a\n" +
			"filter: it is allowed when something that it matches may be received. The exit code is\n" +
			"1 when it is denied.",
		Example: "  weir acl test anna publish plant/line1/speed --client-id hmi-3 --address 10.0.0.7",
		Args:    cobra.ExactArgs(3),
		RunE: func(c *cobra.Command, args []string) error {
			who, err := aclPrincipal(args[0], clientID, address)
			if err != nil {
				return usageError{err}
			}
			do, known := aclActions[args[1]]
			if !known {
				return usageError{fmt.Errorf("ACTION is %q and must be publish, subscribe or receive", args[1])}
			}
			if err := checkACLTopic(do, args[2]); err != nil {
				return usageError{fmt.Errorf("TOPIC: %w", err)}
			}
			rules, err := loadRules(config)
			if err != nil {
				return err
			}
			return testRule(c.OutOrStdout(), rules, who, do, args[2])
		},
	}
	configFlag(c, &config)
	c.Flags().StringVar(&clientID, "client-id", "", "client id of the client (default: one that no rule is about)")
	c.Flags().StringVar(&address, "address", "", "IP address of the client (default: not known, which no rule allows anything)")
	return c
}

func newACLListCommand() *cobra.Command {
	var config string
	c := &cobra.Command{
		Use:   "ls",
		Short: "List the rules in the order in which they are asked",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			rules, err := loadRules(config)
			if err != nil {
				return err
			}
			return listRules(c.OutOrStdout(), rules)
		},
	}
	configFlag(c, &config)
	return c
}

func configFlag(c *cobra.Command, config *string) {
	c.Flags().StringVarP(config, "config", "c", "", "configuration; default weir.yaml here, else in /etc/weir")
}

// loadRules are those of a configuration, which must be good as a whole; nil where it
// has none.
func loadRules(config string) (*access.Rules, error) {
	path, err := usualConfig(config)
	if err != nil {
		return nil, err
	}
	cfg, err := loadConfig(path, io.Discard)
	if err != nil {
		return nil, err
	}
	return cfg.Access, nil
}

func aclPrincipal(user, clientID, address string) (broker.Principal, error) {
	who := broker.Principal{Identity: user, ClientID: clientID}
	if user == "-" {
		who.Identity = ""
	}
	if address == "" {
		return who, nil
	}
	from, err := netip.ParseAddr(address)
	if err != nil {
		return who, fmt.Errorf("--address: %w", err)
	}
	who.From = from.Unmap()
	return who, nil
}

// checkACLTopic wants a filter to subscribe to, and else a topic.
func checkACLTopic(do broker.Access, name string) error {
	if do == broker.Subscribe {
		return topic.ValidFilter(name)
	}
	return topic.ValidName(name)
}

// testRule prints a yes, and returns a no.
func testRule(out io.Writer, rules *access.Rules, who broker.Principal, do broker.Access, name string) error {
	_, name, _, _ = topic.ParseShare(name) // it is valid; the rules are about what is within
	if do == broker.Publish && strings.HasPrefix(name, "$") {
		return errors.New("denied: topics that begin with $ are the broker's own")
	}
	if rules == nil {
		_, err := fmt.Fprintln(out, "allowed: there are no rules and no users, so everybody may do everything")
		return err
	}
	rights := rules.RightsOf(who)
	switch rule := rights.Decide(do, name); {
	case rule == nil:
		return errors.New("denied: no rule allows it")
	case rule.Deny:
		return fmt.Errorf("denied by %s: %s", rule.Where, rule)
	default:
		_, err := fmt.Fprintf(out, "allowed by %s: %s\n", rule.Where, rule)
		return err
	}
}

func listRules(out io.Writer, rules *access.Rules) error {
	if rules == nil {
		_, err := fmt.Fprintln(out, "there are no rules and no users: everybody may do everything")
		return err
	}
	width := 0
	for _, r := range rules.All() {
		width = max(width, len(r.Where))
	}
	for _, r := range rules.All() {
		if _, err := fmt.Fprintf(out, "%-*s  %s\n", width, r.Where, r.String()); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "%-*s  everything else is denied\n", width, "")
	return err
}

// describeRules says how many there are.
func describeRules(rules *access.Rules) string {
	n := len(rules.All())
	return count(n) + choose(n == 1, " rule says", " rules say") + " what clients may do; the rest is denied"
}
