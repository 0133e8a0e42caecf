package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/cmd/weir/internal/load"
)

// compareOptions are the flags of `weir bench compare`.
type compareOptions struct {
	peer     string
	rounds   int
	duration time.Duration
	json     bool
}

func newBenchCompareCommand() *cobra.Command {
	var o compareOptions
	c := &cobra.Command{
		Use:   "compare [SCENARIO...]",
		Short: "Run Weir and Mosquitto by turns and print the figures beside each other",
		Long: "Starts Weir (with its default settings, store included) and Mosquitto (which keeps\n" +
			"nothing on disk) on loopback ports by turns, each afresh for every run, and\n" +
			"prints the medians, their ratio and the bar that Weir sets itself. Another build of\n" +
			"Weir can take the place of Mosquitto.\n" +
			"A scenario is given by its name or the beginning of it: " + strings.Join(comparisonNames(), ", ") + ".",
		RunE: func(c *cobra.Command, args []string) error { return runCompare(c.Context(), c.OutOrStdout(), o, args) },
	}
	f := c.Flags()
	f.StringVar(&o.peer, "peer", "/usr/sbin/mosquitto", "the other broker: a mosquitto, or another weir")
	f.IntVar(&o.rounds, "rounds", 3, "how often each takes its turn")
	f.DurationVarP(&o.duration, "duration", "d", 2*time.Second, "how long each run measures")
	f.BoolVar(&o.json, "json", false, "print all results as JSON, one a line")
	return c
}

// comparison is a scenario with the bars for it.
type comparison struct {
	name string
	load load.Options
	bars []bar
}

// bar is a goal: a figure of ours, or its ratio to the peer's, is not to exceed it.
type bar struct {
	figure   string // as value knows it
	absolute bool
	limit    float64
}

// The figures that every scenario has.
const (
	figureCPU  = "CPU us each"
	figureRate = "deliveries/s"
	figureP50  = "p50 us"
	figureP99  = "p99 us"
	figureRSS  = "RSS MiB"
)

func comparisons() []comparison {
	var all []comparison
	for qos, limit := range []float64{0.20, 0.35, 0.40} {
		for _, name := range []string{"fan-in", "fan-out", "pairs", "telemetry"} {
			all = append(all, comparison{
				name: fmt.Sprintf("%s-q%d", name, qos),
				load: load.Options{Scenario: name, QoS: byte(qos)},
				bars: []bar{{figureCPU, false, limit}},
			})
		}
	}
	paced := func(qos byte) load.Options { return load.Options{Scenario: "telemetry", QoS: qos, Rate: 5000} }
	return append(all,
		comparison{"paced-q0", paced(0), []bar{{figureCPU, false, 0.95}, {figureP50, false, 1}, {figureP99, false, 1}}},
		comparison{"paced-q1", paced(1), []bar{{figureCPU, false, 0.85}}},
		comparison{"large-q0", load.Options{Scenario: "large"}, []bar{{figureCPU, false, 1}}},
		comparison{"large-q1", load.Options{Scenario: "large", QoS: 1}, []bar{{figureCPU, false, 1}}},
		comparison{"connect", load.Options{Scenario: "connect"}, []bar{{figureCPU, false, 1.2}}},
		comparison{"idle", load.Options{Scenario: "idle"}, []bar{{"memory per connection", true, 2.5}}},
		comparison{"subscriptions", load.Options{Scenario: "subscriptions"}, []bar{{"memory per filter", true, 300}, {"growth", true, 1.15}}},
		comparison{"retained", load.Options{Scenario: "retained"}, []bar{
			{"memory per retained message", true, 450},
			{"CPU per message read at QoS 0", true, 2},
			{"never delivered at QoS 0", true, 0},
			{"CPU per message read at QoS 1", true, 2},
			{"never delivered at QoS 1", true, 0},
		}},
	)
}

func comparisonNames() (names []string) {
	for _, c := range comparisons() {
		names = append(names, c.name)
	}
	return names
}

// chosen are the comparisons whose names begin with one of args; all without args.
func chosen(args []string) ([]comparison, error) {
	all := comparisons()
	if len(args) == 0 {
		return all, nil
	}
	for _, a := range args {
		if !slices.ContainsFunc(all, func(c comparison) bool { return strings.HasPrefix(c.name, a) }) {
			return nil, usageError{fmt.Errorf("unknown scenario %q: use %s", a, strings.Join(comparisonNames(), ", "))}
		}
	}
	return slices.DeleteFunc(all, func(c comparison) bool {
		return !slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(c.name, a) })
	}), nil
}

func runCompare(ctx context.Context, out io.Writer, o compareOptions, args []string) error {
	todo, err := chosen(args)
	if err != nil {
		return err
	}
	if _, err := os.Stat(o.peer); err != nil {
		return usageError{fmt.Errorf("no broker to compare with: %w", err)}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	t := newTable(out, o.json)
	for _, c := range todo {
		pair := &duel{comparison: c, ours: newWeir(self), peer: newPeer(o.peer)}
		if err := pair.fight(ctx, o); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if err := t.print(pair); err != nil {
			return err
		}
	}
	return nil
}

// duel is one scenario, run against both brokers by turns.
type duel struct {
	comparison
	ours, peer *contender
	results    [2][]*load.Result // ours, the peer's
}

func (d *duel) fight(ctx context.Context, o compareOptions) error {
	for range max(o.rounds, 1) {
		for i, b := range []*contender{d.ours, d.peer} {
			r, err := d.measure(ctx, b, o.duration)
			if err != nil {
				return fmt.Errorf("%s: %w", b.name, err)
			}
			d.results[i] = append(d.results[i], r)
		}
	}
	return nil
}

func (d *duel) measure(ctx context.Context, b *contender, duration time.Duration) (*load.Result, error) {
	defer b.stop()
	if err := b.start(ctx); err != nil {
		return nil, err
	}
	o := d.load
	o.Address, o.PID, o.Duration = b.address, b.cmd.Process.Pid, duration
	return load.Run(ctx, o)
}
