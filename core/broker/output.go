package broker

import (
	"github.com/weir-edge/weir/core/packet"
)

// send queues a packet; the end of the turn writes it.
func (c *conn) send(p packet.Packet) {
	if c.phase == closed {
		return
	}
	c.out = p.AppendTo(c.output(), c.version)
	c.broker.counters.packetsSent++
	c.broker.touch(c)
}

// sendAck queues an acknowledgement.
func (c *conn) sendAck(kind packet.Type, pid uint16, r packet.Reason) {
	if c.phase == closed {
		return
	}
	c.out = packet.AppendAck(c.output(), c.version, kind, pid, r)
	c.broker.counters.packetsSent++
	c.broker.touch(c)
}

// output is the buffer to append to. An idle connection has none.
func (c *conn) output() []byte {
	if c.out == nil {
		c.out = c.broker.buffers.get()
	}
	if len(c.tail) > 0 { // something goes behind it: seldom, see hasRoom
		c.out = append(c.out, c.tail...)
		c.dropTail()
	}
	return c.out
}

// hasRoom says whether messages may be encoded for the peer now, or have to wait
// in the client's queue. A burst that fills the buffer is written at once.
func (c *conn) hasRoom() bool {
	if (len(c.out) >= softOutput || len(c.tail) > 0 || c.flooded()) && !c.blocked {
		c.write()
	}
	return len(c.out) < softOutput && len(c.tail) == 0 && !(c.blocked && c.flooded())
}

// flush is the one write that a touched connection gets in a turn.
func (c *conn) flush() {
	c.touched = false
	c.releaseAcks()
	c.relent()
	if !c.blocked {
		c.write()
	}
	c.throttle()
}

// write gives the link what it takes.
func (c *conn) write() {
	if len(c.out)+len(c.tail) == 0 {
		return
	}
	n, err := c.link.write(c.out, c.tail)
	c.broker.counters.bytesSent += uint64(n)
	if err != nil {
		c.lost(err)
		return
	}
	if n < len(c.out)+len(c.tail) {
		c.blocked = true
		head := min(n, len(c.out))
		c.out, c.tail = c.out[head:], c.tail[n-head:]
		c.countOutput()
		return
	}
	c.dropTail()
	c.broker.buffers.put(c.out)
	c.out = nil
	c.countOutput()
}

// writable: the link takes more again.
func (c *conn) writable() {
	if c.link == nil {
		return
	}
	c.blocked = false
	if c.deaf { // that it takes something is all that it can say
		c.heard = c.broker.now
	}
	c.write()
	c.throttle()
	if c.client != nil && !c.blocked {
		c.client.pump()
	}
}

// throttle stops reading from a peer that does not read what it is sent.
func (c *conn) throttle() {
	deaf := len(c.out) > hardOutput || c.blocked && c.flooded()
	if deaf != c.deaf && c.phase == open {
		c.deaf = deaf
		c.heard = c.broker.now // its time runs while it can be heard
		c.hear()
	}
}
