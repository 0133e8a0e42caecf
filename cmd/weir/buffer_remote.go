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

	"github.com/weir-edge/weir/storage"
)

// remoteStore is the store of a gateway that runs, over its console.
type remoteStore struct{ at consoleAt }

// errEnough ends an answer of which no more is wanted.
var errEnough = errors.New("enough")

// call asks for a verb, hands over each line of the answer, and decodes the result.
func (s remoteStore) call(ctx context.Context, verb string, query url.Values, body io.Reader, result any, line func(bufferLine) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	client, host := consoleClient(s.at)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+host+"/api/v1/buffer/"+verb+"?"+query.Encode(), body)
	if err != nil {
		return usageError{fmt.Errorf("console address %q: %w", s.at, err)}
	}
	req.Header.Set("Weir-Action", "buffer")
	resp, err := client.Do(req)
	if err != nil {
		return unavailableError{fmt.Errorf("no gateway answers at %s: %w", s.at, errors.Unwrap(err))}
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusUnauthorized {
		return refusedBy(s.at, resp)
	}
	if resp.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return fmt.Errorf("the gateway refuses: %s", strings.TrimSpace(string(why)))
	}
	dec := json.NewDecoder(resp.Body)
	for {
		var l bufferLine
		if err := dec.Decode(&l); err != nil {
			return fmt.Errorf("the answer of the gateway broke off: %w", err)
		}
		if l.End {
			return s.end(l, result)
		}
		if err := line(l); err != nil {
			return err
		}
	}
}

func (s remoteStore) end(l bufferLine, result any) error {
	var err error
	if result != nil && l.Result != nil {
		err = json.Unmarshal(l.Result, result)
	}
	switch {
	case len(l.Unread) > 0:
		return &unreadError{l.Unread}
	case l.Usage:
		return usageError{errors.New(l.Error)}
	case l.Error != "":
		return errors.New(l.Error)
	default:
		return err
	}
}

func painting(progress progressFunc) func(bufferLine) error {
	return func(l bufferLine) error {
		progress(l.Done, l.Total)
		return nil
	}
}

func (s remoteStore) messages(ctx context.Context, name string, most int, visit func(kept, uint64) error) error {
	n := 0
	query := url.Values{"name": {name}, "most": {strconv.Itoa(most)}}
	err := s.call(ctx, "messages", query, nil, nil, func(l bufferLine) error {
		if l.Message == nil {
			return nil
		}
		if n++; most > 0 && n > most { // a gateway of an earlier version
			return errEnough
		}
		return visit(*l.Message, l.Total)
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

func (s remoteStore) keep(ctx context.Context, name string, from io.Reader) (int, error) {
	var r keptResult
	err := s.call(ctx, "import", url.Values{"name": {name}}, io.NopCloser(from), &r, func(bufferLine) error { return nil })
	return r.Kept, err
}

func (s remoteStore) drop(ctx context.Context, name string, before time.Time, progress progressFunc) (given, owed uint64, err error) {
	query := url.Values{"name": {name}}
	if !before.IsZero() {
		query.Set("before", before.UTC().Format(time.RFC3339Nano))
	}
	var r droppedResult
	err = s.call(ctx, "drop", query, nil, &r, painting(progress))
	return r.Dropped, r.Owed, err
}

func (s remoteStore) verify(ctx context.Context, progress progressFunc) (v storage.Verified, err error) {
	err = s.call(ctx, "verify", nil, nil, &v, painting(progress))
	return v, err
}

func (s remoteStore) replay(ctx context.Context, aside string, progress progressFunc) (owed, strangers int, err error) {
	var r replayResult
	err = s.call(ctx, "replay", url.Values{"name": {aside}}, nil, &r, painting(progress))
	return r.Owed, r.Strangers, err
}

func (s remoteStore) remove(ctx context.Context, aside string) error {
	return s.call(ctx, "remove", url.Values{"name": {aside}}, nil, nil, painting(func(uint64, uint64) {}))
}
