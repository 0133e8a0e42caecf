package brokertest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weir-edge/weir/core/packet"
)

// Client is a scripted MQTT client: it sends what a test says and compares what
// comes with what the test expects. It acknowledges nothing by itself, unless told
// to AcknowledgeAll. A mismatch ends the test.
type Client struct {
	Version packet.Version // set by Connect

	t        testing.TB
	conn     net.Conn
	received chan packet.Packet // closed when the connection has ended
	lastID   uint16

	mu   sync.Mutex
	wait *sync.Cond
	held bool
	acks bool           // acknowledge everything
	v    packet.Version // of what is received
}

// patience is how long a packet may take: only a failure takes as long, and in a bubble
// it costs nothing.
const patience = time.Minute

// NewClient makes a client of a connection to any broker.
func NewClient(t testing.TB, conn net.Conn) *Client { return newClient(t, conn) }

func newClient(t testing.TB, conn net.Conn) *Client {
	c := &Client{t: t, conn: conn, Version: packet.V5, v: packet.V5, received: make(chan packet.Packet, 1<<16)}
	c.wait = sync.NewCond(&c.mu)
	go c.read()
	t.Cleanup(func() { c.Hold(false); conn.Close() })
	return c
}

// read splits what comes into packets.
func (c *Client) read() {
	defer close(c.received)
	var buf []byte
	chunk := make([]byte, 16<<10)
	for {
		c.pause()
		n, err := c.conn.Read(chunk)
		buf = append(buf, chunk[:n]...)
		for {
			h, size, perr := packet.ReadHeader(buf)
			if perr != nil || size == 0 || len(buf) < size+h.Length {
				break
			}
			p, perr := packet.Parse(h, bytes.Clone(buf[size:size+h.Length]), c.version())
			if perr != nil {
				c.t.Errorf("received what cannot be read: %v", perr)
				return
			}
			if !c.answer(p) {
				c.received <- p
			}
			buf = buf[size+h.Length:]
		}
		if err != nil {
			return
		}
	}
}

// AcknowledgeAll lets the client acknowledge by itself whatever it receives from
// now on; only what is left of it, the PUBLISHes, is for the test to see.
func (c *Client) AcknowledgeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acks = true
}

// answer acknowledges p if that is wanted, and says whether that is all there is to it.
func (c *Client) answer(p packet.Packet) (done bool) {
	c.mu.Lock()
	on := c.acks
	c.mu.Unlock()
	if !on {
		return false
	}
	switch p := p.(type) {
	case *packet.Publish:
		switch p.QoS {
		case 1:
			c.Send(&packet.Ack{Kind: packet.PUBACK, PacketID: p.PacketID})
		case 2:
			c.Send(&packet.Ack{Kind: packet.PUBREC, PacketID: p.PacketID})
		}
	case *packet.Ack:
		if p.Kind == packet.PUBREL {
			c.Send(&packet.Ack{Kind: packet.PUBCOMP, PacketID: p.PacketID})
			return true
		}
	}
	return false
}

func (c *Client) pause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.held {
		c.wait.Wait()
	}
}

func (c *Client) version() packet.Version {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.v
}

// Hold stops reading from the connection, or goes on with it.
func (c *Client) Hold(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = on
	c.wait.Broadcast()
}

// Write sends bytes as they are. A connection that the broker has closed meanwhile
// is no error.
func (c *Client) Write(b ...byte) {
	c.t.Helper()
	c.conn.SetWriteDeadline(time.Now().Add(patience))
	if _, err := c.conn.Write(b); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		c.t.Logf("write: %v", err)
	}
}

// Send sends packets in one write.
func (c *Client) Send(ps ...packet.Packet) {
	c.t.Helper()
	var b []byte
	for _, p := range ps {
		b = p.AppendTo(b, c.Version)
	}
	c.Write(b...)
}

// Close cuts the connection.
func (c *Client) Close() { c.conn.Close() }

// Next is the next packet; nil when the connection has ended.
func (c *Client) Next() packet.Packet {
	c.t.Helper()
	select {
	case p := <-c.received:
		return p
	case <-time.After(patience):
		c.t.Fatal("nothing received")
		return nil
	}
}

// Expect compares what comes next with packets, in order.
func (c *Client) Expect(ps ...packet.Packet) {
	c.t.Helper()
	for i, want := range ps {
		got := c.Next()
		forgetReasonString(want, got)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			c.t.Fatalf("packet %d (-want +got):\n%s", i, diff)
		}
	}
}

// forgetReasonString drops the reason string of got, unless want has one.
func forgetReasonString(want, got packet.Packet) {
	w, g := answerProperties(want), answerProperties(got)
	if g == nil || *g == nil || w != nil && *w != nil && (*w).ReasonString != nil {
		return
	}
	if (*g).ReasonString = nil; reflect.DeepEqual(**g, packet.Properties{}) {
		*g = nil
	}
}

func answerProperties(p packet.Packet) **packet.Properties {
	switch p := p.(type) {
	case *packet.Connack:
		return &p.Properties
	case *packet.Ack:
		return &p.Properties
	case *packet.Suback:
		return &p.Properties
	case *packet.Disconnect:
		return &p.Properties
	}
	return nil
}

// ExpectClosed wants the connection to end without another packet.
func (c *Client) ExpectClosed() {
	c.t.Helper()
	if p := c.Next(); p != nil {
		c.t.Fatalf("want the connection closed, got %s %+v", p.Type(), p)
	}
}

// ExpectReason wants a DISCONNECT with a reason and the end of the connection;
// before MQTT 5 only the end.
func (c *Client) ExpectReason(r packet.Reason) {
	c.t.Helper()
	if c.Version >= packet.V5 {
		c.Expect(&packet.Disconnect{Reason: r})
	}
	c.ExpectClosed()
}

