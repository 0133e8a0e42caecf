package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/weir-edge/weir/core"
)

// serveReplay starts a replay and streams its progress, a JSON document a line,
// until it has ended; the request's end ends it.
func (c *Console) serveReplay(w http.ResponseWriter, r *http.Request) {
	want, err := parseReplay(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.note("replay", "bridge", want.Bridge, "from", want.From, "to", want.To, "topic", want.Filter, "address", r.RemoteAddr)
	c.streamReplay(w, r, want)
}

func (c *Console) streamReplay(w http.ResponseWriter, r *http.Request, want core.Replay) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	latest, ended := make(chan core.ReplayProgress, 1), make(chan error, 1)
	go func() {
		ended <- c.cfg.Replay(ctx, want, func(p core.ReplayProgress) {
			select { // the newest replaces one that was not taken yet
			case <-latest:
			default:
			}
			latest <- p
		})
	}()
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := http.NewResponseController(w)
	var last core.ReplayProgress
	write := func() error {
		_ = out.SetWriteDeadline(time.Now().Add(writeTimeout)) // not all writers have one
		return errors.Join(json.NewEncoder(w).Encode(last), out.Flush())
	}
	for {
		select {
		case last = <-latest:
			if write() != nil {
				cancel()
				<-ended
				return
			}
		case err := <-ended:
			select {
			case last = <-latest:
			default:
			}
			if last.Done = err == nil; err != nil {
				last.Error = err.Error()
			}
			_ = write() // an error is the peer's own
			return
		}
	}
}

// The bounds of a replay's rate, in messages a second.
const (
	replayRate    = 100
	maxReplayRate = 100_000
)

func parseReplay(r *http.Request) (want core.Replay, err error) {
	q := r.URL.Query()
	want = core.Replay{Bridge: q.Get("bridge"), Filter: q.Get("topic"), Rate: replayRate}
	if want.Bridge == "" {
		return want, errors.New("bridge is missing")
	}
	if want.From, err = time.Parse(time.RFC3339, q.Get("from")); err != nil {
		return want, fmt.Errorf("from: %w", err)
	}
	if want.To, err = time.Parse(time.RFC3339, q.Get("to")); err != nil {
		return want, fmt.Errorf("to: %w", err)
	}
	if !want.From.Before(want.To) {
		return want, errors.New("from is not before to")
	}
	if s := q.Get("rate"); s != "" {
		if want.Rate, err = strconv.ParseFloat(s, 64); err != nil || !(want.Rate > 0 && want.Rate <= maxReplayRate) {
			return want, fmt.Errorf("rate is %q and must be above 0 and at most %d", s, maxReplayRate)
		}
	}
	return want, nil
}
