package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/adapters"
	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/audit"
)

// openAudit begins to keep who does what. A gateway that cannot is better than none.
func (g *gateway) openAudit() {
	if g.cfg.Audit.MaxSize == 0 {
		return
	}
	a, err := audit.Open(g.cfg.DataDir, g.cfg.Audit.MaxSize, g.log)
	if err != nil {
		g.log.Error("there is no audit", "error", err)
		return
	}
	g.audit = a
}

// fingerprint tells configurations apart.
func (g *gateway) fingerprint() string {
	text, err := os.ReadFile(g.path)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// leap is what is worth a line when the wall clock is set.
const leap = 2 * time.Second

// auditStep notes when the wall clock has gone another way than the time since before.
func (g *gateway) auditStep(before, now time.Time) {
	step := now.Round(0).Sub(before.Round(0)) - now.Sub(before)
	if step.Abs() >= leap {
		g.log.Warn("the clock was set", "by", step.Round(time.Millisecond))
		g.audit.Note("clock step", "seconds", step.Seconds())
	}
}

// auditedBus notes the commands that adapters take: what else they subscribe to is
// nothing.
type auditedBus struct {
	adapters.Bus
	audit *audit.Log
}

const maxAuditedPayload = 128

func (b auditedBus) Subscribe(filter string, deliver func(*core.Message)) (func(), error) {
	return b.Bus.Subscribe(filter, func(m *core.Message) {
		b.audit.Often("device write", "topic", m.Topic, "client", m.Publisher, "value", string(m.Payload[:min(len(m.Payload), maxAuditedPayload)]))
		deliver(m)
	})
}

func newAuditCommand() *cobra.Command {
	var (
		config string
		last   int
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "audit [EVENT]",
		Short: "Show who logged in, what was denied, changed, and written to devices",
		Long: "Show the audit of a gateway, running or not, the oldest first: all of it, or the events\n" +
			"that begin with EVENT (login, denied, reload, device write, clock, bridge, start, stop).",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			path, err := usualConfig(config)
			if err != nil {
				return err
			}
			cfg, err := loadConfig(path, io.Discard)
			if err != nil {
				return err
			}
			text, err := audit.Read(cfg.DataDir)
			if errors.Is(err, fs.ErrNotExist) {
				return unavailableError{fmt.Errorf("there is no audit in %s yet", cfg.DataDir)}
			}
			if err != nil {
				return err
			}
			return printAudit(c.OutOrStdout(), text, strings.Join(args, ""), last, asJSON)
		},
	}
	configFlag(c, &config)
	c.Flags().IntVarP(&last, "last", "n", 0, "only so many, the newest")
	c.Flags().BoolVar(&asJSON, "json", false, "print the lines as they are kept")
	return c
}

// printAudit prints lines for people: time, event, and what else there is in its order.
func printAudit(out io.Writer, text []byte, event string, last int, asJSON bool) error {
	var lines [][]byte
	for line := range bytes.Lines(text) {
		var head struct{ Event string }
		if json.Unmarshal(line, &head) == nil && strings.HasPrefix(head.Event, event) { // the last may be half
			lines = append(lines, line)
		}
	}
	if last > 0 && len(lines) > last {
		lines = lines[len(lines)-last:]
	}
	for _, line := range lines {
		if !asJSON {
			line = auditLine(line)
		}
		if _, err := out.Write(line); err != nil {
			return err
		}
	}
	return nil
}

// auditLine is a line as text. It is valid JSON, one level deep.
func auditLine(line []byte) []byte {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	var out bytes.Buffer
	_, _ = dec.Token() // {
	for dec.More() {
		key, _ := dec.Token()
		value, _ := dec.Token()
		switch key {
		case "time":
			at, _ := time.Parse(time.RFC3339Nano, fmt.Sprint(value))
			out.WriteString(at.Local().Format("2006-01-02 15:04:05"))
		case "event":
			fmt.Fprintf(&out, "  %-14s", value)
		default:
			if s, ok := value.(string); ok && (s == "" || strings.ContainsFunc(s, awkward)) {
				value = fmt.Sprintf("%q", s)
			}
			fmt.Fprintf(&out, " %s=%v", key, value)
		}
	}
	out.WriteByte('\n')
	return out.Bytes()
}

// awkward says what makes a value better quoted.
func awkward(r rune) bool { return r == ' ' || r == '"' || r == '=' || unprintable(r) }
