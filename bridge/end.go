package bridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/weir-edge/weir/core/packet"
)

// endTimeout is how long the end of a bridge waits for its servers.
const endTimeout = 5 * time.Second

// EndSession ends the session of a bridge that is no more, and has ended its connection:
// the upstream would fill it for ever. A connection that begins clean takes what was
// there away and, as its own session does not last, leaves nothing. It is done at each
// of the servers, since each may have a session from a day on which it was in use. The
// error says in plain words where it could not be done.
func EndSession(ctx context.Context, cfg Config) error {
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	failed := make([]error, len(cfg.URLs))
	var all sync.WaitGroup
	for i, url := range cfg.URLs {
		all.Go(func() { failed[i] = endSessionAt(ctx, cfg, url) })
	}
	all.Wait()
	return errors.Join(failed...)
}

func endSessionAt(ctx context.Context, cfg Config, url string) error {
	t, err := newTrial(cfg, url, func(Step) {})
	if err != nil {
		return err
	}
	if _, err := t.connect(ctx); err != nil {
		return fmt.Errorf("%s: %s", t.s.url, explain(err, t.b.cfg.Clock.Now()))
	}
	defer t.conn.Close()
	return t.send(&packet.Disconnect{})
}
