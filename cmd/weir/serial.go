package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/adapters/serialport"
)

func newSerialCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "serial",
		Short: "Find, hear and try serial devices",
		Long: "What a technician needs to put a serial device into operation: ls finds the port,\n" +
			"monitor shows what comes, baud proposes rate and parity, loopback tests the cable,\n" +
			"and try shows what a configuration makes of it, without publishing anything.",
	}
	c.AddCommand(
		newSerialListCommand(),
		newSerialMonitorCommand(),
		newSerialBaudCommand(),
		newSerialLoopbackCommand(),
		newSerialTryCommand(),
	)
	return c
}

func newSerialListCommand() *cobra.Command {
	var (
		system serialport.System
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "ls",
		Short: "List the serial ports with the names that stay the same, and who has them open; opens none",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ports, err := system.List()
			if err != nil {
				return err
			}
			return printPorts(c.OutOrStdout(), ports, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON array")
	c.Flags().StringVar(&system.Sys, "sys", "/sys", "where sysfs is, such as that of the host in a container")
	c.Flags().StringVar(&system.Dev, "dev", "/dev", "where the devices are")
	return c
}

// listedPort is a port with those who have it open.
type listedPort struct {
	serialport.Info
	UsedBy []serialport.User `json:"used_by,omitempty"`
}

func printPorts(w io.Writer, found []serialport.Info, asJSON bool) error {
	ports := make([]listedPort, 0, len(found))
	for _, p := range found {
		ports = append(ports, listedPort{p, serialport.Users(p.Device)})
	}
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(ports)
	}
	if len(ports) == 0 {
		_, err := fmt.Fprintln(w, "no serial ports: is the adapter plugged in, and its driver loaded?")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PORT\tIN A CONFIGURATION\tUSED BY\tWHAT")
	for _, p := range ports {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", p.Device, stableName(p.Info), describeUsers(p.UsedBy), describePort(p.Info))
	}
	return t.Flush()
}

func describeUsers(users []serialport.User) string {
	if len(users) == 0 {
		return "-"
	}
	var names []string
	for _, u := range users {
		names = append(names, fmt.Sprintf("%s (%d)", u.Process, u.PID))
	}
	return strings.Join(names, ", ")
}

// stableName is the name that a configuration should have: one that stays when the
// device is plugged in again.
func stableName(p serialport.Info) string {
	for _, l := range p.Links {
		if strings.Contains(l, "/by-id/") {
			return l
		}
	}
	switch {
	case p.Serial != "" && p.Interface != "" && p.Interface != "00":
		return p.USB + ":" + p.Interface
	case p.Serial != "":
		return p.USB
	case len(p.Links) > 0:
		return p.Links[0]
	case p.Place != "":
		return "usb@" + p.Place
	}
	return p.Device
}

func describePort(p serialport.Info) string {
	if p.VID == "" {
		return p.Driver
	}
	name := strings.TrimSpace(p.Manufacturer + " " + p.Product)
	return strings.TrimSpace(fmt.Sprintf("%s %s:%s, socket %s (%s)", name, p.VID, p.PID, p.Place, p.Driver))
}

// lineFlags are the flags of commands that open a port.
type lineFlags struct {
	cfg    serialport.Config
	asJSON bool
}

func (l *lineFlags) register(c *cobra.Command) {
	f := c.Flags()
	f.IntVarP(&l.cfg.Baud, "baud", "b", 9600, "rate in bits a second")
	f.IntVar(&l.cfg.DataBits, "data-bits", 8, "5 to 8")
	f.StringVarP(&l.cfg.Parity, "parity", "p", "none", "none, even, odd, mark or space")
	f.StringVar(&l.cfg.StopBits, "stop-bits", "1", "1 or 2")
	f.BoolVar(&l.asJSON, "json", false, "print JSON")
}

// open opens the port of a command line.
func (l *lineFlags) open(device string) (*serialport.Port, error) {
	l.cfg.Device = device
	if err := l.cfg.Validate(); err != nil {
		return nil, usageError{err}
	}
	return openPort(l.cfg)
}

// openPort says what to do where a port can't be opened.
func openPort(cfg serialport.Config) (*serialport.Port, error) {
	p, err := serialport.Open(cfg)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, unavailableError{fmt.Errorf("there is no %s: `weir serial ls` shows what there is", cfg.Device)}
	case err != nil:
		return nil, unavailableError{err}
	}
	return p, nil
}

// unescape reads the escapes of a text from the command line: \r, \n, \x02 …
func unescape(s string) (string, error) {
	var b strings.Builder
	for rest := s; rest != ""; {
		c, n, ok := escape(rest)
		if !ok {
			return "", usageError{fmt.Errorf("%q has an escape that isn't one of \\r, \\n, \\t, \\0, \\\\ and \\x00 to \\xff", s)}
		}
		b.WriteByte(c)
		rest = rest[n:]
	}
	return b.String(), nil
}

// escape reads one byte, and how long it is in the text.
func escape(s string) (c byte, n int, ok bool) {
	if s[0] != '\\' {
		return s[0], 1, true
	}
	if len(s) >= 4 && s[1] == 'x' {
		v, err := strconv.ParseUint(s[2:4], 16, 8)
		return byte(v), 4, err == nil
	}
	if len(s) < 2 {
		return 0, 0, false
	}
	plain := map[byte]byte{'r': '\r', 'n': '\n', 't': '\t', '0': 0, '\\': '\\'}
	c, ok = plain[s[1]]
	return c, 2, ok
}
