package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
)

// How long the end of a session waits for its servers, and for one of them to close.
const (
	endTimeout   = 5 * time.Second
	closeTimeout = time.Second
)

// parting is what is to be done at a server that has a session of ours no more.
type parting struct {
	url   string
	state string   // the topic whose retained state is cleared; "": none
	due   []uint16 // packet ids of messages that the server has and holds back until their PUBREL
}

// EndSession ends the session upstream of a bridge that is no more, and whose Run has
// returned: the upstream would fill it for ever. It is done at each of the servers, since
// each may have a session from a day on which it was in use. The error says in plain words
// where it could not be done.
func (b *Bridge) EndSession(ctx context.Context) error {
	var all []parting
	for _, s := range b.servers {
		all = append(all, parting{url: s.url, state: b.cfg.StateTopic})
	}
	return b.part(ctx, all)
}

// Leave does so for the bridge from which b has inherited, where b goes on with another
// session, and says whether there was one to end. It is to be called before Run: what is
// another server by its name may be the same, where b would be thrown out of its own
// session.
func (b *Bridge) Leave(ctx context.Context, old *Bridge) (ended bool, err error) {
	if old.home == nil || old.home.lost() || !b.home.lost() {
		return false, nil
	}
	var all []parting
	for _, s := range old.servers {
		p := parting{url: s.url, state: old.cfg.StateTopic}
		if slices.ContainsFunc(b.servers, func(mine *server) bool { return mine.url == s.url }) {
			if b.cfg.ClientID == old.cfg.ClientID { // it starts clean there
				continue
			}
			if b.cfg.StateTopic == old.cfg.StateTopic {
				p.state = ""
			}
		}
		all = append(all, p)
	}
	return true, old.part(ctx, all)
}

// SharesSession says whether two bridges may have one session upstream. Another scheme or
// port may be another way to the same broker.
func (c Config) SharesSession(with Config) bool {
	return c.ClientID == with.ClientID && slices.ContainsFunc(c.URLs, func(url string) bool {
		return slices.ContainsFunc(with.URLs, func(other string) bool { return hostOf(url) == hostOf(other) })
	})
}

func hostOf(url string) string {
	s, err := parseServer(url)
	if err != nil {
		return url
	}
	return s.host
}

// part is done at all of them at once, in a time that is bounded for all together.
func (b *Bridge) part(ctx context.Context, all []parting) error {
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	b.settleReleases()
	failed := make([]error, len(all))
	var wait sync.WaitGroup
	for i, p := range all {
		if b.home != nil && b.home.url == p.url {
			p.due = slices.Collect(b.out.Releases())
		}
		wait.Go(func() { failed[i] = p.do(ctx, b.cfg) })
	}
	wait.Wait()
	return errors.Join(failed...)
}

// settleReleases takes in which releases have become durable since the last connection;
// other answers stay for the bridge that inherits.
func (b *Bridge) settleReleases() {
	for _, e := range b.events.take() {
		if e.batch > 0 && e.err == nil {
			b.synced = max(b.synced, e.batch)
			continue
		}
		b.events.post(e)
	}
	b.releases.Synced(b.synced)
	for pid, ok := b.releases.Pop(); ok; pid, ok = b.releases.Pop() {
		b.out.Released(pid)
	}
}

// do brings to their end the messages that the server holds back (it would drop them with
// the session, and they are paid), and then the session: a connection that begins clean
// takes what was there away and, as its own session does not last, leaves nothing.
func (p *parting) do(ctx context.Context, cfg Config) error {
	if len(p.due) > 0 {
		if err := p.visit(ctx, cfg, false, p.release); err != nil {
			return err
		}
	}
	return p.visit(ctx, cfg, true, p.clear)
}

// visit is one connection, with the session that is there, or clean.
func (p *parting) visit(ctx context.Context, cfg Config, clean bool, do func(*trial, *greeting) error) error {
	t, err := newTrial(cfg, p.url, func(Step) {})
	if err != nil {
		return err
	}
	g, err := t.connect(ctx, clean)
	if err != nil {
		return fmt.Errorf("%s: %s", p.url, explain(err, t.b.cfg.Clock.Now()))
	}
	defer t.conn.Close()
	stop := context.AfterFunc(ctx, func() { t.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	t.rest, t.v = g.rest, g.version
	if err := do(t, g); err != nil {
		return fmt.Errorf("%s: %s", p.url, explain(err, t.b.cfg.Clock.Now()))
	}
	if err := t.send(&packet.Disconnect{}); err != nil {
		return err
	}
	t.conn.SetReadDeadline(time.Now().Add(closeTimeout))
	_, _ = io.Copy(io.Discard, t.conn) // until the server has read it: who connects at once would be served first
	return nil
}

// release sends what is due, and waits until the server has let the messages go.
func (p *parting) release(t *trial, g *greeting) error {
	if !g.sessionPresent {
		return nil
	}
	var out []byte
	for _, pid := range p.due {
		out = packet.AppendAck(out, g.version, packet.PUBREL, pid, packet.Success)
	}
	if _, err := t.conn.Write(out); err != nil {
		return err
	}
	for left := p.due; len(left) > 0; {
		got, err := t.next()
		if err != nil {
			return fmt.Errorf("wait for PUBCOMP: %w", err)
		}
		if a, ok := got.(*packet.Ack); ok && a.Kind == packet.PUBCOMP {
			left = slices.DeleteFunc(left, func(pid uint16) bool { return pid == a.PacketID })
		}
	}
	return nil
}

// clear takes the state away: of a bridge that is no more "offline" would be shown for ever.
func (p *parting) clear(t *trial, g *greeting) error {
	if p.state == "" || !g.retain {
		return nil
	}
	return t.send(&packet.Publish{Topic: []byte(p.state), QoS: core.AtMostOnce, Retain: true})
}
