//go:build linux

package load

import (
	"fmt"
	"time"

	"github.com/weir-edge/weir/core/packet"
)

// retained stores Count retained messages at QoS 1, reads them with one wildcard
// subscription at QoS 0 and one at QoS 1, and removes them.
func (r *run) retained() error {
	before, err := r.memory()
	if err != nil {
		return err
	}
	p := &keeper{run: r}
	if err := r.open(1, func(int) role { return p }); err != nil {
		return err
	}
	stored, err := r.measure(func() error { return p.publishAll(r.o.Size) })
	if err != nil {
		return err
	}
	after, err := r.memory()
	if err != nil {
		return err
	}
	r.result.Sent = uint64(r.o.Count)
	r.result.add("memory per retained message", float64(after-before)/float64(r.o.Count), "B")
	r.result.add("CPU per message stored", each(stored.broker, r.o.Count), "us")
	for qos := range byte(2) {
		if err := r.readRetained(qos); err != nil {
			return err
		}
	}
	return p.publishAll(0)
}

// keeper publishes retained messages, keeping a window of them open.
type keeper struct {
	idle
	run  *run
	conn *conn
}

func (k *keeper) ready(c *conn) { k.conn = c }

func (k *keeper) publishAll(size int) error {
	payload := make([]byte, size)
	window := min(k.run.o.Inflight, k.run.receiveMaximum)
	sent := 0
	return k.run.run(answerLimit, func() bool {
		c := k.conn
		if c.open <= window/2 {
			for ; c.open < window && sent < k.run.o.Count; sent++ {
				topic := exactTopic(k.run.prefix(), sent)
				c.out = packet.AppendPublish(c.out, k.run.version, false, 1, true, topic, c.packetID(), nil, payload)
				c.open++
			}
			if err := c.flush(); err != nil {
				k.run.lost(c, err)
				return true
			}
		}
		return sent == k.run.o.Count && c.open == 0
	})
}

// readRetained subscribes to all retained messages of the run.
func (r *run) readRetained(qos byte) error {
	reader := &reader{run: r, qos: qos, latest: r.tick()}
	begin := r.now
	c, err := r.measure(func() error {
		if err := r.open(1, func(int) role { return reader }); err != nil {
			return err
		}
		return r.run(answerLimit, func() bool {
			return reader.n == r.o.Count || r.now-reader.latest > int64(r.o.Patience)
		})
	})
	if err != nil {
		return err
	}
	r.conns[len(r.conns)-1].leave()
	r.conns = r.conns[:len(r.conns)-1]
	r.result.Delivered += uint64(reader.n)
	r.result.Lost += uint64(max(r.o.Count-reader.n, 0))
	r.result.CPU = each(c.broker, reader.n)
	r.result.add(fmt.Sprintf("CPU per message read at QoS %d", qos), each(c.broker, reader.n), "us")
	r.result.add(fmt.Sprintf("never delivered at QoS %d", qos), float64(r.o.Count-reader.n), "messages")
	r.result.add(fmt.Sprintf("time to read all at QoS %d", qos), time.Duration(reader.latest-begin).Seconds(), "s")
	return nil
}

// reader counts retained messages.
type reader struct {
	run    *run
	qos    byte
	n      int
	latest int64
}

func (r *reader) ready(c *conn) {
	r.latest = r.run.now
	c.subscribe(r.qos, r.run.prefix()+"/#")
}

func (r *reader) publish(_ *conn, p *packet.Publish) {
	if p.Retain && len(p.Payload) > 0 {
		r.n++
		r.latest = r.run.now
	}
}
