//go:build linux

package load

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/weir-edge/weir/core/packet"
)

// conn is one MQTT connection of the loop. What it is for decides its role.
type conn struct {
	fd     int
	engine *engine
	role   role
	phase  phase
	dialed int64 // engine.now when it began to connect

	rest []byte // the start of a packet that has not come whole
	big  bigPacket
	out  []byte // what the socket has not taken yet
	full bool   // the socket takes no more for now

	nextID uint16
	open   int // messages sent that wait for their last acknowledgement
}

// role is what a connection does with what it receives.
type role interface {
	// publish takes a message; it is valid during the call only. The connection
	// acknowledges it afterwards.
	publish(c *conn, p *packet.Publish)
	// ready: the connection was accepted by the broker.
	ready(c *conn)
}

// idle is the role of a connection that only exists.
type idle struct{}

func (idle) publish(*conn, *packet.Publish) {}
func (idle) ready(*conn)                    {}

type phase byte

const (
	dialing phase = iota
	greeting
	connected
	closed
)

// bigPacket is a PUBLISH too long to wait for in memory: its beginning is kept,
// the rest is counted.
type bigPacket struct {
	header packet.Header
	begin  []byte
	left   int
}

// A PUBLISH longer than bigSize is not kept whole; its topic and stamp are within bigBegin.
const (
	bigSize  = 64 << 10
	bigBegin = 1 << 10
)

// ready is called by the poller.
func (c *conn) ready(in, out bool) {
	var err error
	if out {
		err = c.writable()
	}
	if err == nil && in && c.phase != closed {
		err = c.read()
	}
	if err != nil && c.phase != closed {
		c.engine.lost(c, err)
	}
}

func (c *conn) writable() error {
	if c.phase == dialing {
		errno, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && errno != 0 {
			err = unix.Errno(errno)
		}
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		c.phase = greeting
		c.out = c.engine.hello(c.out)
	}
	c.full = false
	if err := c.engine.poll.modify(c.fd, unix.EPOLLIN); err != nil {
		return err
	}
	return c.flush()
}

// read reads once, and answers all that came with one write.
func (c *conn) read() error {
	n, err := rawRead(c.fd, c.engine.in)
	switch {
	case err == unix.EAGAIN:
		return nil
	case err != nil:
		return fmt.Errorf("read: %w", err)
	case n == 0:
		return io.EOF
	}
	c.engine.tick()
	if err := c.feed(c.engine.in[:n]); err != nil || c.phase == closed {
		return err
	}
	return c.flush()
}

// feed decodes b behind what is left from before.
func (c *conn) feed(b []byte) error {
	if c.big.left > 0 {
		n := min(c.big.left, len(b))
		c.big.left -= n
		b = b[n:]
		if c.big.left > 0 {
			return nil
		}
		if err := c.take(c.big.header, c.big.begin); err != nil {
			return err
		}
	}
	if len(c.rest) > 0 {
		c.rest = append(c.rest, b...)
		b = c.rest
	}
	for len(b) > 0 && c.phase != closed {
		h, n, err := packet.ReadHeader(b)
		if err != nil {
			return err
		}
		if n == 0 || len(b) < n+h.Length {
			b = c.wait(h, n, b)
			break
		}
		if err := c.take(h, b[n:n+h.Length]); err != nil {
			return err
		}
		b = b[n+h.Length:]
	}
	c.rest = append(c.rest[:0], b...)
	return nil
}

// wait decides what to do about the packet at the start of b that has not come
// whole, and returns what of it is to be kept.
func (c *conn) wait(h packet.Header, n int, b []byte) []byte {
	if n == 0 || h.Type != packet.PUBLISH || h.Length < bigSize || len(b) < n+bigBegin {
		return b
	}
	c.big.header, c.big.left = h, n+h.Length-len(b)
	c.big.begin = append(c.big.begin[:0], b[n:n+bigBegin]...)
	return nil
}

