package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/configs"
	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/topic"
)

// where finds a running gateway: by the address of its console, or by its
// configuration.
type where struct {
	config, address string
	json            bool // what a command shows is to be JSON
}

// shows lets a command print JSON.
func (w *where) shows(c *cobra.Command) *cobra.Command {
	c.Flags().BoolVar(&w.json, "json", false, "print JSON")
	return c
}

func (w *where) flags(c *cobra.Command) {
	c.PersistentFlags().StringVarP(&w.config, "config", "c", "", "configuration file of the gateway")
	c.PersistentFlags().StringVar(&w.address, "address", "", "address of its console, instead; its token is taken from "+tokenVariable)
}

func (w *where) console() (consoleAt, error) {
	if w.address != "" {
		return atAddress(w.address), nil
	}
	return consoleAddress(w.config)
}

func newBridgeCommand() *cobra.Command {
	w := &where{}
	c := &cobra.Command{Use: "bridge", Short: "Look at uplinks, try them, pause them, add and remove them"}
	w.flags(c)
	rules := &cobra.Command{Use: "rules", Short: "What the rules do with a topic"}
	rules.AddCommand(w.shows(&cobra.Command{
		Use: "test TOPIC", Short: "Say where a local or remote topic goes; needs no running gateway", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return testRules(c, w, args[0]) },
	}))
	c.AddCommand(
		w.shows(&cobra.Command{
			Use: "ls", Short: "List the bridges of a running gateway", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error { return listBridges(c, w) },
		}),
		w.shows(&cobra.Command{
			Use: "status [NAME]", Short: "Show all that is known of a bridge", Args: cobra.MaximumNArgs(1),
			RunE: func(c *cobra.Command, args []string) error { return bridgeStatus(c, w, args) },
		}),
		w.shows(newBridgeTestCommand(w)),
		newBridgeProbeCommand(),
		w.shows(&cobra.Command{
			Use: "quarantine NAME", Short: "List the messages that an upstream could not have", Args: cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error { return listQuarantine(c, w, args[0]) },
		}),
		rules,
	)
	c.AddCommand(newBridgeAddCommand(w), newBridgeRemoveCommand(w))
	c.AddCommand(
		newSwitchCommand(w, "pause", "End the connection and keep everything for later", "keep only what this out rule sends, named by its local filter"),
		newSwitchCommand(w, "resume", "Connect again", "let this out rule send again"),
		&cobra.Command{
			Use: "replay NAME", Short: "Send what is in quarantine again", Args: cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error { return commandBridge(c, w, args[0], "", "replay") },
		},
	)
	return c
}

// newSwitchCommand is pause or resume, of a bridge or of one of its rules.
func newSwitchCommand(w *where, verb, short, ruleHelp string) *cobra.Command {
	var rule string
	c := &cobra.Command{
		Use: verb + " NAME", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return commandBridge(c, w, args[0], rule, verb) },
	}
	c.Flags().StringVar(&rule, "rule", "", ruleHelp)
	return c
}

func (w *where) bridges(ctx context.Context) ([]core.BridgeStatus, error) {
	address, err := w.console()
	if err != nil {
		return nil, err
	}
	body, err := fetchStatus(ctx, address)
	if err != nil {
		return nil, err
	}
	var s core.Status
	if err := json.Unmarshal(body, &s); err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", address, err)
	}
	return s.Bridges, nil
}

func listBridges(c *cobra.Command, w *where) error {
	all, err := w.bridges(c.Context())
	if err != nil {
		return err
	}
	if w.json {
		return printJSON(c.OutOrStdout(), all)
	}
	t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tSTATE\tSINCE\tOWED\tBYTES\tOLDEST\tDROPPED\tDONE IN\tFULL IN\tQUARANTINED\tURL")
	for _, b := range all {
		bytes, oldest, dropped := totals(b.Rules)
		doneIn := orDash(b.DrainSeconds)
		if b.Until != "" {
			doneIn = "at " + b.Until
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", b.Name, b.State, clock(b.Since), count(b.Owed), size(bytes),
			orDash(oldest), count(dropped), doneIn, orDash(b.FullSeconds), b.Quarantined, b.URL)
	}
	return t.Flush()
}

// totals of all rules of a bridge.
func totals(rules []core.RuleStatus) (bytes uint64, oldest float64, dropped uint64) {
	for _, r := range rules {
		bytes += r.Bytes
		oldest = max(oldest, r.Oldest)
		for _, n := range r.Dropped {
			dropped += n
		}
	}
	return bytes, oldest, dropped
}

func orDash(seconds float64) string {
	if seconds <= 0 {
		return "-"
	}
	return span(seconds)
}

func bridgeStatus(c *cobra.Command, w *where, args []string) error {
	all, err := w.bridges(c.Context())
	if err != nil {
		return err
	}
	if len(args) == 1 {
		var one []core.BridgeStatus
		for _, b := range all {
			if b.Name == args[0] {
				one = append(one, b)
			}
		}
		if one == nil {
			return usageError{fmt.Errorf("there is no bridge %s", args[0])}
		}
		all = one
	}
	if w.json {
		return printJSON(c.OutOrStdout(), all)
	}
	printBridges(&sheet{w: c.OutOrStdout()}, all)
	return nil
}

