package main

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/configs"
	"github.com/weir-edge/weir/core/broker"
)

// A reload changes users and keys, what they may do, bridges and their rules; what else has changed
// needs a restart, and is named. A file with an error changes nothing. For each bridge:
//
//  1. if it has changed or is gone, its connection ends after what is under way
//  2. rules that are still there keep their queues, which take messages all the
//     while; new ones are attached, those that are gone are detached, and what is
//     owed to them stays in the log
//  3. the bridge starts again, with the packet ids that it had
//  4. the session upstream of one that is gone is ended: nobody would fetch what it
//     gathers. So is that which a bridge had as another client or at other servers,
//     before it starts again. Otherwise the session of a bridge that has changed stays.

// uplinks are the bridges of this moment.
func (g *gateway) uplinks() []*attached {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.bridges
}

func (g *gateway) reload(say func(string, ...any)) {
	if g.path == "" {
		g.log.Warn("there is no configuration file to read again")
		return
	}
	cfg, err := configs.Load(g.path)
	if err != nil {
		g.log.Error("the configuration has errors; the one before stays", "file", g.path, "errors", err.Error())
		g.audit.Note("reload refused", "file", g.path, "configuration", g.fingerprint())
		say("not reloaded: the configuration has errors\n%v", err)
		return
	}
	g.warnOfRestart(cfg)
	g.reloadAuth(cfg.Auth)
	g.broker.Authorize(cfg.Authorizer())
	g.cfg.Access = cfg.Access
	g.cfg.TakeBridges(cfg)
	changed, err := g.reloadBridges(cfg.Bridges)
	if err != nil {
		g.log.Error("the configuration is reloaded in part", "error", err)
	}
	if r := cfg.Auth.Rules; r.Users != nil || r.Tokens != nil {
		changed += "; " + describeLogins(r.Users.Len(), r.Tokens.Len())
	}
	if cfg.Access != nil {
		changed += "; " + describeRules(cfg.Access)
	}
	say("reloaded: %s", changed)
	g.audit.Note("reload", "file", g.path, "configuration", g.fingerprint(), "changed", changed)
	g.log.Info("configuration reloaded", "changed", changed)
}

// warnOfRestart names the sections that a reload does not reach.
func (g *gateway) warnOfRestart(cfg *configs.Config) {
	was, is := g.cfg, cfg
	for section, same := range map[string]bool{
		"listeners": reflect.DeepEqual(was.Listeners, is.Listeners),
		"limits":    reflect.DeepEqual(was.Limits, is.Limits),
		"storage":   reflect.DeepEqual(was.Storage, is.Storage) && was.DataDir == is.DataDir,
		"adapters":  reflect.DeepEqual(was.Adapters, is.Adapters),
		"console":   was.Console == is.Console,
		"audit":     was.Audit == is.Audit,
		"backoff":   was.Auth.Backoff == is.Auth.Backoff,
	} {
		if !same {
			g.log.Warn("a change needs a restart", "section", section)
		}
	}
}

// reloadBridges makes the bridges those of cfgs, and says what it did.
func (g *gateway) reloadBridges(cfgs []bridge.Config) (string, error) {
	old := make(map[string]*attached)
	for _, a := range g.uplinks() {
		old[a.name] = a
	}
	var next []*attached
	var did []string
	var failed error
	for _, cfg := range cfgs {
		was := old[cfg.Name]
		delete(old, cfg.Name)
		if was != nil && reflect.DeepEqual(was.cfg, cfg) && was.file == g.cfg.FileAtWork(cfg.Name) {
			next = append(next, was)
			continue
		}
		word := "added "
		if was != nil {
			word = "changed "
			failed = errors.Join(failed, was.run.stop())
		}
		a, err := g.attach(cfg, was)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		a.run = g.background(g.follow(a, was, cfgs))
		next, did = append(next, a), append(did, word+cfg.Name)
	}
	for name, a := range old {
		failed = errors.Join(failed, a.run.stop(), g.detach(a.queues))
		did = append(did, "removed "+name)
	}
	g.mu.Lock()
	g.bridges = next
	g.mu.Unlock()
	for _, a := range old {
		did = append(did, g.endSession(a, cfgs)...)
	}
	if did == nil {
		return "no bridge has changed", failed
	}
	return strings.Join(did, ", "), failed
}

