package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/configs"
	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/storage"
)

// bufferState asks the gateway, or looks into its store when it does not run.
func (f *bufferFlags) bufferState(ctx context.Context) (st core.BufferStatus, err error) {
	err = f.withTool(func(t *storage.Tool) error {
		st = t.Status()
		return nil
	})
	if !errors.Is(err, storage.ErrInUse) {
		return st, err
	}
	address, err := f.console()
	if err != nil {
		return st, err
	}
	body, err := fetchStatus(ctx, address)
	if err != nil {
		return st, unanswered(err)
	}
	var all core.Status
	if err := json.Unmarshal(body, &all); err != nil {
		return st, fmt.Errorf("read the answer of %s: %w", address, err)
	}
	return all.Buffer, nil
}

func newBufferStatusCommand(f *bufferFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show how full the store is and what is owed",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			st, err := f.bufferState(c.Context())
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(c.OutOrStdout(), st)
			}
			return printBufferState(c.OutOrStdout(), st)
		},
	}
}

func printBufferState(w io.Writer, st core.BufferStatus) error {
	_, err := fmt.Fprintf(w, "state       %s\nowed        %s messages, the oldest for %s\non disk     %s of %s in %d segments, %s free on the disk\n",
		bufferWords(st), count(st.Messages), span(st.OldestSeconds), size(st.Bytes), size(st.Budget), st.Segments, size(st.FreeBytes))
	if st.History > 0 {
		_, err = fmt.Fprintf(w, "history     %s messages kept for `weir replay`\n", count(st.History))
	}
	if st.Quarantined > 0 {
		_, err = fmt.Fprintf(w, "quarantine  %d directories that could not be read: see `weir buffer quarantine ls`\n", st.Quarantined)
	}
	for _, why := range slices.Sorted(maps.Keys(st.Dropped)) {
		_, err = fmt.Fprintf(w, "dropped     %s: %s\n", why, count(st.Dropped[why]))
	}
	return err
}

// bufferOwner is a line of `buffer ls`.
type bufferOwner struct {
	core.ReceiverStatus
	// Stray: it has the name of a bridge's rule that is not in the configuration.
	Stray bool `json:"stray"`
}

func newBufferLsCommand(f *bufferFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List to whom messages are owed",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := f.load()
			if err != nil {
				return err
			}
			st, err := f.bufferState(c.Context())
			if err != nil {
				return err
			}
			list := bufferOwners(st, cfg)
			if f.json {
				return printJSON(c.OutOrStdout(), list)
			}
			return printBufferOwners(c.OutOrStdout(), list)
		},
	}
}

// ruleOf is the rule that a receiver belongs to, by the names that core/broker gives to
// what a rule keeps beside itself.
func ruleOf(receiver string) string {
	return strings.TrimPrefix(strings.TrimPrefix(receiver, historyOf), "fresh of ")
}

const historyOf = "history of "

// configuredRules are the names of all rules of a configuration.
func configuredRules(cfg *configs.Config) map[string]bool {
	known := make(map[string]bool)
	for _, b := range cfg.Bridges {
		names := make(map[string]int)
		for _, rule := range b.Out {
			known[ruleConfig(b.Name, rule, names, nil).Name] = true
		}
	}
	return known
}

// bufferOwners lists who is owed something, most first, and marks rules that were
// taken out of the configuration.
func bufferOwners(st core.BufferStatus, cfg *configs.Config) []bufferOwner {
	known := configuredRules(cfg)
	list := []bufferOwner{}
	for _, r := range st.Receivers {
		if r.Owed > 0 {
			list = append(list, bufferOwner{ReceiverStatus: r, Stray: r.Rule && !known[ruleOf(r.Name)]})
		}
	}
	slices.SortStableFunc(list, func(a, b bufferOwner) int { return cmp.Compare(b.Owed, a.Owed) })
	return list
}

func printBufferOwners(w io.Writer, list []bufferOwner) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "nothing is owed to anybody")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "OWED\tSIZE\tOLDEST\tKIND\tTO")
	for _, o := range list {
		note := ""
		if o.Stray {
			note = "  (not in the configuration: `weir buffer drop` ends it)"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s%s%s\n", count(o.Owed), size(o.Bytes), span(o.Oldest), choose(o.Rule, "rule", "session"), plain(o.Name), drops(o.Dropped), note)
	}
	return t.Flush()
}
