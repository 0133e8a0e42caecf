package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/topic"
)

func newReplayCommand() *cobra.Command {
	var config, address, bridge, from, to, filter string
	var rate float64
	c := &cobra.Command{
		Use:   "replay",
		Short: "Send again what a bridge's rules with a history have delivered",
		Long: "Send again what the rules of a bridge with `history:` have delivered, in order, marked by\n" +
			"the user property weir-replay (MQTT 5). Live traffic goes first. --from and --to are times of\n" +
			"reception (2026-11-22T10:00:00Z) or ages (2h). Ctrl-C ends it.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			query, err := replayQuery(bridge, from, to, filter, rate, time.Now())
			if err != nil {
				return usageError{err}
			}
			at := atAddress(address)
			if address == "" {
				if at, err = consoleAddress(config); err != nil {
					return err
				}
			}
			p, err := replay(c.Context(), at, query, c.ErrOrStderr())
			if err == nil || p.Total > 0 {
				fmt.Fprintf(c.OutOrStdout(), "%s messages sent again, of %s kept\n", count(p.Sent), count(p.Total))
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&config, "config", "", "configuration file of the gateway, to find its console")
	f.StringVar(&address, "address", "", "address of its console, instead; its token is taken from "+tokenVariable)
	f.StringVar(&bridge, "bridge", "", "name of the bridge")
	f.StringVar(&from, "from", "", "the first moment of reception")
	f.StringVar(&to, "to", "0s", "the moment after the last")
	f.StringVar(&filter, "topic", "#", "filter of local topics")
	f.Float64Var(&rate, "rate", 100, "messages a second, at most")
	_ = c.MarkFlagRequired("bridge") // the flags exist
	_ = c.MarkFlagRequired("from")
	return c
}

func replayQuery(bridge, from, to, filter string, rate float64, now time.Time) (url.Values, error) {
	begin, err := parseMoment(from, now)
	if err != nil {
		return nil, fmt.Errorf("--from: %w", err)
	}
	end, err := parseMoment(to, now)
	if err != nil {
		return nil, fmt.Errorf("--to: %w", err)
	}
	if !begin.Before(end) {
		return nil, errors.New("--from is not before --to")
	}
	if err := topic.ValidFilter(filter); err != nil {
		return nil, fmt.Errorf("--topic %q: %w", filter, err)
	}
	if !(rate > 0) {
		return nil, fmt.Errorf("--rate is %v and must be above 0", rate)
	}
	return url.Values{
		"bridge": {bridge}, "topic": {filter}, "rate": {strconv.FormatFloat(rate, 'g', -1, 64)},
		"from": {begin.UTC().Format(time.RFC3339Nano)}, "to": {end.UTC().Format(time.RFC3339Nano)},
	}, nil
}

// replay has the gateway do it and shows how far it is.
func replay(ctx context.Context, address consoleAt, query url.Values, terminal io.Writer) (p core.ReplayProgress, err error) {
	client, host := consoleClient(address)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+host+"/api/v1/replay?"+query.Encode(), nil)
	if err != nil {
		return p, usageError{fmt.Errorf("console address %q: %w", address, err)}
	}
	req.Header.Set("Weir-Action", "replay")
	resp, err := client.Do(req)
	if err != nil {
		return p, unavailableError{fmt.Errorf("no gateway answers at %s: %w", address, errors.Unwrap(err))}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return p, fmt.Errorf("the gateway refuses: %s", strings.TrimSpace(string(why)))
	}
	bar := progress(terminal, 0, "replay")
	defer bar.Close()
	dec := json.NewDecoder(resp.Body)
	for !p.Done && p.Error == "" {
		if err := dec.Decode(&p); err != nil {
			return p, fmt.Errorf("the replay broke off: %w", err)
		}
		bar.ChangeMax64(int64(p.Total))
		_ = bar.Set64(int64(p.Seen)) // only paints
	}
	if p.Error != "" {
		return p, errors.New(p.Error)
	}
	return p, nil
}