// configured is a bridge of the configuration; with one bridge no name is needed.
func (w *where) configured(args []string) (*configs.Config, bridge.Config, error) {
	cfg, err := configs.Load(w.config)
	if err != nil {
		return nil, bridge.Config{}, configError{err}
	}
	var names []string
	for _, b := range cfg.Bridges {
		names = append(names, b.Name)
		if len(args) == 1 && b.Name == args[0] || len(args) == 0 && len(cfg.Bridges) == 1 {
			b.Gateway = cfg.Gateway
			return cfg, b, nil
		}
	}
	switch {
	case len(names) == 0:
		err = errors.New("this configuration has no bridges: name one with --config")
	case len(args) == 0:
		err = fmt.Errorf("name a bridge: %s", strings.Join(names, ", "))
	default:
		err = fmt.Errorf("there is no bridge %s, but %s", args[0], strings.Join(names, ", "))
	}
	return nil, bridge.Config{}, usageError{err}
}

func newBridgeTestCommand(w *where) *cobra.Command {
	var clientID, topic string
	c := &cobra.Command{
		Use:   "test [NAME]",
		Short: "Go through a connection step by step, with the time and the cause of a failure",
		Long: "Go through name, TCP, TLS, CONNACK, publication and echo for each server of a\n" +
			"bridge. It reads the configuration and needs no running gateway; it uses a\n" +
			"client id of its own, so that a running one is not thrown out (except with\n" +
			"azure-iot-hub, which knows only the one).",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			_, b, err := w.configured(args)
			if err != nil {
				return err
			}
			if err := checkTopic(topic); topic != "" && err != nil {
				return err
			}
			return testBridge(c, w, b, clientID, topic)
		},
	}
	c.Flags().StringVar(&clientID, "client-id", "", "client id of the test (default: the bridge's with -test)")
	c.Flags().StringVar(&topic, "topic", "", "topic that it publishes to and subscribes to (default weir/test/CLIENT_ID)")
	return c
}

// tried is a trial of a server.
type tried struct {
	URL   string      `json:"url"`
	Steps []triedStep `json:"steps"`
}

type triedStep struct {
	Name   string  `json:"name"`
	OK     bool    `json:"ok"`
	Took   float64 `json:"seconds"`
	Detail string  `json:"detail"` // or the cause of the failure
}

func (s triedStep) String() string {
	return fmt.Sprintf("  %-10s %-7s %9s  %s", s.Name, choose(s.OK, "ok", "FAILED"), span(s.Took), plain(s.Detail))
}

// testBridge tries each server, and shows what comes of it: each step as it is done, or
// all in the end as JSON.
func testBridge(c *cobra.Command, w *where, b bridge.Config, clientID, topic string) error {
	out := c.OutOrStdout()
	var all []tried
	var failed error
	for _, u := range b.URLs {
		t := tried{URL: u}
		if !w.json {
			fmt.Fprintln(out, u)
		}
		err := bridge.Trial(c.Context(), b, u, clientID, topic, func(s bridge.Step) {
			step := triedStep{Name: s.Name, OK: s.Err == nil, Took: s.Took.Seconds(), Detail: s.Detail}
			if s.Err != nil {
				step.Detail = s.Err.Error()
			}
			t.Steps = append(t.Steps, step)
			if !w.json {
				fmt.Fprintln(out, step)
			}
		})
		all = append(all, t)
		if err != nil {
			failed = unavailableError{fmt.Errorf("bridge %s: %w", b.Name, err)}
		}
	}
	if w.json {
		return errors.Join(printJSON(out, all), failed)
	}
	return failed
}

// checkTopic wants one that can be published to.
func checkTopic(name string) error {
	if err := topic.ValidName(name); err != nil {
		return usageError{fmt.Errorf("%q is no topic: %w", name, err)}
	}
	return nil
}

// routed is what a rule does with a topic, as JSON.
type routed struct {
	Bridge    string `json:"bridge"`
	Direction string `json:"direction"`
	Filter    string `json:"filter"`
	Topic     string `json:"topic"`
	QoS       int    `json:"qos"`
	Problem   string `json:"problem,omitempty"`
}

func testRules(c *cobra.Command, w *where, name string) error {
	cfg, err := configs.Load(w.config)
	if err != nil {
		return configError{err}
	}
	if err := checkTopic(name); err != nil {
		return err
	}
	found := false
	all := []routed{}
	for _, b := range cfg.Bridges {
		b.Gateway = cfg.Gateway
		for _, r := range b.Routes(name) {
			found = true
			if w.json {
				all = append(all, routed{b.Name, r.Direction, r.Filter, r.Topic, int(r.QoS), r.Problem})
				continue
			}
			verdict := fmt.Sprintf("→ %s, QoS at most %d", r.Topic, r.QoS)
			if r.Problem != "" {
				verdict = "stays here: " + r.Problem
			}
			fmt.Fprintf(c.OutOrStdout(), "%s  %-3s %s  %s\n", b.Name, r.Direction, r.Filter, verdict)
		}
	}
	if w.json {
		return printJSON(c.OutOrStdout(), all)
	}
	if !found {
		return fmt.Errorf("no rule takes %s", name)
	}
	return nil
}

func listQuarantine(c *cobra.Command, w *where, name string) error {
	cfg, b, err := w.configured([]string{name})
	if err != nil {
		return err
	}
	q, err := openQuarantine(cfg.DataDir, b.Name)
	if err != nil {
		return err
	}
	lines, err := q.read()
	if err != nil {
		return err
	}
	if w.json {
		return printJSON(c.OutOrStdout(), append([]setAside{}, lines...))
	}
	for _, l := range lines {
		fmt.Fprintf(c.OutOrStdout(), "%s  %s  %d bytes, QoS %d, rule %s: %s\n",
			l.Time.Local().Format(time.DateTime), plain(l.Topic), len(l.Payload), l.QoS, l.Rule, plain(l.Why))
	}
	if len(lines) == 0 {
		fmt.Fprintln(c.OutOrStdout(), "nothing is in quarantine")
	}
	return nil
}
