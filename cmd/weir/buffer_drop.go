package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/configs/strict"
)

func newBufferDropCommand(f *bufferFlags) *cobra.Command {
	var (
		before string
		all    bool
	)
	c := &cobra.Command{
		Use:   "drop NAME",
		Short: "Give up what is owed to somebody: the oldest, or all of it",
		Long: "Give up what is owed to a session or a rule. --before gives up what is older than a time\n" +
			"(2026-11-22T10:00:00Z) or an age (7d). --all ends the session, or forgets the rule, with\n" +
			"everything that is owed: for a rule that was taken out of the configuration.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if all == (before != "") {
				return usageError{errors.New("give one of --before and --all")}
			}
			var limit time.Time
			if before != "" {
				var err error
				if limit, err = parseMoment(before, time.Now()); err != nil {
					return usageError{fmt.Errorf("--before: %w", err)}
				}
			}
			paint, end := painter(c.ErrOrStderr(), "drop")
			var given, owed uint64
			err := f.withStore(func(s bufferStore) (err error) {
				given, owed, err = s.drop(c.Context(), args[0], limit, paint)
				return err
			})
			end()
			if err != nil && !unreadOnly(err, c.ErrOrStderr(), f.json) {
				return err
			}
			if f.json {
				return errors.Join(err, printJSON(c.OutOrStdout(), map[string]uint64{"dropped": given, "owed": owed}))
			}
			fmt.Fprintf(c.OutOrStdout(), "%s messages given up, %s still owed to %s\n", count(given), count(owed), args[0])
			return err
		},
	}
	c.Flags().StringVar(&before, "before", "", "a time, or an age")
	c.Flags().BoolVar(&all, "all", false, "everything, and the session or rule itself")
	return c
}

// parseMoment reads a time in RFC 3339, or an age before now.
func parseMoment(s string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	age, err := strict.ParseDuration(s)
	if err != nil || age < 0 {
		return time.Time{}, fmt.Errorf("%q must be a time (2026-11-22T10:00:00Z) or an age (90s, 12h, 7d)", s)
	}
	return now.Add(-age), nil
}
