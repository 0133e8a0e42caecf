// Command weir is the gateway and everything that a technician needs around it:
// one binary that runs the gateway, shows its state, publishes and subscribes,
// and demonstrates itself.
//
// The file names are the commands' names. gateway.go puts the parts together
// and owns the order in which they start and stop.
package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes, as in sysexits.h where it has one; 27 is mosquitto_sub's.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitTimeout     = 27
	exitUnavailable = 69
	exitConfig      = 78
)

// The errors that have an exit code of their own.
type (
	usageError       struct{ error }
	timeoutError     struct{ error }
	unavailableError struct{ error }
	configError      struct{ error }
)

func (e usageError) Unwrap() error       { return e.error }
func (e timeoutError) Unwrap() error     { return e.error }
func (e unavailableError) Unwrap() error { return e.error }
func (e configError) Unwrap() error      { return e.error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRootCommand()
	root.SetArgs(negativeLast(os.Args[1:]))
	err := execute(ctx, root)
	if err != nil {
		fmt.Fprintf(os.Stderr, "weir: %v\n", err)
	}
	stop()
	os.Exit(exitCode(err))
}

// execute runs the command line. Whatever fails before a command's own code
// runs (unknown command or flag, missing flag, surplus argument) is a usage error.
func execute(ctx context.Context, root *cobra.Command) error {
	ran := false
	for c := range commands(root) {
		if !c.Runnable() && c != root {
			c.RunE = group
		}
		if own := c.RunE; own != nil {
			c.RunE = func(c *cobra.Command, args []string) error {
				ran = true
				return own(c, args)
			}
		}
	}
	err := root.ExecuteContext(ctx)
	if err != nil && !ran {
		return usageError{fmt.Errorf("%w\nsee `weir --help`", err)}
	}
	return err
}

// group is a command that is nothing without one of its own.
func group(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return c.Help()
	}
	err := fmt.Errorf("%s has no command %s", c.CommandPath(), args[0])
	if like := c.SuggestionsFor(args[0]); len(like) > 0 {
		err = fmt.Errorf("%w: is it %s?", err, strings.Join(like, " or "))
	}
	return usageError{err}
}

// commands walks the tree of commands.
func commands(c *cobra.Command) iter.Seq[*cobra.Command] {
	return func(yield func(*cobra.Command) bool) {
		if !yield(c) {
			return
		}
		for _, sub := range c.Commands() {
			for s := range commands(sub) {
				if !yield(s) {
					return
				}
			}
		}
	}
}

func exitCode(err error) int {
	var (
		usage       usageError
		timeout     timeoutError
		unavailable unavailableError
		config      configError
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &timeout):
		return exitTimeout
	case errors.As(err, &unavailable):
		return exitUnavailable
	case errors.As(err, &config):
		return exitConfig
	}
	return exitFailed
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "weir",
		Short: "An edge IoT gateway: what it acknowledged is not lost",
		Long: "Weir takes publications from MQTT clients, serial lines and Modbus devices,\n" +
			"keeps what an uplink outage holds up, and forwards it in order when the uplink returns.",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(
		newACLCommand(),
		newAuditCommand(),
		newBenchCommand(),
		newBridgeCommand(),
		newBufferCommand(),
		newConfigCommand(),
		newDemoCommand(),
		newInitCommand(),
		newModbusCommand(),
		newPubCommand(),
		newReplayCommand(),
		newRunCommand(),
		newSerialCommand(),
		newSimCommand(),
		newStatusCommand(),
		newSubCommand(),
		newUserCommand(),
		newCertCommand(),
		newVersionCommand(),
	)
	return root
}
