package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/adapters"
	"github.com/weir-edge/weir/adapters/serial"
	"github.com/weir-edge/weir/configs"
	"github.com/weir-edge/weir/core"
)

func newSerialTryCommand() *cobra.Command {
	var (
		file   string
		span   time.Duration
		count  int
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "try --config FILE [NAME]",
		Short: "Show live what a configuration makes of its serial lines; publishes nothing",
		Long: "Opens the serial lines of a configuration, or the one of this name, asks their devices\n" +
			"as configured, and shows each frame, the readings in it, and what was dropped and why.\n" +
			"Nothing is published and nothing is written to a device but its requests.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := loadConfig(file, c.ErrOrStderr())
			if err != nil {
				return err
			}
			lines, err := serialLines(cfg, args)
			if err != nil {
				return err
			}
			ctx, cancel := forSpan(c.Context(), span)
			defer cancel()
			t := &trial{out: c.OutOrStdout(), asJSON: asJSON, left: count, enough: cancel}
			if !asJSON {
				fmt.Fprintln(c.ErrOrStderr(), "trying; nothing is published; Ctrl-C ends")
			}
			return t.run(ctx, lines, c.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.StringVarP(&file, "config", "c", "", "the configuration file")
	f.DurationVar(&span, "for", 0, "end after this time")
	f.IntVarP(&count, "count", "C", 0, "end after this many readings")
	f.BoolVar(&asJSON, "json", false, "one JSON object a line")
	_ = c.MarkFlagRequired("config") // fails only for a flag that does not exist
	return c
}

// serialLines are the serial lines of cfg, or the one that is named.
func serialLines(cfg *configs.Config, names []string) ([]serial.Config, error) {
	var lines []serial.Config
	for _, a := range cfg.Adapters {
		if a.Serial != nil && (len(names) == 0 || a.Name == names[0]) {
			lines = append(lines, *a.Serial)
		}
	}
	switch {
	case len(lines) == 0 && len(names) > 0:
		return nil, configError{fmt.Errorf("the configuration has no serial adapter %q", names[0])}
	case len(lines) == 0:
		return nil, configError{errors.New("the configuration has no serial adapter")}
	}
	return lines, nil
}

// trial runs adapters on a bus that only prints.
type trial struct {
	out    io.Writer
	asJSON bool
	enough func()

	mu   sync.Mutex // guards what follows, and the output: each line has a goroutine
	left int        // readings until the end; 0: no end
}

func (t *trial) run(ctx context.Context, lines []serial.Config, errOut io.Writer) error {
	log := slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: slog.LevelWarn}))
	clock := core.NewClock()
	var (
		all    sync.WaitGroup
		failed = make([]error, len(lines))
	)
	for i, cfg := range lines {
		cfg.Output.Format, cfg.Output.QoS = adapters.JSON, core.AtMostOnce
		cfg.Writes = nil
		a := serial.New(cfg, clock, log)
		a.Watch(func(e serial.Event) { t.event(cfg.Name, e) })
		all.Go(func() { failed[i] = a.Run(ctx, t) })
	}
	all.Wait()
	return errors.Join(failed...)
}

// trialLine is a line of the output as JSON.
type trialLine struct {
	Time    time.Time       `json:"time"`
	Adapter string          `json:"adapter,omitempty"`
	Kind    string          `json:"kind"`
	Text    string          `json:"text,omitempty"`
	Hex     string          `json:"hex,omitempty"`
	Topic   string          `json:"topic,omitempty"`
	Reading json.RawMessage `json:"reading,omitempty"`
}

// event prints what happened on a line.
func (t *trial) event(adapter string, e serial.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.asJSON {
		t.encode(trialLine{Time: e.Time, Adapter: adapter, Kind: string(e.Kind), Text: e.Text, Hex: hex.EncodeToString(e.Bytes)})
		return
	}
	what := ""
	if len(e.Bytes) > 0 {
		what = fmt.Sprintf("%d bytes |%s|", len(e.Bytes), visible(e.Bytes[:min(len(e.Bytes), 60)]))
	}
	if e.Kind != serial.Sent && e.Text != "" {
		what += choose(what == "", "", "  ") + e.Text
	}
	fmt.Fprintf(t.out, "%s  %-8s %-8s %s\n", e.Time.Format("15:04:05.000"), adapter, e.Kind, what)
}

// Publish implements [adapters.Bus].
func (t *trial) Publish(m *core.Message) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.asJSON {
		t.encode(trialLine{Time: m.Received.Time(), Kind: "reading", Topic: m.Topic, Reading: json.RawMessage(m.Payload)})
	} else {
		t.printReading(m)
	}
	if t.left--; t.left == 0 {
		t.enough()
	}
	return nil
}

func (t *trial) printReading(m *core.Message) {
	var r struct {
		Value                any
		Unit, Quality, Error string
	}
	if err := json.Unmarshal(m.Payload, &r); err != nil {
		r.Error = string(m.Payload)
	}
	text := fmt.Sprint(r.Value)
	if r.Quality != string(adapters.Good) {
		text += "  " + r.Quality + ": " + r.Error
	}
	fmt.Fprintf(t.out, "%-12s  %s = %s%s\n", "", m.Topic, text, choose(r.Unit == "", "", " "+r.Unit))
}

func (t *trial) encode(l trialLine) {
	_ = json.NewEncoder(t.out).Encode(l) // a closed pipe ends the process by its signal
}

// Subscribe implements [adapters.Bus]: nobody sends anything.
func (t *trial) Subscribe(string, func(*core.Message)) (cancel func(), err error) {
	return func() {}, nil
}
