package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/adapters/modbus"
	"github.com/weir-edge/weir/configs"
)

func newModbusCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "modbus",
		Short: "Plan, scan, read and set Modbus devices",
		Long: "What a technician needs to put Modbus devices into operation. Only write changes\n" +
			"anything, and only with --yes. A line is named as in the configuration, such as\n" +
			"rtu:///dev/ttyUSB0?baud=9600 or tcp://192.168.1.10:502.",
	}
	c.AddCommand(newModbusPlanCommand(), newModbusScanCommand(), newModbusReadCommand(), newModbusIdentifyCommand(), newModbusWriteCommand(),
		newModbusTraceCommand(), newModbusTemplatesCommand(), newModbusImportCommand())
	return c
}

// newModbusPlanCommand shows what polling costs before anything is sent.
func newModbusPlanCommand() *cobra.Command {
	var turnaround time.Duration
	c := &cobra.Command{
		Use:   "plan FILE",
		Short: "Show requests, bytes, cycle time and load of the lines; sends nothing",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := loadConfig(args[0], c.ErrOrStderr())
			if err != nil {
				return err
			}
			return printPlans(c.OutOrStdout(), cfg, turnaround)
		},
	}
	c.Flags().DurationVar(&turnaround, "turnaround", 5*time.Millisecond, "what a device needs before it answers; the gateway learns it")
	return c
}

func printPlans(w io.Writer, cfg *configs.Config, turnaround time.Duration) error {
	found := false
	for _, a := range cfg.Adapters {
		if a.Modbus == nil {
			continue
		}
		found = true
		p, err := modbus.NewPreview(*a.Modbus, turnaround)
		if err != nil {
			return err
		}
		printPlan(w, a.Name, a.Modbus.URL, p)
	}
	if !found {
		return configError{errors.New("there is no adapter of type modbus in the configuration")}
	}
	return nil
}

func printPlan(w io.Writer, name, url string, p modbus.Preview) {
	fmt.Fprintf(w, "%s on %s\n", name, url)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "DEVICE\tUNIT\tREAD\tCOUNT\tPOINTS\tBYTES\tEVERY\tTAKES")
	bytes := 0
	for _, r := range p.Requests {
		bytes += r.Bytes
		fmt.Fprintf(t, "%s\t%d\t%s:%d\t%d\t%d\t%d\t%v\t%v\n", r.Device, r.Unit, r.Table, r.Start, r.Count, r.Points, r.Bytes, r.Every, r.Takes.Round(100*time.Microsecond))
	}
	t.Flush()
	fmt.Fprintf(w, "%d requests, %d bytes, %v for all of them once; the line is busy %.1f %% of the time\n", len(p.Requests), bytes, p.Cycle.Round(time.Millisecond), 100*p.Load)
	if p.Load > 1 {
		fmt.Fprintf(w, "That is more than there is: with periods %.1f times as long it fits.\n", p.Load)
	}
	if !p.Exact {
		fmt.Fprintln(w, "The times are guesses: the speed behind the network is not known.")
	}
}

// masterFlags are the flags of commands that ask devices.
type masterFlags struct {
	unit    uint8
	timeout time.Duration
}

func (f *masterFlags) register(c *cobra.Command, withUnit bool) {
	c.Flags().DurationVar(&f.timeout, "timeout", time.Second, "how long a device may take to answer")
	if withUnit {
		c.Flags().Uint8VarP(&f.unit, "unit", "u", 1, "the device's address")
	}
}

func (f *masterFlags) dial(ctx context.Context, url string) (*modbus.Master, error) {
	line, err := modbus.ParseURL(url)
	if err != nil {
		return nil, usageError{err}
	}
	m, err := modbus.Dial(ctx, line, f.timeout)
	if err != nil {
		return nil, unavailableError{err}
	}
	return m, nil
}

func newModbusScanCommand() *cobra.Command {
	f := masterFlags{}
	var from, to uint8
	var sweep bool
	c := &cobra.Command{
		Use:   "scan URL",
		Short: "Find the devices of a line and ask each who it is; writes nothing",
		Long: "Each address from --from to --to is asked for its identity (functions 43/14 and 17), or for a\n" +
			"register. With --sweep, when neither rate nor parity of a serial line are known, the usual ones\n" +
			"are tried first, until somebody answers; a short range of addresses makes that faster.",
		Example: "  weir modbus scan tcp://192.168.1.10\n" +
			"  weir modbus scan rtu:///dev/serial/by-id/usb-X --sweep --to 10",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if from > to {
				return usageError{fmt.Errorf("--from (%d) must not be above --to (%d)", from, to)}
			}
			if sweep {
				return f.sweep(c.Context(), args[0], int(from), int(to), c.OutOrStdout(), c.ErrOrStderr())
			}
			m, err := f.dial(c.Context(), args[0])
			if err != nil {
				return err
			}
			defer m.Close()
			return scan(c.Context(), m, int(from), int(to), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f.register(c, false)
	c.Flags().Uint8Var(&from, "from", 1, "first address")
	c.Flags().Uint8Var(&to, "to", 247, "last address")
	c.Flags().BoolVar(&sweep, "sweep", false, "try the usual rates and parities of a serial line")
	_ = c.Flags().Set("timeout", "200ms")
	return c
}

// scan tells what it finds on out, and how far it is on progress.
func scan(ctx context.Context, m *modbus.Master, from, to int, out, progress io.Writer) error {
	found := 0
	for unit := from; unit <= to && ctx.Err() == nil; unit++ {
		done := 20 * (unit - from) / (to - from + 1)
		fmt.Fprintf(progress, "\r[%s%s] unit %d, %d found ", strings.Repeat("#", done), strings.Repeat(".", 20-done), unit, found)
		says, alive, err := m.Identify(byte(unit))
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return unavailableError{err}
		}
		if alive {
			found++
			fmt.Fprint(progress, "\r")
			fmt.Fprintf(out, "unit %d  %s\n", unit, described(says))
		}
	}
	fmt.Fprintf(progress, "\r%d devices found%s\n", found, strings.Repeat(" ", 40))
	if ctx.Err() != nil {
		return errors.New("interrupted before all addresses were asked")
	}
	if found == 0 {
		return timeoutError{errors.New("nobody answers: check rate and parity, the two wires, and the termination")}
	}
	return nil
}

func described(says []string) string {
	if len(says) == 0 {
		return "answers, but does not say who it is"
	}
	return strings.Join(says, ", ")
}

func newModbusIdentifyCommand() *cobra.Command {
	f := masterFlags{}
	c := &cobra.Command{
		Use:   "identify URL",
		Short: "Ask a device who it is (functions 43/14 and 17)",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			m, err := f.dial(c.Context(), args[0])
			if err != nil {
				return err
			}
			defer m.Close()
			says, alive, err := m.Identify(f.unit)
			switch {
			case err != nil:
				return unavailableError{err}
			case !alive:
				return timeoutError{fmt.Errorf("unit %d does not answer", f.unit)}
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), strings.ReplaceAll(described(says), ", ", "\n"))
			return err
		},
	}
	f.register(c, true)
	return c
}

