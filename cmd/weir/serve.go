package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/weir-edge/weir/configs"
	"github.com/weir-edge/weir/storage"
)

// serve runs the gateway until ctx ends. Where the disk does not let the store be
// opened now, a gateway without a store bridges the time.
func serve(ctx context.Context, path string, cfg *configs.Config, hangups <-chan os.Signal, log *slog.Logger, say func(format string, args ...any)) error {
	g := newGateway(cfg, log)
	g.path, g.hangups = path, hangups
	if err := g.openStore(); err != nil {
		if !storage.MayHeal(err) {
			return err
		}
		if err := g.bridgeOver(ctx, err, say); err != nil || g.store == nil {
			return err
		}
	}
	if err := g.openRest(); err != nil {
		return err
	}
	return g.run(ctx, say)
}

// storeEvery is how often a store is tried that could not be opened.
const storeEvery = 250 * time.Millisecond

// bridgeOver passes live values through while g's store can not be opened. The
// order of things:
//
//  1. a gateway without a store starts: what all receivers take at once passes,
//     what would have to be kept is refused, and sessions that are to outlive their
//     connection are told to come again, because theirs is in the store;
//  2. the store can be opened;
//  3. the gateway without it stops: clients are told, bridges say goodbye;
//  4. g goes on with the store, and with all that was owed before.
//
// When ctx ends first, g.store is nil.
func (g *gateway) bridgeOver(ctx context.Context, why error, say func(format string, args ...any)) error {
	g.log.Error("the store can not be opened: live values pass through, nothing is kept, and sessions that are away miss them", "error", why)
	s := newGateway(g.cfg, g.log)
	s.hangups, s.without = g.hangups, true
	cfg := s.storeConfig()
	s.store = storage.OpenWithout(cfg, why)
	if err := s.openRest(); err != nil { // 1
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	opened := make(chan error, 1)
	go func() {
		opened <- g.awaitStore(ctx) // 2
		if ctx.Err() == nil {
			say("store     can be opened now")
		}
		cancel()
	}()
	err := s.run(ctx, say) // 3
	cancel()
	return errors.Join(err, <-opened)
}

// awaitStore opens the store as soon as the disk lets it.
func (g *gateway) awaitStore(ctx context.Context) error {
	tick := time.NewTicker(storeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := g.openStore()
		if err == nil {
			g.log.Info("the store is open again")
		}
		if !storage.MayHeal(err) {
			return err
		}
	}
}
