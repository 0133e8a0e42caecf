package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/weir-edge/weir/core/packet"
)

// source is a publisher that an auditor would write: it numbers its messages,
// remembers which of them were acknowledged, and after a lost connection sends
// again, in order and under the old packet ids, what was not.
//
// The demo and the end-to-end tests hold its list of acknowledged numbers
// against what arrives at the far end.
type source struct {
	// static after construction
	opts   clientOptions
	topics []string // message n goes to topics[n % len]
	qos    byte
	pad    int           // bytes of padding in each payload
	every  time.Duration // between two messages; 0: as fast as the window lets
	limit  int           // number of messages; 0: until the context ends
	window int           // open messages, at most

	mu    sync.Mutex // guards what follows
	next  int        // the next number
	open  []openMessage
	acked map[int]bool
	wake  chan struct{} // 1-slot: room in the window
}

// openMessage was sent and not yet acknowledged for good.
type openMessage struct {
	n        int
	packetID uint16
	released bool // QoS 2: PUBREC has come
}

// numbered is the payload.
type numbered struct {
	N    int    `json:"n"`
	Sent string `json:"sent"`
	Pad  string `json:"pad,omitempty"`
}

func newSource(port int, id string, qos byte, topics ...string) *source {
	return &source{
		opts:   clientOptions{host: "127.0.0.1", port: port, id: id, version: "5", persist: true, expiry: 3600, keepalive: 10},
		topics: topics,
		qos:    qos,
		pad:    80,
		window: 20,
		acked:  make(map[int]bool),
		wake:   make(chan struct{}, 1),
	}
}

// run publishes until ctx ends, or until the last of limit messages is
// acknowledged. It outlives every loss of its connection.
func (s *source) run(ctx context.Context) error {
	for ctx.Err() == nil {
		err := s.session(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond): // the gateway may be starting again
		}
	}
	return nil
}

// session is one connection: nil when the work is done.
func (s *source) session(ctx context.Context) error {
	c, err := dial(ctx, s.opts)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	defer stop()
	if err := s.resume(c); err != nil {
		return err
	}
	alive, end := context.WithCancel(ctx)
	defer end()
	go c.keepAlive(alive, time.Duration(s.opts.keepalive)*time.Second/2)
	done := make(chan error, 1)
	go func() { done <- s.acknowledgements(c) }()
	sent := s.publish(ctx, c, done)
	c.conn.Close()
	return sent
}

