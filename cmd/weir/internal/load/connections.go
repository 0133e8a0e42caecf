//go:build linux

package load

import (
	"fmt"
	"time"

	"github.com/weir-edge/weir/core/packet"
)

// idle measures connections that only exist, with one subscription each.
func (r *run) idle() error {
	before, err := r.memory()
	if err != nil {
		return err
	}
	opened, err := r.measure(func() error {
		return r.open(r.o.Count, func(i int) role { return listener{ownTopic(r.prefix(), i)} })
	})
	if err != nil {
		return err
	}
	after, err := r.memory()
	if err != nil {
		return err
	}
	quiet, err := r.measure(func() error { return r.rest(r.o.Duration) })
	if err != nil {
		return err
	}
	r.result.Delivered = uint64(len(r.conns))
	r.result.Seconds = quiet.wall.Seconds()
	r.result.add("memory per connection", float64(after-before)/1024/float64(r.o.Count), "KiB")
	r.result.add("CPU per connection opened", each(opened.broker, r.o.Count), "us")
	r.result.add("CPU while idle", quiet.broker.Seconds()*1000/quiet.wall.Seconds(), "ms/s")
	return nil
}

// listener is a connection with one subscription that nobody publishes to.
type listener struct{ filter string }

func (listener) publish(*conn, *packet.Publish) {}

func (l listener) ready(c *conn) { c.subscribe(0, l.filter) }

// connect measures connecting and disconnecting, a few connections at a time.
func (r *run) connect() error {
	s := &storm{left: r.o.Count}
	c, err := r.measure(func() error { return s.rage(r.engine) })
	if err != nil {
		return fmt.Errorf("after %d connections: %w", s.done, err)
	}
	r.result.Sent, r.result.Delivered = uint64(r.o.Count), uint64(s.done)
	r.account(c, uint64(s.done), &s.latency)
	return nil
}

// storm is connections that leave as soon as they are accepted.
type storm struct {
	left, done int
	latency    histogram
}

// rage ends when the broker has had time to notice the last one's end.
func (s *storm) rage(e *engine) error {
	err := e.run(10*time.Minute, func() bool {
		for s.left > 0 && e.opening < maxOpening {
			if _, err := e.dial(s); err != nil {
				e.err = err
				return true
			}
			s.left--
		}
		return s.left == 0 && e.opening == 0
	})
	if err != nil {
		return err
	}
	return e.rest(200 * time.Millisecond)
}

func (s *storm) publish(*conn, *packet.Publish) {}

func (s *storm) ready(c *conn) {
	s.done++
	s.latency.add(c.engine.now - c.dialed)
	c.leave()
}
