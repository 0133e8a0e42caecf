package broker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/weir-edge/weir/core/broker/transport"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/session"
)

// conn is one network connection: the machine between its bytes and the broker.
// It does no I/O. A link gives it what came in and takes what is to go out; there
// is one over a non-blocking socket and one over a net.Conn with goroutines.
//
// All of it belongs to the loop.
type conn struct {
	// Static.
	broker   *Broker
	link     link
	listener *listener
	peer     // set once more when the handshakes below MQTT are done

	// Set by CONNECT.
	version   packet.Version
	bridge    bool    // it says that it is one, as those of MQTT 3.1.1 can
	client    *client // nil until the connection is open
	maxPacket int     // the largest packet that the peer takes
	explains  bool    // the peer wants reason strings
	silence   time.Duration
	since     time.Time
	keepalive time.Duration

	phase  phase
	heard  time.Time // when the last packet came
	timer  timer     // CONNECT or the next packet is overdue
	reason packet.Reason
	broken bool // it ended without a word

	// Input: an incomplete packet, and how long it will be at least.
	rest  []byte
	want  int
	gave  bool  // a message has taken over the memory of rest
	loan  *loan // others send from it
	whole bool  // the packet that is being handled is in rest

	// Output: what the link has not taken yet.
	out       []byte
	tail      []byte // behind out: the payload of a large message, in its own memory
	debt      *loan  // or in that of the packet that it came in
	touched   bool   // on the list of those to be written this turn
	blocked   bool   // the link takes no more for now
	unwritten int64  // out and tail, as counted in pending
	deaf      bool   // not read from, until the output has drained

	waits      func()  // for room in the store; it ends that. nil: does not
	unanswered int     // by the disk so far, besides acks: packets, and filters of SUBSCRIBE
	overdrawn  func()  // it is not read from for their number; ends that. nil: it is
	pacing     *pacing // nil where there is no publish rate
	login      *login  // nil: nothing about it can change
	refusal    refusal
	acks       session.Acks
	aliasesIn  *session.AliasesIn
	aliasesOut *session.AliasesOut
}

// link moves the bytes of one connection. Its methods are called by the loop and
// do not wait.
type link interface {
	// write takes what it can of b and of tail behind it. When that is not all, it calls conn.writable
	// as soon as it can take more.
	write(b, tail []byte) (n int, err error)
	// listen says whether input is wanted.
	listen(bool)
	// close closes the connection once everything that write took is on its way.
	close()
}

// phase is where a connection is in its life.
type phase byte

const (
	opening  phase = iota // waits for CONNECT
	deciding              // CONNECT came, the authenticator has not answered
	proving               // it has asked for more: waits for AUTH
	open
	closed // no packet is taken or queued any more; what is in out still goes
)

const (
	// softOutput is when messages wait in the client's queue, where they are
	// shared, instead of the connection's output, where they are copies.
	softOutput = 64 << 10
	// hardOutput is when a peer that sends without reading is not read from.
	hardOutput = 256 << 10
	// largePayload is what is not copied: a payload is kept in the memory in which
	// it came, and sent from there.
	largePayload = 32 << 10
)

// connectSlack is the part of the connect timeout that is left for a busy machine: the
// way from the system to the loop and back was 20 ms with 10,000 silent peers at once.
const connectSlack = 50

// accept begins a connection.
func (b *Broker) accept(l link, at *listener, from peer) *conn {
	c := &conn{broker: b, link: l, listener: at, peer: from, heard: b.now}
	c.timer.ring = c.overdue
	// A peer that says nothing is gone after the connect timeout, whatever it
	// dribbles meanwhile. It has counted from when the system took its connection and
	// counts until it sees the end, so that our time for it is a little shorter.
	timeout := b.cfg.Limits.ConnectTimeout
	b.timers.set(&c.timer, b.now.Add(timeout-timeout/connectSlack))
	b.conns[c] = struct{}{}
	at.connections++
	b.addresses[transport.Network(from.addr)]++
	b.opening++
	b.counters.accepted++
	for b.openings.len() > 0 && (*b.openings.first()).phase >= open {
		b.openings.pop()
	}
	b.openings.push(c)
	b.full.Store(len(b.conns) >= b.maxSockets)
	return c
}

