package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/core"
)

func newStatusCommand() *cobra.Command {
	var (
		config, address string
		asJSON          bool
	)
	c := &cobra.Command{
		Use:   "status",
		Short: "Show what a running gateway does: buffer, bridges, adapters, clients",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			at := atAddress(address)
			if address == "" {
				var err error
				if at, err = consoleAddress(config); err != nil {
					return err
				}
			}
			body, err := fetchStatus(c.Context(), at)
			if err != nil {
				return err
			}
			if asJSON {
				_, err := c.OutOrStdout().Write(body)
				return err
			}
			var s core.Status
			if err := json.Unmarshal(body, &s); err != nil {
				return fmt.Errorf("read the answer of %s: %w", at, err)
			}
			return printStatus(c.OutOrStdout(), s)
		},
	}
	f := c.Flags()
	f.StringVar(&config, "config", "", "configuration file of the gateway, to find its console")
	f.StringVar(&address, "address", "", "address of its console, instead; its token is taken from "+tokenVariable)
	f.BoolVar(&asJSON, "json", false, "print the whole status as JSON")
	return c
}

// consoleClient reaches a console at host:port or unix:///path.
func consoleClient(at consoleAt) (client *http.Client, host string) {
	path, ok := strings.CutPrefix(at.address, "unix://")
	if !ok {
		return &http.Client{Transport: bearer{at.token, http.DefaultTransport}}, at.address
	}
	socket := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	return &http.Client{Transport: bearer{at.token, socket}}, "localhost"
}

// bearer shows the token of the console with each request.
type bearer struct {
	token string
	http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.token != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	return b.RoundTripper.RoundTrip(r)
}

// refusedBy says what to do about an answer that is none.
func refusedBy(at consoleAt, resp *http.Response) error {
	if resp.StatusCode == http.StatusUnauthorized {
		return unavailableError{fmt.Errorf("the console at %s wants its token: name the configuration of the gateway with --config, or set %s", at, tokenVariable)}
	}
	return unavailableError{fmt.Errorf("the console at %s answers %s", at, resp.Status)}
}

// fetchStatus reads /api/v1/status from a console at host:port or unix:///path.
func fetchStatus(ctx context.Context, at consoleAt) ([]byte, error) {
	client, host := consoleClient(at)
	client.Timeout = 10 * time.Second
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/api/v1/status", nil)
	if err != nil {
		return nil, usageError{fmt.Errorf("console address %q: %w", at, err)}
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, unavailableError{fmt.Errorf("no gateway answers at %s: %w", at, errors.Unwrap(err))}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, refusedBy(at, resp)
	}
	return io.ReadAll(io.LimitReader(resp.Body, 64<<20))
}

// sheet prints a status as paragraphs with a heading in the left margin.
type sheet struct {
	w    io.Writer
	head string
}

// line prints one line; the heading of the paragraph stands before the first.
func (s *sheet) line(format string, args ...any) {
	fmt.Fprintf(s.w, "%-10s%s\n", s.head, plain(fmt.Sprintf(format, args...)))
	s.head = ""
}

func (s *sheet) section(head string) { s.head = head }

func printStatus(w io.Writer, st core.Status) error {
	var b strings.Builder
	s := &sheet{w: &b}
	s.section("weir")
	s.line("%s · %s · up %s · %s%s", st.Gateway, st.Version, span(st.Uptime), choose(st.Ready, "ready", "not ready"), choose(st.ClockSynced, "", " · clock not known to be right"))
	printBuffer(s, st.Buffer)
	printBridges(s, st.Bridges)
	printAdapters(s, st.Adapters)
	printLogins(s, st)
	printClients(s, st)
	s.section("process")
	p := st.Process
	s.line("pid %d · %s of memory · %.1f s CPU · %s written to disk", p.PID, size(p.RSS), p.CPU, size(p.Written))
	_, err := io.WriteString(w, b.String())
	return err
}

