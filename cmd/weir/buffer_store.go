package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/weir-edge/weir/configs"
	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/storage"
)

// bufferStore is what the buffer commands work on: the store of a gateway that
// does not run (toolStore), that of one that runs, over its console (remoteStore),
// and behind the console the store itself (liveStore).
type bufferStore interface {
	// messages visits the oldest of what is owed to somebody, as many as most (0: all).
	// total is how much is owed. What can not be read is passed over, and at the end
	// an unreadError.
	messages(ctx context.Context, name string, most int, visit func(k kept, total uint64) error) error
	// keep puts the messages of an exported file behind what is owed to somebody.
	// What it counts is on disk, with an error too.
	keep(ctx context.Context, name string, from io.Reader) (n int, err error)
	// drop gives up what somebody is owed from before a moment, or (zero) ends the
	// owner with all of it. What can not be read stays, with an unreadError.
	drop(ctx context.Context, name string, before time.Time, progress progressFunc) (given, owed uint64, err error)
	// verify reads every page.
	verify(ctx context.Context, progress progressFunc) (storage.Verified, error)
	// replay owes once more what can be read of a directory in quarantine, and
	// counts what belongs to nobody who is known.
	replay(ctx context.Context, aside string, progress progressFunc) (owed, strangers int, err error)
	// remove deletes a directory in quarantine.
	remove(ctx context.Context, aside string) error
}

// progressFunc is told that so much of so much is done; 0: not known.
type progressFunc func(done, total uint64)

// withStore works on the store: by itself, or through the gateway when that runs.
func (f *bufferFlags) withStore(work func(bufferStore) error) error {
	err := f.withTool(func(t *storage.Tool) error { return work(toolStore{t}) })
	if !errors.Is(err, storage.ErrInUse) {
		return err
	}
	at, err := f.console()
	if err != nil {
		return err
	}
	return unanswered(work(remoteStore{at}))
}

// unanswered adds to an error of the console why it was asked.
func unanswered(err error) error {
	if _, silent := errors.AsType[unavailableError](err); silent {
		return fmt.Errorf("the store is in use by a gateway, but %w", err)
	}
	return err
}

// console is that of the gateway that has the store. A directory alone does not tell
// it, and another gateway of this machine would do to its store what is meant for
// this one.
func (f *bufferFlags) console() (consoleAt, error) {
	at, err := consoleAddress(f.config)
	if f.data != "" && f.config == "" {
		err = usageError{errors.New("--config must name its configuration, which says where its console is")}
	}
	if err != nil {
		return at, fmt.Errorf("the store is in use by a gateway: %w", err)
	}
	return at, nil
}

// withTool opens the store of a gateway that does not run, for as long as work runs.
func (f *bufferFlags) withTool(work func(*storage.Tool) error) error {
	cfg, err := f.load()
	if err != nil {
		return err
	}
	sc := cfg.Store()
	sc.Clock, sc.Logger = core.NewClock(), slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	sc.Clock.SetSynced(clockKnown())
	t, err := storage.OpenTool(sc)
	if errors.Is(err, storage.ErrNoStore) {
		err = fmt.Errorf("%w; --config or --data-dir says where it is", err)
	}
	if err != nil {
		return unavailableError{fmt.Errorf("open the store: %w", err)}
	}
	setHistories(t, cfg)
	return errors.Join(work(t), t.Close(), giveBack(sc.Dir))
}

// setHistories says of what is kept for replays that nobody waits for it, as the gateway does.
func setHistories(t *storage.Tool, cfg *configs.Config) {
	configured := configuredRules(cfg)
	for _, o := range t.Owners() {
		if rule, ok := strings.CutPrefix(o.Name, historyOf); ok && o.Rule && configured[rule] {
			t.SetHistory(o.Receiver)
		}
	}
}

// toolStore is the store of a gateway that does not run.
type toolStore struct{ *storage.Tool }

// errNobody is the answer to a name that the store does not know.
func errNobody(name string) error {
	return usageError{fmt.Errorf("the store knows nobody called %q; `weir buffer ls` lists to whom messages are owed", name)}
}

