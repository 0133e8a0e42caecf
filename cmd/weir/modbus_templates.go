package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/configs"
)

func newModbusTemplatesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "templates [NAME]",
		Short: "List the devices that the gateway knows, or show one",
		Long: "A device of the configuration that says template: NAME has the points of the template.\n" +
			"Save what is shown as a file .yaml to make your own, and say template: FILE.yaml.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return listTemplates(c.OutOrStdout())
			}
			for _, t := range configs.Templates() {
				if t.Name == args[0] {
					_, err := io.WriteString(c.OutOrStdout(), t.Text)
					return err
				}
			}
			return usageError{fmt.Errorf("there is no template %s; weir modbus templates lists them", args[0])}
		},
	}
}

func listTemplates(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, template := range configs.Templates() {
		fmt.Fprintf(t, "%s\t%s\n", template.Name, template.About())
	}
	return t.Flush()
}