// ExpectNothing wants silence: no packet before the answer to a ping.
func (c *Client) ExpectNothing() {
	c.t.Helper()
	c.Send(&packet.Pingreq{})
	c.Expect(&packet.Pingresp{})
}

// Connect opens the connection with p and returns the answer, which must be a
// success. A zero Version is MQTT 5.
func (c *Client) Connect(p packet.Connect) *packet.Connack {
	c.t.Helper()
	ack := c.TryConnect(p)
	if ack == nil || ack.Reason != packet.Success {
		c.t.Fatalf("CONNECT refused: %+v", ack)
	}
	return ack
}

// TryConnect opens the connection with p and returns the answer; nil when there
// was none.
func (c *Client) TryConnect(p packet.Connect) *packet.Connack {
	c.t.Helper()
	if p.Version == 0 {
		p.Version = packet.V5
	}
	c.Version = p.Version
	c.mu.Lock()
	c.v = p.Version
	c.mu.Unlock()
	c.Send(&p)
	switch ack := c.Next().(type) {
	case nil:
		return nil
	case *packet.Connack:
		return ack
	default:
		c.t.Fatalf("want CONNACK, got %s", ack.Type())
		return nil
	}
}

// NextID is a packet id that was not used before.
func (c *Client) NextID() uint16 {
	c.lastID++
	return c.lastID
}

// Subscribe subscribes to one filter and wants the options' QoS granted.
func (c *Client) Subscribe(filter string, o packet.Options) {
	c.t.Helper()
	id := c.NextID()
	c.Send(&packet.Subscribe{PacketID: id, Filters: []packet.Filter{{Filter: []byte(filter), Options: o}}})
	c.Expect(&packet.Suback{PacketID: id, Reasons: []packet.Reason{packet.Reason(o.QoS())}})
}

// Publish publishes and goes through the handshake of its QoS.
func (c *Client) Publish(topic, payload string, qos byte) {
	c.t.Helper()
	c.PublishPacket(packet.Publish{Topic: []byte(topic), Payload: []byte(payload), QoS: qos})
}

// PublishPacket is Publish for any PUBLISH; it gives the packet id.
func (c *Client) PublishPacket(p packet.Publish) {
	c.t.Helper()
	if p.QoS > 0 {
		p.PacketID = c.NextID()
	}
	c.Send(&p)
	switch p.QoS {
	case 1:
		c.wantAck(packet.PUBACK, p.PacketID)
	case 2:
		c.wantAck(packet.PUBREC, p.PacketID)
		c.Send(&packet.Ack{Kind: packet.PUBREL, PacketID: p.PacketID})
		c.wantAck(packet.PUBCOMP, p.PacketID)
	}
}

// wantAck wants a successful acknowledgement.
func (c *Client) wantAck(kind packet.Type, pid uint16) {
	c.t.Helper()
	p := c.Next()
	a, ok := p.(*packet.Ack)
	if !ok || a.Kind != kind || a.PacketID != pid || a.Reason.IsError() {
		c.t.Fatalf("want %s %d, got %s", kind, pid, Show(p))
	}
}

// NextPublish is the next packet, which must be a PUBLISH.
func (c *Client) NextPublish() *packet.Publish {
	c.t.Helper()
	p := c.Next()
	m, ok := p.(*packet.Publish)
	if !ok {
		c.t.Fatalf("want PUBLISH, got %s", Show(p))
	}
	return m
}

// Receive wants a PUBLISH of a topic and payload and acknowledges it to the end.
func (c *Client) Receive(topic, payload string) *packet.Publish {
	c.t.Helper()
	m := c.NextPublish()
	if string(m.Topic) != topic || string(m.Payload) != payload {
		c.t.Fatalf("want %s=%s, got %s", topic, payload, Show(m))
	}
	c.Acknowledge(m)
	return m
}

// Acknowledge goes through the handshake of a PUBLISH that was received.
func (c *Client) Acknowledge(m *packet.Publish) {
	c.t.Helper()
	c.mu.Lock()
	done := c.acks
	c.mu.Unlock()
	if done {
		return
	}
	switch m.QoS {
	case 1:
		c.Send(&packet.Ack{Kind: packet.PUBACK, PacketID: m.PacketID})
	case 2:
		c.Send(&packet.Ack{Kind: packet.PUBREC, PacketID: m.PacketID})
		c.wantAck(packet.PUBREL, m.PacketID)
		c.Send(&packet.Ack{Kind: packet.PUBCOMP, PacketID: m.PacketID})
	}
}

// Show is a packet as a test prints it.
func Show(p packet.Packet) string {
	switch p := p.(type) {
	case nil:
		return "the end of the connection"
	case *packet.Publish:
		return fmt.Sprintf("PUBLISH id %d qos %d retain %t dup %t %s=%.40s", p.PacketID, p.QoS, p.Retain, p.Dup, p.Topic, p.Payload)
	case *packet.Ack:
		return fmt.Sprintf("%s id %d %s", p.Kind, p.PacketID, p.Reason)
	}
	return fmt.Sprintf("%s %+v", p.Type(), p)
}

// Speak sets the version in which answers are read before Connect has.
func (c *Client) Speak(v packet.Version) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Version, c.v = v, v
}

// Poll is the next packet that is there already; false when there is none, or
// when the connection has ended.
func (c *Client) Poll() (packet.Packet, bool) {
	select {
	case p, ok := <-c.received:
		return p, ok
	default:
		return nil, false
	}
}