// space is where the link puts the next bytes: the loop's own buffer, or behind
// those of an incomplete packet. Memory grows with what has come, never with what
// was announced.
func (c *conn) space() []byte {
	if len(c.rest) == 0 {
		if c.broker.cramped.Len() > 0 { // it may have to be kept
			return c.broker.input[:crampedInput]
		}
		return c.broker.input
	}
	missing := max(c.want-len(c.rest), 1)
	if cap(c.rest)-len(c.rest) < min(missing, minRead) {
		c.keepRest(append(c.memory(missing), c.rest...))
	}
	return c.rest[len(c.rest):cap(c.rest)]
}

const minRead = 2 << 10

// memory is where an incomplete packet goes on, when so much of it is missing: four
// times what has come, for few copies, and exactly, for a message may keep it.
func (c *conn) memory(missing int) []byte {
	if ready := c.broker.shelf.get(c.want); ready != nil {
		return ready
	}
	n := len(c.rest) + max(minRead, min(missing, 3*len(c.rest)))
	if n >= largePayload { // the allocator's pages
		n = (n + 8<<10 - 1) &^ (8<<10 - 1)
	}
	return make([]byte, 0, n)
}

// took: the link has put n bytes into space.
func (c *conn) took(n int) {
	c.broker.counters.bytesReceived += uint64(n)
	if len(c.rest) == 0 {
		if left := c.packets(c.broker.input[:n]); len(left) > 0 {
			c.keepRest(append(c.broker.shelf.get(c.want), left...))
			c.leaveCrowd()
		}
		return
	}
	c.rest = c.rest[:len(c.rest)+n]
	if len(c.rest) < c.want {
		c.leaveCrowd()
		return
	}
	c.digest()
}

// leaveCrowd ends a connection whose packet there is no room to wait for.
func (c *conn) leaveCrowd() {
	if c.crowded() {
		c.fail(&packet.Error{Reason: packet.QuotaExceeded, Text: "too many large packets that have not come whole"})
	}
}

// digest handles what is in rest. Where a message keeps its memory, what is left
// behind it goes elsewhere.
func (c *conn) digest() {
	memory := c.rest
	c.whole, c.gave, c.loan = true, false, nil
	left := c.packets(memory)
	c.whole = false
	if len(left) == len(memory) { // nothing was handled
		return
	}
	if small := len(memory) < largePayload; small && len(left) > 0 {
		c.keepRest(append(memory[:0], left...))
		return
	}
	c.keepRest(nil)
	if len(left) > 0 {
		c.keepRest(append(c.broker.shelf.get(c.want), left...))
	}
	c.handled(memory)
}

// packets handles all complete packets in b and returns what is left.
func (c *conn) packets(b []byte) []byte {
	c.want = 0
	for len(b) > 0 && !c.held() && (c.phase == opening || c.phase == proving || c.phase == open) {
		h, n, err := packet.ReadHeader(b)
		if err == nil {
			err = c.admissible(h, n)
		}
		if err == nil && (n == 0 || len(b) < n+h.Length) {
			c.want = n + h.Length
			return b
		}
		if err == nil {
			c.heard = c.broker.now
			err = c.handle(h, b[n:n+h.Length])
		}
		if err != nil {
			c.fail(err)
			return nil
		}
		if c.waits != nil { // it comes once more
			c.want = n + h.Length
			return b
		}
		c.broker.counters.packetsReceived++
		b = b[n+h.Length:]
	}
	if c.phase == closed {
		return nil
	}
	return b
}

// admissible refuses on the fixed header what is not worth waiting for. n is 0
// while the header is not complete.
func (c *conn) admissible(h packet.Header, n int) error {
	limit := c.listener.maxPacket()
	switch {
	case c.phase == opening && h.Type != packet.CONNECT: // [MQTT-3.1.0-1]
		return &packet.Error{Reason: packet.ProtocolError, Clause: "MQTT-3.1.0-1", Text: h.Type.String() + " before CONNECT"}
	case c.phase == proving && h.Type != packet.AUTH && h.Type != packet.DISCONNECT:
		return &packet.Error{Reason: packet.ProtocolError, Clause: "MQTT-3.1.2-30", Text: h.Type.String() + " before CONNACK"}
	case c.phase < open:
		limit = min(limit, maxConnect)
	}
	if n > 0 && n+h.Length > limit {
		return &packet.Error{Reason: packet.PacketTooLarge, Text: h.Type.String() + " is larger than allowed"}
	}
	return nil
}

