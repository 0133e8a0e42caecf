package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/configs"
)

func newModbusImportCommand() *cobra.Command {
	name, url := "imported", ""
	c := &cobra.Command{
		Use:   "import FILE.csv",
		Short: "Make a configuration of a table of points as EMQX Neuron has it",
		Long: "The table's columns are those of Neuron's tags: group, interval, name, address, attribute,\n" +
			"type, description, decimal, precision, bias; name, address and type are needed. An address is\n" +
			"like 1!400001, 1!400001.3 (a bit), 1!400001#BL or 1!400001.10H (text). What is printed is an\n" +
			"adapter with a device for each address before the exclamation mark; what cannot be taken over\n" +
			"is told, with its line, and left out.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return usageError{err}
			}
			defer f.Close()
			imported, left, err := importTags(f)
			if err != nil {
				return configError{fmt.Errorf("%s: %w", args[0], err)}
			}
			for _, problem := range left {
				fmt.Fprintf(c.ErrOrStderr(), "%s: %v\n", args[0], problem)
			}
			text := imported.yaml(name, url)
			if _, err := io.WriteString(c.OutOrStdout(), text); err != nil {
				return err
			}
			if _, err := configs.Parse("what was made of it", []byte(text), os.LookupEnv); err != nil {
				return configError{err}
			}
			if len(left) > 0 {
				return configError{errors.New("some lines were left out")}
			}
			return nil
		},
	}
	c.Flags().StringVar(&name, "name", name, "name of the adapter")
	c.Flags().StringVar(&url, "url", "tcp://192.168.1.10:502", "where the devices are")
	return c
}