// resume sends again what is open, in its order.
func (s *source) resume(c *client) error {
	s.mu.Lock()
	open := append([]openMessage(nil), s.open...)
	s.mu.Unlock()
	for _, m := range open {
		if m.packetID > c.nextID {
			c.nextID = m.packetID
		}
		var err error
		if m.released {
			err = c.send(&packet.Ack{Kind: packet.PUBREL, PacketID: m.packetID})
		} else {
			err = c.send(s.message(m, true))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *source) message(m openMessage, dup bool) *packet.Publish {
	payload, _ := json.Marshal(numbered{N: m.n, Sent: time.Now().UTC().Format(time.RFC3339Nano), Pad: padding[:min(s.pad, len(padding))]}) // cannot fail
	return &packet.Publish{
		Dup: dup, QoS: s.qos, PacketID: m.packetID,
		Topic:   []byte(s.topics[m.n%len(s.topics)]),
		Payload: payload,
	}
}

const padding = "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz"

// publish sends new messages until the work is done (nil) or the connection ends.
func (s *source) publish(ctx context.Context, c *client, ended <-chan error) error {
	next := time.Now()
	for {
		m, room, finished := s.take(c)
		if finished {
			return nil
		}
		if room {
			if err := c.send(s.message(m, false)); err != nil {
				return err
			}
			next = next.Add(s.every)
		}
		if err := s.pause(ctx, ended, room, time.Until(next)); err != nil {
			return err
		}
	}
}

// take claims the next number, if there is room in the window.
func (s *source) take(c *client) (m openMessage, room, finished bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.limit > 0 && s.next >= s.limit {
		return m, false, len(s.open) == 0
	}
	if len(s.open) >= min(s.window, c.receiveMaximum) {
		return m, false, false
	}
	m = openMessage{n: s.next, packetID: s.freeID(c)}
	s.next++
	s.open = append(s.open, m)
	return m, true, false
}

// freeID is a packet id that no open message has.
func (s *source) freeID(c *client) uint16 {
	for {
		id := c.packetID()
		used := false
		for _, m := range s.open {
			used = used || m.packetID == id
		}
		if !used {
			return id
		}
	}
}

// pause waits for the next message's time, or for room in the window.
func (s *source) pause(ctx context.Context, ended <-chan error, sent bool, d time.Duration) error {
	if sent && d <= 0 {
		select {
		case err := <-ended:
			return err
		default:
			return ctx.Err()
		}
	}
	if !sent {
		d = time.Second // wake comes sooner
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	wake := s.wake
	if sent {
		wake = nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-ended:
		return err
	case <-wake:
	case <-timer.C:
	}
	return nil
}

// acknowledgements reads until the connection ends.
func (s *source) acknowledgements(c *client) error {
	for {
		p, err := c.receive(0)
		if err != nil {
			return err
		}
		ack, ok := p.(*packet.Ack)
		if !ok {
			if p.Type() == packet.DISCONNECT {
				return net.ErrClosed
			}
			continue
		}
		if err := s.acknowledged(c, ack); err != nil {
			return err
		}
	}
}

func (s *source) acknowledged(c *client, ack *packet.Ack) error {
	if ack.Reason.IsError() && ack.Reason != packet.PacketIdentifierNotFound {
		return fmt.Errorf("refused: %s", ack.Reason) // sent again on the next connection
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.open {
		if s.open[i].packetID != ack.PacketID {
			continue
		}
		if ack.Kind == packet.PUBREC {
			s.open[i].released = true
			// From here on the broker is bound, whatever happens to PUBREL.
			s.acked[s.open[i].n] = true
			return c.send(&packet.Ack{Kind: packet.PUBREL, PacketID: ack.PacketID})
		}
		s.acked[s.open[i].n] = true
		s.open = append(s.open[:i], s.open[i+1:]...)
		select {
		case s.wake <- struct{}{}:
		default:
		}
		return nil
	}
	return nil
}

// counts says how many messages were sent and how many of them acknowledged.
func (s *source) counts() (sent, acked int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next, len(s.acked)
}

// tally counts what arrives from one source, by its numbers.
type tally struct {
	mu       sync.Mutex
	times    map[int]int    // arrivals by number
	last     map[string]int // highest number by topic
	reversed int            // first arrivals behind a higher number of the same topic
}

func newTally() *tally { return &tally{times: make(map[int]int), last: make(map[string]int)} }

// add counts one arrival.
func (t *tally) add(topic string, payload []byte) error {
	var n numbered
	if err := json.Unmarshal(payload, &n); err != nil {
		return fmt.Errorf("payload on %s: %w", topic, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.times[n.N]++
	if t.times[n.N] > 1 {
		return nil // a repetition says nothing about the order
	}
	if last, ok := t.last[topic]; ok && n.N < last {
		t.reversed++
		return nil
	}
	t.last[topic] = n.N
	return nil
}

// verdict is what became of a source's acknowledged messages.
type verdict struct {
	Acknowledged int
	Arrived      int // different numbers
	Lost         int // acknowledged and not arrived
	Duplicates   int // arrivals beyond the first
	Reversed     int // out of order within their topic
	missing      []int
}

var errLost = errors.New("acknowledged messages are missing")

// judge compares what s was promised with what t saw.
func judge(s *source, t *tally) verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	v := verdict{Acknowledged: len(s.acked), Arrived: len(t.times), Reversed: t.reversed}
	for n := range s.acked {
		if t.times[n] == 0 {
			v.Lost++
			v.missing = append(v.missing, n)
		}
	}
	for _, k := range t.times {
		v.Duplicates += k - 1
	}
	return v
}