func newModbusReadCommand() *cobra.Command {
	f := masterFlags{}
	c := &cobra.Command{
		Use:   "read URL REGISTER [COUNT]",
		Short: "Read registers and show all that they may mean",
		Example: "  weir modbus read tcp://192.168.1.10 input:0 2\n" +
			"  weir modbus read 'rtu:///dev/ttyUSB0?baud=9600' 40001 --unit 3",
		Args: cobra.RangeArgs(2, 3),
		RunE: func(c *cobra.Command, args []string) error {
			count := 2
			if len(args) == 3 {
				var err error
				if count, err = strconv.Atoi(args[2]); err != nil {
					return usageError{fmt.Errorf("count (%s) must be a number", args[2])}
				}
			}
			m, err := f.dial(c.Context(), args[0])
			if err != nil {
				return err
			}
			defer m.Close()
			data, bits, err := m.Read(f.unit, args[1], count)
			if err != nil {
				return err
			}
			printRegisters(c.OutOrStdout(), data, bits, count)
			return nil
		},
	}
	f.register(c, true)
	return c
}

// printRegisters shows the registers, and what the first of them mean in each type
// and order; a star marks what a measurement looks like.
func printRegisters(w io.Writer, data []byte, bits bool, count int) {
	if bits {
		for i := range count {
			fmt.Fprintf(w, "+%d  %d\n", i, data[i/8]>>(i%8)&1)
		}
		return
	}
	for i := 0; i+1 < len(data); i += 2 {
		fmt.Fprintf(w, "+%d  %04X  %d\n", i/2, data[i:i+2], binary.BigEndian.Uint16(data[i:]))
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nTYPE\tABCD\tCDAB\tBADC\tDCBA")
	cells, name := map[string]string{}, ""
	flush := func() {
		if name != "" {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", name, cells["ABCD"], cells["CDAB"], cells["BADC"], cells["DCBA"])
		}
	}
	for _, i := range modbus.Interpret(data) {
		if i.Type != name {
			flush()
			cells, name = map[string]string{}, i.Type
		}
		cells[i.Order] = fmt.Sprint(i.Value) + choose(i.Plausible, " *", "")
	}
	flush()
	t.Flush()
}

func newModbusWriteCommand() *cobra.Command {
	f := masterFlags{}
	var (
		yes   bool
		point modbus.Point
		order string
	)
	c := &cobra.Command{
		Use:   "write URL REGISTER VALUE --yes",
		Short: "Set a register and read it back",
		Args:  cobra.ExactArgs(3),
		RunE: func(c *cobra.Command, args []string) error {
			if !yes {
				return usageError{fmt.Errorf("this would set %s of unit %d to %s; say --yes if that is meant", args[1], f.unit, args[2])}
			}
			m, err := f.dial(c.Context(), args[0])
			if err != nil {
				return err
			}
			defer m.Close()
			point.Register, point.Order = args[1], modbus.Order(order)
			got, err := m.Write(f.unit, point, commandValue(args[2]))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s of unit %d is now %v\n", args[1], f.unit, got)
			return err
		},
	}
	f.register(c, true)
	c.Flags().BoolVar(&yes, "yes", false, "really write")
	c.Flags().StringVar(&point.Type, "type", "", "as in the configuration; default uint16, or bool for bits")
	c.Flags().StringVar(&order, "order", "", "of the bytes: ABCD, CDAB, BADC or DCBA")
	return c
}

// negativeLast lets a register be set to a negative number, which looks like a flag:
// it is moved to where there are no flags.
func negativeLast(args []string) []string {
	if len(args) < 2 || args[0] != "modbus" || args[1] != "write" || slices.Contains(args, "--") {
		return args
	}
	i := slices.IndexFunc(args, func(a string) bool {
		_, err := strconv.ParseFloat(a, 64)
		return err == nil && strings.HasPrefix(a, "-")
	})
	if i < 0 {
		return args
	}
	return append(slices.Delete(slices.Clone(args), i, i+1), "--", args[i])
}

// commandValue is a value as a command has it.
func commandValue(text string) any {
	if n, err := strconv.ParseInt(text, 0, 64); err == nil {
		return n
	}
	if x, err := strconv.ParseFloat(text, 64); err == nil {
		return x
	}
	switch strings.ToLower(text) {
	case "on", "true":
		return true
	case "off", "false":
		return false
	}
	return text
}