// handle acts on one packet.
func (c *conn) handle(h packet.Header, body []byte) error {
	switch {
	case c.phase == opening:
		return c.handleConnect(h, body)
	case h.Type == packet.PUBLISH:
		return c.handlePublish(h, body)
	case h.Type >= packet.PUBACK && h.Type <= packet.PUBCOMP:
		return c.handleAck(h, body)
	}
	p, err := packet.Parse(h, body, c.version)
	if err != nil {
		return err
	}
	switch p := p.(type) {
	case *packet.Subscribe:
		return c.handleSubscribe(p)
	case *packet.Unsubscribe:
		return c.handleUnsubscribe(p)
	case *packet.Pingreq:
		c.send(&packet.Pingresp{}) // [MQTT-3.12.4-1]
		return nil
	case *packet.Disconnect:
		return c.handleDisconnect(p)
	case *packet.Connect:
		return &packet.Error{Reason: packet.ProtocolError, Clause: "MQTT-3.1.0-2", Text: "a second CONNECT"}
	case *packet.Auth:
		return c.handleAuth(p)
	default:
		return &packet.Error{Reason: packet.ProtocolError, Text: p.Type().String() + " from a client"}
	}
}

// overdue is called when the peer may have been silent for too long.
func (c *conn) overdue(now time.Time) {
	switch {
	case c.awaitsEnd():
		c.refuseUnended()
	case c.phase < open:
		c.broker.complain("connection closed", "address", c.remote, "reason", "no CONNECT in time")
		c.broker.count("connect-timeout")
		c.close()
	case c.phase != open || c.silence == 0:
	case c.held():
		c.broker.timers.set(&c.timer, now.Add(c.silence))
	case now.Sub(c.heard) < c.silence:
		c.broker.timers.set(&c.timer, c.heard.Add(c.silence))
	case c.broker.backlog: // after a pause of the process it may have spoken all the same
		c.broker.timers.set(&c.timer, now.Add(time.Second))
	default: // [MQTT-3.1.2-22]
		c.end(packet.KeepAliveTimeout)
	}
}

// fail ends the connection because of what the peer did.
func (c *conn) fail(err error) {
	reason, text := packet.UnspecifiedError, ""
	if e, ok := errors.AsType[*packet.Error](err); ok {
		reason, text = e.Reason, because(e)
	}
	c.broker.complain("protocol error", "address", c.remote, "client", c.clientID(), "error", err)
	switch c.phase {
	case opening:
		c.broker.count(reason.String())
		c.close()
	case proving:
		c.refuse(reason)
	default:
		c.endBecause(reason, text)
	}
}

// end closes an open connection, telling a peer of MQTT 5 why. Its will is
// published [MQTT-3.1.2-8].
func (c *conn) end(reason packet.Reason) { c.endBecause(reason, explanation(reason)) }

func (c *conn) endBecause(reason packet.Reason, text string) {
	if c.phase != open {
		return
	}
	c.broker.count(reason.String())
	if c.version >= packet.V5 {
		// Before MQTT 5 a server just closes [MQTT-3.14.0-1].
		p := &packet.Disconnect{Reason: reason}
		p.Properties = c.explained(text, p.Size(c.version))
		c.send(p)
	}
	c.reason = reason
	c.close()
}

// lost: the link has failed or the peer has closed it.
func (c *conn) lost(error) {
	c.forgetBytes()
	if c.phase == open {
		c.broker.count("connection lost")
		c.broken = true
	}
	c.close()
}

// close ends the connection. What is queued is still written at the end of the
// turn, as far as the link takes it without waiting, and then the session is told
// (Broker.bury): not here, where another message may be on its way.
func (c *conn) close() {
	if c.phase == closed {
		return
	}
	if c.phase < open {
		c.broker.opening--
	}
	c.phase = closed
	c.broker.timers.stop(&c.timer)
	if c.pacing != nil {
		c.broker.timers.stop(&c.pacing.timer)
	}
	for _, cancel := range []func(){c.waits, c.overdrawn} {
		if cancel != nil {
			cancel()
		}
	}
	c.dropLogin()
	c.broker.dying = append(c.broker.dying, c)
	if c.client != nil {
		level := slog.LevelDebug // that clients come and go is no news
		if c.reason.IsError() {
			level = slog.LevelInfo
		}
		c.broker.log.Log(context.Background(), level, "client disconnected",
			"client", c.client.id, "address", c.remote, "reason", c.reason.String())
	}
}

func (c *conn) clientID() string {
	if c.client == nil {
		return ""
	}
	return c.client.id
}