func printBuffer(s *sheet, b core.BufferStatus) {
	s.section("buffer")
	state := bufferWords(b)
	if b.Messages == 0 {
		s.line("empty · %s of %s used · %s free on the disk · %s", size(b.Bytes), size(b.Budget), size(b.FreeBytes), state)
	} else {
		s.line("%s messages owed, the oldest for %s · %s of %s used · %s free on the disk · %s",
			count(b.Messages), span(b.OldestSeconds), size(b.Bytes), size(b.Budget), size(b.FreeBytes), state)
	}
	if b.FullSeconds > 0 {
		s.line("full in %s at the present rate", span(b.FullSeconds))
	}
	each := ""
	if b.Written > 0 {
		each = fmt.Sprintf(", %d bytes each", b.WrittenBytes/b.Written)
	}
	s.line("%s written since the start%s · %d held in memory%s%s", count(b.Written), each, b.Held, drops(b.Dropped), quarantined(b.Quarantined))
	for _, r := range b.Receivers {
		if r.Owed > 0 {
			s.line("  %s owed to %s", count(r.Owed), r.Name)
		}
	}
}

// bufferWords is the state of the store, and what is wrong with it.
func bufferWords(b core.BufferStatus) string {
	words := b.State
	if b.Error != "" {
		words += ": " + b.Error
	}
	if b.HangsSeconds > 0 {
		words += fmt.Sprintf(" (no answer for %s)", span(b.HangsSeconds))
	}
	return words
}

func quarantined(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" · %d damaged segments in quarantine", n)
}

func printBridges(s *sheet, bridges []core.BridgeStatus) {
	s.section("bridges")
	if len(bridges) == 0 {
		s.line("none configured")
	}
	for _, b := range bridges {
		s.line("%s  %s since %s · %s", b.Name, b.State, clock(b.Since), b.URL)
		if b.File != "" {
			s.line("  added at work: %s", b.File)
		}
		if b.State == "connected" {
			s.line("  MQTT %s · round trip %s · in flight %d of %d%s", b.Protocol, orDash(b.RTT), b.Inflight, b.Window, writes(&b))
		}
		if b.Error != "" {
			s.line("  %s", b.Error)
		}
		if b.Until != "" {
			s.line("  connects when it is time: %s", b.Until)
		}
		if b.Owed > 0 && b.DrainSeconds > 0 {
			s.line("  draining at %.0f messages/s · done in %s", b.DrainRate, span(b.DrainSeconds))
		}
		if b.FullSeconds > 0 {
			s.line("  %.0f messages/s pile up · the store is full in %s", -b.DrainRate, span(b.FullSeconds))
		}
		if b.Quarantined > 0 {
			s.line("  %d messages in quarantine, which the upstream could not have: weir bridge quarantine %s", b.Quarantined, b.Name)
		}
		s.line("  %s published · %s received · %s reconnects", count(b.Published), count(b.Received), count(b.Reconnects))
		for _, r := range b.Rules {
			s.line("  %-3s %s · %s messages · %s owed%s%s%s", r.Direction, r.Filter, count(r.Messages), count(r.Owed), waits(&r),
				choose(r.Paused, " · paused", ""), drops(r.Dropped))
		}
	}
}

// writes says how many messages go together.
func writes(b *core.BridgeStatus) string {
	if b.PerWrite == 0 {
		return ""
	}
	return fmt.Sprintf(" · %.1f messages a write%s", b.PerWrite, choose(b.Gathering, ", gathering", ""))
}

// waits says how much a rule is owed, and for how long.
func waits(r *core.RuleStatus) string {
	if r.Owed == 0 || r.Bytes == 0 && r.Oldest == 0 {
		return ""
	}
	return fmt.Sprintf(", %s, the oldest for %s", size(r.Bytes), span(r.Oldest))
}

