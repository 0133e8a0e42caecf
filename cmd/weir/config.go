package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/configs"
)

func newConfigCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Check or show a configuration",
	}
	c.AddCommand(newConfigCheckCommand(), newConfigShowCommand())
	return c
}

func newConfigCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Say everything that is wrong with a configuration file, and with bridges that were added at work",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := loadConfig(args[0], c.ErrOrStderr())
			if err != nil {
				return err
			}
			for _, file := range append([]string{args[0]}, cfg.FilesAtWork()...) {
				fmt.Fprintf(c.OutOrStdout(), "%s: ok\n", file)
			}
			return nil
		},
	}
}

func newConfigShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show [FILE]",
		Short: "Print the configuration that holds, with its defaults, bridges that were added at work, and without its secrets",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			path := ""
			if len(args) > 0 {
				path = args[0]
			}
			cfg, err := loadConfig(path, c.ErrOrStderr())
			if err != nil {
				return err
			}
			return configs.Show(c.OutOrStdout(), cfg)
		},
	}
}
