package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/configs"
)

func newRunCommand() *cobra.Command {
	var (
		path  string
		check bool
	)
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the gateway",
		Long: "Run the gateway until SIGTERM or Ctrl-C. Without --config it is a broker on the\n" +
			"loopback with its store.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := loadConfig(path, c.ErrOrStderr())
			if err != nil || check {
				return err
			}
			return runGateway(c.Context(), path, cfg, c.OutOrStdout())
		},
	}
	c.Flags().StringVarP(&path, "config", "c", "", "configuration file")
	c.Flags().BoolVar(&check, "check", false, "check the configuration and end")
	return c
}

// loadConfig reads a configuration and prints its warnings.
func loadConfig(path string, warnings io.Writer) (*configs.Config, error) {
	cfg, err := configs.Load(path)
	if err != nil {
		return nil, configError{err}
	}
	for _, w := range cfg.Warnings {
		fmt.Fprintf(warnings, "weir: warning: %s\n", w.Message)
	}
	return cfg, nil
}

// consoleAt is the console of a running gateway, and what it wants to see.
type consoleAt struct{ address, token string }

func (c consoleAt) String() string { return c.address }

// tokenVariable is where the token comes from when a console is named by its address.
const tokenVariable = "WEIR_CONSOLE_TOKEN"

// atAddress is a console that was named by its address.
func atAddress(address string) consoleAt { return consoleAt{address, os.Getenv(tokenVariable)} }

// consoleAddress is where the gateway of a configuration shows its state.
func consoleAddress(path string) (consoleAt, error) {
	cfg, err := configs.Load(path)
	if err != nil {
		return consoleAt{}, configError{err}
	}
	if cfg.Console.Address == "" {
		return consoleAt{}, usageError{errors.New("the console of this configuration is switched off")}
	}
	return consoleAt{cfg.Console.Address, cfg.Console.Token}, nil
}

// stopLimit is how long a stop may take before the process ends all the same.
// What is owed and not written by then was not acknowledged.
const stopLimit = 9 * time.Second

func runGateway(ctx context.Context, path string, cfg *configs.Config, out io.Writer) error {
	tuneMemory(availableMemory())
	say := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
	hangups := make(chan os.Signal, 1) // from now on, or one during the start would end the process
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	say("weir %s", version())
	overdue := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(stopLimit, func() { close(overdue) }) })
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, path, cfg, hangups, newLogger(cfg.Log), say) }()
	select {
	case err := <-ended:
		if err == nil {
			say("stopped")
		}
		return err
	case <-overdue:
		return fmt.Errorf("not everything stopped within %v; what was acknowledged is on disk", stopLimit)
	}
}

// newLogger logs to the standard error: as text for people, as JSON on request.
// Under systemd the journal adds the time itself.
func newLogger(c configs.Log) *slog.Logger {
	opts := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, opts))
	}
	if os.Getenv("JOURNAL_STREAM") != "" {
		opts.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	return slog.New(slog.NewTextHandler(os.Stderr, opts))
}