func printAdapters(s *sheet, adapters []core.AdapterStatus) {
	s.section("adapters")
	if len(adapters) == 0 {
		s.line("none configured")
	}
	for _, a := range adapters {
		load := ""
		if a.BusLoad > 0 {
			load = fmt.Sprintf(" · line busy %.0f %%", 100*a.BusLoad)
		}
		s.line("%s  %s %s since %s · %s readings%s%s", a.Name, a.Type, a.State, clock(a.Since), count(a.Readings), load, kinds(a.Errors))
		if a.Error != "" {
			s.line("  %s", a.Error)
		}
		if a.Possible > 0 {
			s.line("  %s", overload(&a))
		}
		for _, d := range a.Devices {
			s.line("  %s %s · %s requests · p50 %s, p99 %s%s", d.Name, choose(d.Up, "up", "down: "+d.Error), count(d.Requests), span(d.P50), span(d.P99), kinds(d.Errors))
		}
	}
}

// printLogins says who may log in and how that went.
func printLogins(s *sheet, st core.Status) {
	a := st.Auth
	if a == nil {
		return
	}
	s.section("logins")
	s.line("%s · %d waiting · %d held off%s", describeLogins(a.Users, a.TokenKeys), a.Waiting, a.HeldOff, kinds(a.Logins))
}

// overload says that a line is asked for too much, and what would be possible.
func overload(a *core.AdapterStatus) string {
	return fmt.Sprintf("too much is asked for: %.0f %% of the line's time; every %s is possible", 100*a.Asked, span(a.Possible))
}

func printClients(s *sheet, st core.Status) {
	s.section("clients")
	s.line("%d connected, %d sessions · %d subscriptions · %d retained · %s messages in, %s out%s",
		st.Broker.Connections, st.Broker.Sessions, st.Broker.Subscriptions, st.Broker.Retained,
		count(st.Broker.MessagesReceived), count(st.Broker.MessagesSent), drops(st.Broker.Dropped))
	for _, c := range st.Clients {
		where := "away since " + clock(c.Since)
		if c.Connected {
			where = fmt.Sprintf("MQTT %s from %s", c.Protocol, c.Address)
		}
		name := c.ClientID
		if c.User != "" && c.User != c.ClientID {
			name += " (" + c.User + ")"
		}
		s.line("  %s  %s · %d subscriptions · %s queued · %d in flight%s", name, where, c.Subscriptions, count(c.Queued), c.Inflight, drops(c.Dropped))
	}
}

// drops lists drop counters, if there are any.
func drops(dropped map[core.Reason]uint64) string {
	m := make(map[string]uint64, len(dropped))
	for k, v := range dropped {
		m[string(k)] = v
	}
	if s := kinds(m); s != "" {
		return " · dropped" + strings.TrimPrefix(s, " ·")
	}
	return ""
}

// kinds lists counters that are not zero, by name.
func kinds(m map[string]uint64) string {
	var parts []string
	for k, v := range m {
		if v > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", count(v), k))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	slices.Sort(parts)
	return " · " + strings.Join(parts, ", ")
}

func choose(ok bool, yes, no string) string {
	if ok {
		return yes
	}
	return no
}

// count writes a number with thousands separated.
func count[N int | uint64](n N) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// size writes a number of bytes in binary units.
func size(n uint64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/1024, 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	return fmt.Sprintf("%.1f %ciB", v, units[i])
}

// span writes seconds as a person would say them.
func span(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond / 10).String()
	case d < time.Minute:
		return d.Round(time.Second / 10).String()
	case d < 24*time.Hour:
		return strings.TrimSuffix(d.Round(time.Second).String(), "0s")
	}
	return fmt.Sprintf("%dd %s", d/(24*time.Hour), (d % (24 * time.Hour)).Round(time.Minute))
}

// clock writes a moment in the local time, with the day when it is not today.
func clock(t time.Time) string {
	t = t.Local()
	if y, d := t.Year(), t.YearDay(); y == time.Now().Year() && d == time.Now().YearDay() {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateTime)
}