// take handles one packet.
func (c *conn) take(h packet.Header, body []byte) error {
	e := c.engine
	switch h.Type {
	case packet.PUBLISH:
		p := &e.publish
		if err := p.Parse(h.Flags, body, e.version); err != nil {
			return err
		}
		c.role.publish(c, p)
		switch p.QoS {
		case 1:
			c.out = packet.AppendAck(c.out, e.version, packet.PUBACK, p.PacketID, packet.Success)
		case 2:
			c.out = packet.AppendAck(c.out, e.version, packet.PUBREC, p.PacketID, packet.Success)
		}
		return nil
	case packet.PUBACK, packet.PUBREC, packet.PUBREL, packet.PUBCOMP:
		return c.takeAck(h, body)
	}
	p, err := packet.Parse(h, slices.Clone(body), e.version)
	if err != nil {
		return err
	}
	switch p := p.(type) {
	case *packet.Connack:
		return c.accepted(p)
	case *packet.Suback:
		e.answered(p.Reasons)
	case *packet.Disconnect:
		return fmt.Errorf("the broker ended the connection: %s", p.Reason)
	}
	return nil
}

func (c *conn) takeAck(h packet.Header, body []byte) error {
	e := c.engine
	a := &e.ack
	if err := a.Parse(h, body, e.version); err != nil {
		return err
	}
	switch {
	case a.Reason.IsError():
		c.open--
		e.refused++
	case h.Type == packet.PUBREC:
		c.out = packet.AppendAck(c.out, e.version, packet.PUBREL, a.PacketID, packet.Success)
	case h.Type == packet.PUBREL:
		c.out = packet.AppendAck(c.out, e.version, packet.PUBCOMP, a.PacketID, packet.Success)
	default:
		c.open--
	}
	return nil
}

func (c *conn) accepted(p *packet.Connack) error {
	if p.Reason != packet.Success {
		return fmt.Errorf("the broker refused the connection with code %d", byte(p.Reason))
	}
	if p.Properties != nil && p.Properties.ReceiveMaximum != nil {
		c.engine.receiveMaximum = int(*p.Properties.ReceiveMaximum)
	}
	c.phase = connected
	c.engine.accepted()
	c.role.ready(c)
	return nil
}

// subscribe asks for the filters, at most perSubscribe in a packet.
func (c *conn) subscribe(qos byte, filters ...string) {
	for part := range slices.Chunk(filters, perSubscribe) {
		s := packet.Subscribe{PacketID: c.packetID()}
		for _, f := range part {
			s.Filters = append(s.Filters, packet.Filter{Filter: []byte(f), Options: packet.Options(qos)})
		}
		c.out = s.AppendTo(c.out, c.engine.version)
		c.engine.pending++
	}
}

const perSubscribe = 100

// packetID gives the next packet identifier, never 0. Fewer than 65535 are open.
func (c *conn) packetID() uint16 {
	c.nextID++
	if c.nextID == 0 {
		c.nextID = 1
	}
	return c.nextID
}

// flush writes what is pending. What the socket does not take waits.
func (c *conn) flush() error {
	if c.full || len(c.out) == 0 || c.phase == dialing || c.phase == closed {
		return nil
	}
	n, err := rawWrite(c.fd, c.out)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		return fmt.Errorf("write: %w", err)
	}
	c.out = append(c.out[:0], c.out[n:]...)
	if len(c.out) == 0 {
		return nil
	}
	c.full = true
	return c.engine.poll.modify(c.fd, unix.EPOLLIN|unix.EPOLLOUT)
}

// leave says goodbye and closes the connection.
func (c *conn) leave() {
	if c.phase == connected {
		c.out = (&packet.Disconnect{}).AppendTo(c.out, c.engine.version)
		_ = c.flush() // the connection may be gone already
	}
	c.close()
}

func (c *conn) close() {
	if c.phase != closed {
		c.phase = closed
		c.engine.poll.remove(c.fd)
	}
}