// endSession ends the session of a bridge that is gone, unless another one has it now,
// and says what came of it.
func (g *gateway) endSession(gone *attached, left []bridge.Config) []string {
	if sharesSession(gone, left) {
		return nil
	}
	if err := gone.EndSession(context.Background()); err != nil {
		return []string{fmt.Sprintf("its session %s could not be ended and stays at the upstream (%s)", gone.cfg.ClientID, g.complainOfSession(gone, err))}
	}
	return []string{"its session upstream is ended"}
}

// follow runs a bridge after was, which has ended: once the session that was had is ended,
// if it is another one and nobody else has it.
func (g *gateway) follow(a, was *attached, all []bridge.Config) func(context.Context) error {
	if was == nil || sharesSession(was, all) {
		return a.Run
	}
	return func(ctx context.Context) error {
		switch ended, err := a.Leave(ctx, was.Bridge); {
		case err != nil:
			g.complainOfSession(was, err)
		case ended:
			g.log.Info("the session that the bridge had upstream is ended", "bridge", was.name, "client_id", was.cfg.ClientID)
		}
		return a.Run(ctx)
	}
}

// sharesSession says whether another bridge may have the session of one that has ended.
func sharesSession(ended *attached, all []bridge.Config) bool {
	return slices.ContainsFunc(all, func(other bridge.Config) bool {
		return other.Name != ended.name && other.SharesSession(ended.cfg)
	})
}

// complainOfSession logs that a session could not be ended, and why in one line.
func (g *gateway) complainOfSession(of *attached, err error) string {
	why := strings.ReplaceAll(err.Error(), "\n", "; ")
	g.log.Warn("a session that is not used any more may stay at the upstream, which goes on filling it: end it there",
		"bridge", of.name, "client_id", of.cfg.ClientID, "why", why)
	return why
}

func (g *gateway) detach(queues map[string]*broker.Queue) (err error) {
	for _, q := range queues {
		err = errors.Join(err, g.broker.Detach(q))
	}
	return err
}

// attach makes a bridge and gives each of its out rules its queue; was is the bridge
// of that name that has just ended, or nil.
func (g *gateway) attach(cfg bridge.Config, was *attached) (*attached, error) {
	a := &attached{name: cfg.Name, cfg: cfg, file: g.cfg.FileAtWork(cfg.Name), queues: make(map[string]*broker.Queue)}
	var err error
	if a.quarantine, err = openQuarantine(g.cfg.DataDir, cfg.Name); err != nil {
		return nil, err
	}
	cfg.Gateway, cfg.Clock, cfg.Seen, cfg.Quarantine = g.name, g.clock, g.seen, a.quarantine.keep
	home := homeFile{g.cfg.DataDir, cfg.Name}
	cfg.Home, cfg.KeepHome = home.read(), home.keep
	before := make(map[string]*broker.Queue)
	if was != nil {
		before = was.queues
	}
	names := make(map[string]int)
	var queues []bridge.Queue
	wake := make(chan struct{}, 1)
	for _, rule := range cfg.Out {
		rc := ruleConfig(cfg.Name, rule, names, wake)
		rc.Beside = cfg.Drain.LiveShare > 0
		q, err := g.queue(rc, before)
		if err != nil {
			return nil, err
		}
		queues, a.queues[rc.Name] = append(queues, partsOf(q)), q
	}
	if err := g.detach(before); err != nil {
		return nil, err
	}
	link, err := g.broker.Link(cfg.Name)
	if err != nil {
		return nil, err
	}
	if a.Bridge, err = bridge.New(cfg, queues, bridge.LinkState(link), g.broker, g.log); err != nil {
		return nil, err
	}
	if was != nil {
		a.Inherit(was.Bridge)
	}
	return a, nil
}

// partsOf is what a bridge takes out of a queue.
func partsOf(q *broker.Queue) bridge.Queue {
	if other := q.Beside(); other != nil {
		return bridge.Parts{Queue: q, Beside: other, Fresh: q.Fresh}
	}
	return q
}

// queue is the one that the rule had, taken out of before, or a new one.
func (g *gateway) queue(rc broker.RuleConfig, before map[string]*broker.Queue) (*broker.Queue, error) {
	q := before[rc.Name]
	delete(before, rc.Name)
	switch {
	case q == nil:
		return g.broker.Attach(rc)
	case q.Receiver() != 0 && rc.QoS > 0:
		return q, g.broker.Reattach(q, rc)
	}
	if err := g.broker.Detach(q); err != nil {
		return nil, err
	}
	return g.broker.Attach(rc)
}
