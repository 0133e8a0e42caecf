//go:build !linux

package main

import (
	"errors"

	"github.com/spf13/cobra"
)

// newBenchCommand says what is missing: the load is built on epoll and /proc.
func newBenchCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "bench SCENARIO",
		Short: "Put any MQTT broker under load (on Linux)",
		RunE:  func(*cobra.Command, []string) error { return errors.New("bench needs Linux") },
	}
}
