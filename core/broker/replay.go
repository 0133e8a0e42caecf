package broker

import (
	"container/list"
	"errors"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/topic"
)

// replay sends the retained messages that match a new subscription. It looks at
// the index a slice at a time and only when the client has room, so it costs
// neither a long turn nor memory, and a value that changes meanwhile is sent as
// it is then. It outlives a connection of its session.
type replay struct {
	// Static.
	filter  string
	cursor  *topic.Cursor[resting]
	options packet.Options
	id      uint32

	left  string // the topic for which the store had no room; "": none
	waits bool   // for room
}

// replays are what a session is to be sent of retained messages, one filter after the
// other. A filter has one at most, which begins anew when it is subscribed to again: so
// there are no more of them than subscriptions.
type replays struct {
	order list.List // of *replay
	of    map[string]*list.Element
}

func (rs *replays) put(filter string, r *replay) {
	rs.drop(filter)
	rs.of[filter] = rs.order.PushBack(r)
}

func (rs *replays) drop(filter string) {
	if at := rs.of[filter]; at != nil {
		rs.order.Remove(at)
		delete(rs.of, filter)
	}
}

// replay begins replays for filters that were subscribed to, and still are.
func (cl *client) replay(filters []string) {
	for _, filter := range filters {
		g, ok := cl.grant(filter)
		if !ok {
			continue
		}
		if cl.replays == nil {
			cl.replays = &replays{of: map[string]*list.Element{}}
		}
		cursor := cl.broker.retained.Cursor(filter)
		cl.replays.put(filter, &replay{filter: filter, cursor: cursor, options: g.options, id: g.id})
	}
	cl.resumeReplays()
}

// endReplay: the client has unsubscribed, or has got everything [MQTT-3.10.4-2].
func (cl *client) endReplay(filter string) {
	if cl.replays == nil {
		return
	}
	if cl.replays.drop(filter); cl.replays.order.Len() == 0 {
		cl.replays = nil
	}
}

// resumeReplays goes on with the first of them, if it had no room.
func (cl *client) resumeReplays() {
	if cl.replays == nil || cl.replaying || cl.behind {
		return
	}
	cl.replaying = true
	cl.broker.work(cl.replayStep)
}

// replayStep sends the next retained messages of the first replay.
func (cl *client) replayStep() (more bool) {
	cl.replaying = cl.connected() && !cl.behind && cl.replays != nil
	if !cl.replaying {
		return false
	}
	r := cl.replays.order.Front().Value.(*replay)
	if name := r.left; name != "" {
		r.left = ""
		if found, ok := cl.broker.retained.Get(name); ok {
			cl.replayOne(r, name, &found)
		}
	}
	if cl.replaying {
		for name, found := range r.cursor.Next(sliceSize) {
			if cl.replayOne(r, name, &found); !cl.replaying {
				break
			}
		}
	}
	if r.cursor.Done() && r.left == "" {
		cl.endReplay(r.filter)
	}
	return cl.replaying
}

// replayOne sends a retained message, and stops the replay where it cannot go on now.
func (cl *client) replayOne(r *replay, name string, found *resting) {
	m := found.wake(name, &cl.broker.scratch)
	qos := min(r.options.QoS(), m.QoS)
	if !cl.sendRetained(m, r) {
		r.left, cl.replaying = name, false
		cl.awaitReplay(r)
		return
	}
	if !cl.connected() || cl.queue.len() > 0 || !cl.ready(qos) {
		cl.replaying = false // pump goes on, or the next connection
	}
}

// awaitReplay goes on with a replay when the store may have room.
func (cl *client) awaitReplay(r *replay) {
	if r.waits {
		return
	}
	r.waits = true
	cl.broker.awaitRoom(func() {
		r.waits = false
		cl.resumeReplays()
	})
}

// sendRetained sends one message with the retain flag set [MQTT-3.3.1-8]. To a
// durable session it is owed like any other; where the store has no room for that
// it is left out, and its topic keeps it. False: there is no room for a moment only.
func (cl *client) sendRetained(m *core.Message, r *replay) (done bool) {
	b := cl.broker
	mine := r.options.NoLocal() && m.Publisher == cl.id // [MQTT-3.8.3-3]
	if mine || m.Expired(b.stamp) || !cl.mayReceive(m.Topic) {
		return true
	}
	d := core.Delivery{Message: m, QoS: min(r.options.QoS(), m.QoS), Retain: true}
	if r.id != 0 {
		d.Subscriptions = []uint32{r.id}
	}
	b.begin(m, m != &b.scratch)
	live := true
	if cl.receiver != 0 && d.QoS > 0 {
		d.Message = b.publication.keep()
		debt := []core.Debt{{Receiver: cl.receiver, Live: true}}
		seq, _, err := b.store.Append(d.Message, debt, cl.patience())
		switch {
		case errors.Is(err, core.ErrBusy):
			return false
		case err != nil:
			cl.drop(core.DroppedStoreFull, 1)
			return true
		}
		d.Seq, live = seq, debt[0].Live
	}
	cl.deliver(&b.publication, d, live)
	return true
}
