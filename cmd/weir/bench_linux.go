package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/cmd/weir/internal/load"
)

// benchOptions are the flags of `weir bench`.
type benchOptions struct {
	client clientOptions
	load   load.Options
	qos    int
	json   bool
}

func newBenchCommand() *cobra.Command {
	var o benchOptions
	names, about := load.Scenarios()
	c := &cobra.Command{
		Use:       "bench SCENARIO",
		Short:     "Put any MQTT broker under load and see what a message costs it",
		Long:      benchHelp(names, about),
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: names,
		RunE: func(c *cobra.Command, args []string) error {
			o.load.Scenario = args[0]
			return runBench(c, o)
		},
	}
	o.flags(c)
	c.AddCommand(newBenchCompareCommand())
	return c
}

func benchHelp(names, about []string) string {
	var b strings.Builder
	b.WriteString("Scenarios:\n")
	for i, name := range names {
		fmt.Fprintf(&b, "  %-14s %s\n", name, about[i])
	}
	b.WriteString(`
Without --rate, messages go round in a closed loop: a bounded number is on its way,
and publishers write up to 16 KiB at once. With --rate each message is a write of
its own, as from devices. Every message is numbered: what is lost, repeated or out
of order is counted. With --pid the CPU time and memory of the broker's process
are shown; it must run on this machine.`)
	return b.String()
}

func (o *benchOptions) flags(c *cobra.Command) {
	f := c.Flags()
	f.Bool("help", false, "show this help")
	f.StringVarP(&o.client.host, "host", "h", "127.0.0.1", "broker to connect to")
	f.IntVarP(&o.client.port, "port", "p", 1883, "its port")
	f.StringVarP(&o.client.username, "username", "u", "", "user name")
	f.StringVarP(&o.client.password, "pw", "P", "", "password")
	f.StringVarP(&o.client.version, "protocol-version", "V", "311", "MQTT version: 31, 311 or 5")
	f.IntVar(&o.load.PID, "pid", 0, "process of the broker, to show its CPU time and memory")
	f.IntVarP(&o.qos, "qos", "q", 0, "quality of service: 0, 1 or 2")
	f.IntVarP(&o.load.Size, "size", "s", 0, "bytes of a payload (default 100)")
	f.IntVar(&o.load.Publishers, "publishers", 0, "how many connections publish")
	f.IntVar(&o.load.Subscribers, "subscribers", 0, "how many connections subscribe")
	f.IntVarP(&o.load.Rate, "rate", "r", 0, "messages a second in all; 0 is a closed loop")
	f.IntVar(&o.load.Window, "window", 0, "closed loop: deliveries on their way (default 4000)")
	f.IntVar(&o.load.Inflight, "inflight", 0, "unacknowledged messages of a publisher (default 100; 20 at QoS 2)")
	f.IntVarP(&o.load.Messages, "messages", "m", 0, "end after so many messages instead of a time")
	f.DurationVarP(&o.load.Duration, "duration", "d", 3*time.Second, "how long to measure; a tenth more is for the warm-up")
	f.IntVarP(&o.load.Count, "count", "n", 0, "how many connections, filters or retained messages")
	f.BoolVar(&o.json, "json", false, "print the result as JSON")
}

func runBench(c *cobra.Command, o benchOptions) error {
	v, err := o.client.protocol()
	if err != nil {
		return err
	}
	if o.qos < 0 || o.qos > 2 {
		return usageError{fmt.Errorf("unknown QoS %d: use 0, 1 or 2", o.qos)}
	}
	o.load.Version, o.load.QoS = v, byte(o.qos)
	o.load.Address = net.JoinHostPort(o.client.host, strconv.Itoa(o.client.port))
	o.load.Username, o.load.Password = o.client.username, o.client.password
	r, err := load.Run(c.Context(), o.load)
	if err != nil {
		return err
	}
	if o.json {
		return json.NewEncoder(c.OutOrStdout()).Encode(r)
	}
	printResult(c.OutOrStdout(), r, o.load.PID != 0)
	return nil
}

// printResult shows a result to people. Without the broker's process its costs
// are not known.
func printResult(w io.Writer, r *load.Result, known bool) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-34s "+format+"\n", append([]any{name}, args...)...)
	}
	line("sent", "%d", r.Sent)
	line("delivered", "%d", r.Delivered)
	line("lost", "%d", r.Lost)
	line("duplicate", "%d", r.Duplicate)
	line("out of order", "%d", r.OutOfOrder)
	if r.Refused > 0 {
		line("refused", "%d", r.Refused)
	}
	if r.Rate > 0 {
		line("deliveries per second", "%.0f", r.Rate)
		line("latency p50, p99", "%.0f us, %.0f us", r.P50, r.P99)
		line("CPU of the load itself, each", "%.2f us", r.OwnCPU)
	}
	if known {
		if r.CPU > 0 {
			line("CPU of the broker, each", "%.2f us", r.CPU)
		}
		line("memory of the broker", "%.1f MiB", r.RSS)
	}
	for _, f := range r.Figures {
		if known || f.Unit == "s" || f.Unit == "messages" {
			line(f.Name, "%.2f %s", f.Value, f.Unit)
		}
	}
}
