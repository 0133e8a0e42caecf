package broker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/topic"
)

// history keeps what a rule takes for some time, delivered or not. In the log it is
// a receiver that never comes: what is owed to it is dropped when it is too old,
// and before anything else when the room is used up. So the bodies are those of
// the log, stored once; but with a history every message is written.
type history struct {
	endpoint // owned by the loop

	// Static.
	broker   *Broker
	queue    *Queue
	receiver core.ReceiverID

	replay *rerun // that is running, or nil
}

const historyOf = "history of "

// keepHistory gives a rule its history, or ends one that it had before.
func (b *Broker) keepHistory(q *Queue, options packet.Options) {
	name := historyOf + q.cfg.Name
	if q.cfg.History <= 0 {
		if r := b.rules[name]; r != nil {
			delete(b.rules, name)
			delete(b.ruleOf, r.receiver)
			b.record(core.RuleDropped{Name: name, Receiver: r.receiver})
		}
		return
	}
	r := b.named(name)
	r.queue = q
	h := &history{broker: b, queue: q, receiver: r.receiver}
	h.endpoint = endpoint{subscriber: h, name: q.cfg.NoPublisher, excludes: q.cfg.Excludes}
	q.history = h
	b.receivers[h.receiver] = h
	b.store.SetPolicy(h.receiver, core.Policy{Priority: core.HistoryPriority, MaxAge: q.cfg.History, OnFull: core.DropOldest})
	for _, filter := range q.cfg.Filters {
		b.insert(filter, &h.endpoint, grant{options: options})
	}
}

func (h *history) debt() debtor                              { return debtor{receiver: h.receiver} }
func (h *history) expect(int)                                {}
func (h *history) deliver(*publication, core.Delivery, bool) {}

// drop: that the history ends somewhere is no loss.
func (h *history) drop(core.Reason, int) {}

// rerun is a run through a history. It belongs to the loop.
type rerun struct {
	history *history
	want    core.Replay
	tell    func(core.ReplayProgress) // must not wait
	end     func(error)

	progress core.ReplayProgress
	next     []core.Delivery
	credit   float64 // messages that may be sent now
	at       time.Time
	timer    timer
	over     bool
}

// replayEvery is how often a replay sends some.
const replayEvery = 50 * time.Millisecond

// ErrNoHistory: no rule of the bridge keeps one.
var ErrNoHistory = errors.New("keeps no history")

// Replay sends again what the rules of a bridge have kept, one rule after the
// other, and returns when the last of it was handed to the bridge. Live traffic
// goes first: nothing is sent while a rule is behind or its bridge has no
// connection. progress must not wait.
func (b *Broker) Replay(ctx context.Context, want core.Replay, progress func(core.ReplayProgress)) error {
	var histories []*history
	err := b.do(func() {
		for name, r := range b.rules {
			if strings.HasPrefix(name, historyOf+want.Bridge+" ") && r.queue != nil {
				histories = append(histories, r.queue.history)
			}
		}
	})
	if err == nil && len(histories) == 0 {
		err = fmt.Errorf("bridge %q is not there, or %w", want.Bridge, ErrNoHistory)
	}
	for _, h := range histories {
		if err == nil {
			err = b.replay(ctx, h, want, progress)
		}
	}
	return err
}

func (b *Broker) replay(ctx context.Context, h *history, want core.Replay, progress func(core.ReplayProgress)) error {
	ended := make(chan error, 1)
	r := &rerun{history: h, want: want, tell: progress, end: func(err error) { ended <- err }}
	r.timer.ring = r.step
	if err := b.do(r.begin); err != nil {
		return err
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return errors.Join(context.Cause(ctx), b.do(func() { r.finish(nil) }))
	}
}

func (r *rerun) begin() {
	h := r.history
	if h.replay != nil {
		r.over = true
		r.end(errors.New("a replay of this bridge is running already"))
		return
	}
	h.replay = r
	r.progress.Total = h.broker.store.Owed(h.receiver)
	r.at = h.broker.now
	h.broker.store.Rewind(h.receiver)
	r.more()
}

// more asks for the next messages, or ends.
func (r *rerun) more() {
	if r.progress.Seen >= r.progress.Total {
		r.finish(nil)
		return
	}
	r.history.broker.store.Fetch(r.history.receiver, fetchMessages, fetchBytes)
}

func (h *history) fetched(next []core.Delivery, _ bool) {
	r := h.replay
	switch {
	case r == nil:
	case len(next) == 0: // the rest was too old
		r.finish(nil)
	default:
		r.next = next
		r.step(h.broker.now)
	}
}

// step sends what the rate allows.
func (r *rerun) step(now time.Time) {
	if r.over {
		return
	}
	r.credit = min(r.credit+r.want.Rate*now.Sub(r.at).Seconds(), max(1, r.want.Rate))
	r.at = now
	for len(r.next) > 0 {
		d := r.next[0]
		if r.wants(d.Message) {
			if r.credit < 1 || !r.send(d) {
				break
			}
			r.credit--
			r.progress.Sent++
		}
		r.next = r.next[1:]
		r.progress.Seen++
	}
	r.tell(r.progress)
	if len(r.next) == 0 {
		r.more()
		return
	}
	r.history.broker.timers.set(&r.timer, now.Add(replayEvery))
}

func (r *rerun) wants(m *core.Message) bool {
	at := m.Received.Time()
	return !at.Before(r.want.From) && at.Before(r.want.To) && (r.want.Filter == "" || topic.Match(r.want.Filter, m.Topic))
}

// propReplay marks a message that is sent again on request: its number when it was sent
// first. core.PropTime says when it was received.
const propReplay = "weir-replay"

// send hands a marked copy to the rule. False: not now.
func (r *rerun) send(d core.Delivery) bool {
	h := r.history
	q, b := h.queue, h.broker
	if !q.online || q.behind {
		return false
	}
	m := *d.Message
	m.Retain, m.Expiry, m.Received = false, 0, b.stamp
	props := core.Properties{}
	if m.Properties != nil {
		props = *m.Properties
	}
	marks := d.Message.Received.AppendMarks([]core.UserProperty{{Name: propReplay, Value: strconv.FormatUint(uint64(d.Seq), 10)}})
	props.User = append(marks, props.User...)
	m.Properties = &props
	b.begin(&m, true)
	p := &b.publication
	p.targets, p.ids = append(p.targets[:0], target{to: &q.endpoint, qos: min(m.QoS, q.cfg.QoS)}), p.ids[:0]
	_, err := b.give(p)
	return err == nil
}

// finish ends it; the history is as it was.
func (r *rerun) finish(err error) {
	if r.over {
		return
	}
	r.over = true
	r.history.replay = nil
	r.history.broker.timers.stop(&r.timer)
	r.history.broker.store.Rewind(r.history.receiver)
	r.tell(r.progress)
	r.end(err)
}
