package main

import (
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/storage"
)

func newBufferVerifyCommand(f *bufferFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Read every page of the store and check it",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			paint, end := painter(c.ErrOrStderr(), "verify")
			var v storage.Verified
			err := f.withStore(func(s bufferStore) (err error) {
				v, err = s.verify(c.Context(), paint)
				return err
			})
			end()
			if err != nil {
				return err
			}
			if f.json {
				err = printJSON(c.OutOrStdout(), v)
			} else {
				found := choose(v.Damaged == 0, "all can be read", fmt.Sprintf("%d pages can not be read", v.Damaged))
				_, err = fmt.Fprintf(c.OutOrStdout(), "%d segments, %s pages, %s messages, %s: %s\n",
					v.Segments, count(v.Pages), count(v.Messages), size(uint64(v.Bytes)), found)
			}
			if v.Damaged > 0 {
				err = errors.Join(err, fmt.Errorf("%d pages can not be read; what was lost with them is counted when the store is read, and the segment is kept in quarantine", v.Damaged))
			}
			return err
		},
	}
}

func newBufferQuarantineCommand(f *bufferFlags) *cobra.Command {
	c := &cobra.Command{
		Use:   "quarantine",
		Short: "What could not be read, and was set aside",
	}
	c.AddCommand(newQuarantineLsCommand(f), newQuarantineReplayCommand(f), newQuarantineRmCommand(f))
	return c
}

func newQuarantineLsCommand(f *bufferFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List what was set aside, and why",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := f.storeDir()
			if err != nil {
				return err
			}
			list, err := storage.Quarantined(dir)
			if errors.Is(err, storage.ErrNoStore) {
				err = unavailableError{fmt.Errorf("%w; --config or --data-dir says where it is", err)}
			}
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(c.OutOrStdout(), append([]storage.Aside{}, list...))
			}
			if len(list) == 0 {
				_, err := fmt.Fprintln(c.OutOrStdout(), "nothing is in quarantine")
				return err
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, a := range list {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", a.Name, a.When.Format(time.RFC3339), size(uint64(a.Bytes)), plain(a.Why))
			}
			return w.Flush()
		},
	}
}

func newQuarantineRmCommand(f *bufferFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "rm NAME...",
		Short: "Delete for good what was set aside",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return f.withStore(func(s bufferStore) error {
				for _, name := range args {
					if err := s.remove(c.Context(), name); err != nil {
						return err
					}
					fmt.Fprintf(c.ErrOrStderr(), "%s is deleted\n", name)
				}
				return nil
			})
		},
	}
}

func newQuarantineReplayCommand(f *bufferFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "replay NAME",
		Short: "Owe once more what can be read of something set aside",
		Long: "Owe once more what can be read of a directory in quarantine to those to whom it was owed\n" +
			"when it was written. What was delivered before it was set aside, or salvaged then, comes twice.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			paint, end := painter(c.ErrOrStderr(), "replay")
			var owed, strangers int
			err := f.withStore(func(s bufferStore) (err error) {
				owed, strangers, err = s.replay(c.Context(), args[0], paint)
				return err
			})
			end()
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(c.OutOrStdout(), map[string]int{"owed": owed, "strangers": strangers})
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s messages are owed once more; %s belong to nobody who is known\n", count(owed), count(strangers))
			return err
		},
	}
}