func (t toolStore) owner(name string) (storage.Owner, error) {
	for _, o := range t.Owners() {
		if o.Name == name {
			return o, nil
		}
	}
	return storage.Owner{}, errNobody(name)
}

func (t toolStore) messages(ctx context.Context, name string, most int, visit func(kept, uint64) error) error {
	o, err := t.owner(name)
	if err != nil {
		return err
	}
	total := t.Owed(o.Receiver)
	var left unreadError
	n := 0
	err = t.Walk(ctx, o.Receiver, func(d core.Delivery) (bool, error) {
		n++
		return n != most, visit(toKept(d.Seq, d.Message), total)
	}, left.add)
	return left.after(err)
}

func (t toolStore) keep(ctx context.Context, name string, from io.Reader) (int, error) {
	o, err := t.owner(name)
	if err != nil {
		return 0, err
	}
	return readKept(from, func(group []*core.Message) error { return t.Keep(ctx, group, o.Receiver) })
}

func (t toolStore) drop(ctx context.Context, name string, before time.Time, progress progressFunc) (given, owed uint64, err error) {
	o, err := t.owner(name)
	if err != nil {
		return 0, 0, err
	}
	if before.IsZero() {
		given, err = t.Forget(ctx, o)
		return given, t.Owed(o.Receiver), err
	}
	var left unreadError
	seen, total := uint64(0), t.Owed(o.Receiver)
	n, err := t.DropBefore(ctx, o.Receiver, before, func(n int) {
		seen += uint64(n)
		progress(seen, total)
	}, left.add)
	return uint64(n), t.Owed(o.Receiver), left.after(err)
}

func (t toolStore) verify(ctx context.Context, progress progressFunc) (storage.Verified, error) {
	return t.Verify(ctx, func(done, total int) { progress(uint64(done), uint64(total)) })
}

func (t toolStore) replay(ctx context.Context, aside string, progress progressFunc) (owed, strangers int, err error) {
	known := make(map[core.ReceiverID]bool)
	for _, o := range t.Owners() {
		known[o.Receiver] = true
	}
	err = storage.Salvaged(t.Dir(), aside, func(m *core.Message, receivers []core.ReceiverID) error {
		receivers = knownOf(receivers, func(r core.ReceiverID) bool { return known[r] })
		if len(receivers) == 0 {
			strangers++
			return nil
		}
		owed++
		progress(uint64(owed+strangers), 0)
		return t.Keep(ctx, []*core.Message{m}, receivers...)
	})
	return owed, strangers, err
}

func (t toolStore) remove(_ context.Context, aside string) error { return t.RemoveQuarantined(aside) }

func knownOf(list []core.ReceiverID, known func(core.ReceiverID) bool) (out []core.ReceiverID) {
	for _, r := range list {
		if known(r) {
			out = append(out, r)
		}
	}
	return out
}

// importGroup is how many messages are synced at once.
const importGroup = 500

// readKept reads messages, one JSON document a line, and has them kept in groups. A
// bad line ends it; what was counted is kept.
func readKept(from io.Reader, keep func([]*core.Message) error) (n int, err error) {
	dec := json.NewDecoder(from)
	dec.DisallowUnknownFields()
	now := core.NewClock().Now()
	for {
		var group []*core.Message
		var bad error
		for len(group) < importGroup {
			var k kept
			if bad = dec.Decode(&k); bad != nil {
				if !errors.Is(bad, io.EOF) {
					bad = fmt.Errorf("not as `weir buffer export` writes it: %w", bad)
				}
				break
			}
			var m *core.Message
			if m, bad = k.message(now); bad != nil {
				break
			}
			group = append(group, m)
		}
		if len(group) > 0 {
			if err := keep(group); err != nil {
				return n, err
			}
		}
		n += len(group)
		switch {
		case errors.Is(bad, io.EOF):
			return n, nil
		case bad != nil:
			return n, fmt.Errorf("message %d: %w", n+1, bad)
		}
	}
}
