package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/weir-edge/weir/core"
)

// Tool works on the store of a gateway that does not run: it owns the log as the
// broker otherwise does. Its methods belong to one goroutine, and wait.
type Tool struct {
	log    *Log
	wake   chan struct{}
	owners []Owner

	settled map[core.Seq]bool // what Keep waits for
	synced  core.Ticket
}

// Owner is a receiver by the name that people know.
type Owner struct {
	Receiver core.ReceiverID
	Name     string // client id, or bridge and rule
	Rule     bool   // of a bridge, not a session
}

// ErrNoStore: there is nothing to work on.
var ErrNoStore = errors.New("no store there")

// OpenTool opens a store that is there. [ErrInUse]: its gateway runs.
func OpenTool(cfg Config) (*Tool, error) {
	if err := there(cfg.Dir); err != nil {
		return nil, err
	}
	t := &Tool{wake: make(chan struct{}, 1), settled: make(map[core.Seq]bool)}
	cfg.Notify = func() {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
	var err error
	if t.log, err = Open(cfg); err != nil {
		return nil, err
	}
	err = t.log.Load(func(c core.Change) {
		switch c := c.(type) {
		case core.SessionSaved:
			t.owners = append(t.owners, Owner{Receiver: c.Session.Receiver, Name: c.Session.ClientID})
		case core.RuleSaved:
			t.owners = append(t.owners, Owner{Receiver: c.Receiver, Name: c.Name, Rule: true})
		}
	})
	if err != nil {
		return nil, errors.Join(err, t.log.Close())
	}
	return t, nil
}

// there: a store is in a directory, and may be looked at.
func there(dir string) error {
	_, err := os.Stat(filepath.Join(dir, ringDir))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", dir, ErrNoStore)
	}
	return err
}

// SetHistory says that nobody waits for what is owed to a receiver. See [Log.SetPolicy].
func (t *Tool) SetHistory(r core.ReceiverID) {
	t.log.SetPolicy(r, core.Policy{Priority: core.HistoryPriority, OnFull: core.DropOldest})
}

// Close writes what was changed.
func (t *Tool) Close() error { return t.log.Close() }

// RemoveQuarantined deletes a directory in quarantine for good.
func (t *Tool) RemoveQuarantined(name string) error { return t.log.RemoveQuarantined(name) }

// Dir is where the store is.
func (t *Tool) Dir() string { return t.log.cfg.Dir }

// Status is a snapshot.
func (t *Tool) Status() core.BufferStatus { return t.log.Status() }

// Owners are those to whom something may be owed, sessions first.
func (t *Tool) Owners() []Owner { return slices.Clone(t.owners) }

// Owed counts what is owed to a receiver.
func (t *Tool) Owed(r core.ReceiverID) uint64 { return t.log.Owed(r) }

// until does turns until ok holds.
func (t *Tool) until(ctx context.Context, ok func() bool) error {
	for {
		t.log.Collect(t)
		if ok() {
			return nil
		}
		wait := t.log.Turn(time.Now())
		if t.log.health.err != nil {
			return t.log.health.err
		}
		timer := time.NewTimer(max(wait, time.Millisecond))
		if wait < 0 {
			timer.Stop()
		}
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-t.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// How much is fetched at once.
const (
	toolMessages = 500
	toolBytes    = 1 << 20
)

// Walk visits what is owed to a receiver, in order, until visit says no. It
// changes nothing of what is owed. unread is told of segments of which something can not
// be read; what they owe is passed over.
func (t *Tool) Walk(ctx context.Context, r core.ReceiverID, visit func(core.Delivery) (more bool, err error), unread func(segments ...uint64)) error {
	for at := (Place{}); !at.End; {
		var seen *Seen
		t.log.Browse(r, at, toolMessages, toolBytes, func(s Seen) { seen = &s })
		if err := t.until(ctx, func() bool { return seen != nil }); err != nil {
			return err
		}
		if seen.Err != nil {
			return fmt.Errorf("look at what is owed: %w", seen.Err)
		}
		unread(seen.Unread...)
		for _, d := range seen.Messages {
			if more, err := visit(d); err != nil || !more {
				return err
			}
		}
		at = seen.Next
	}
	return nil
}

// DropBefore gives up what is owed to a receiver and was received before a moment,
// from the oldest on to the first that was not. What can not be read stays owed.
func (t *Tool) DropBefore(ctx context.Context, r core.ReceiverID, before time.Time, progress func(n int), unread func(segments ...uint64)) (dropped int, err error) {
	err = t.Walk(ctx, r, func(d core.Delivery) (bool, error) {
		if !d.Message.Received.Time().Before(before) {
			return false, nil
		}
		if t.log.GiveUp(r, d.Seq) {
			dropped++
		}
		progress(1)
		return true, nil
	}, unread)
	return dropped, err
}

// Forget ends an owner and everything that is owed to it.
func (t *Tool) Forget(ctx context.Context, o Owner) (dropped uint64, err error) {
	dropped = t.log.Owed(o.Receiver)
	var ticket core.Ticket
	if o.Rule {
		ticket = t.log.Record(core.RuleDropped{Name: o.Name, Receiver: o.Receiver}, false)
	} else {
		ticket = t.log.Record(core.SessionDropped{ClientID: o.Name, Receiver: o.Receiver}, false)
	}
	t.owners = slices.DeleteFunc(t.owners, func(k Owner) bool { return k == o })
	return dropped, t.until(ctx, func() bool { return t.synced >= ticket })
}

// Keep appends messages that are owed to receivers, and waits until they are synced.
func (t *Tool) Keep(ctx context.Context, messages []*core.Message, receivers ...core.ReceiverID) error {
	debts := make([]core.Debt, len(receivers))
	for i, r := range receivers {
		debts[i].Receiver = r
	}
	clear(t.settled)
	for _, m := range messages {
		seq, settled, err := t.log.Append(m, debts, 0)
		if err != nil {
			return err
		}
		if !settled {
			t.settled[seq] = false
		}
	}
	return t.until(ctx, func() bool {
		for _, done := range t.settled {
			if !done {
				return false
			}
		}
		return true
	})
}

// Settled is core.LogHandler's.
func (t *Tool) Settled(seq core.Seq) { t.settled[seq] = true }

// Synced is core.LogHandler's.
func (t *Tool) Synced(ticket core.Ticket) { t.synced = max(t.synced, ticket) }

// Fetched is core.LogHandler's; a tool fetches nothing.
func (t *Tool) Fetched(core.ReceiverID, []core.Delivery, bool) {}

// Dropped is core.LogHandler's; Status counts it.
func (t *Tool) Dropped(core.ReceiverID, core.Reason, int) {}
