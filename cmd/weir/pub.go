package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/core/packet"
)

// pubOptions are the flags of `weir pub`.
type pubOptions struct {
	clientOptions
	topic   string
	message string
	file    string
	lines   bool
	stdin   bool
	null    bool
	qos     int
	retain  bool
}

// pubWindow is how many messages of `weir pub -l` wait for their acknowledgement.
const pubWindow = 20

// pubTimeout is how long an acknowledgement may take: a broker that keeps
// messages on disk answers after the sync.
const pubTimeout = 30 * time.Second

func newPubCommand() *cobra.Command {
	var o pubOptions
	c := &cobra.Command{
		Use:   "pub -t TOPIC (-m MESSAGE | -f FILE | -l | -s | -n)",
		Short: "Publish messages to any MQTT broker",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return runPub(c.Context(), o, c.InOrStdin()) },
	}
	f := c.Flags()
	o.clientOptions.flags(f)
	f.StringVarP(&o.topic, "topic", "t", "", "topic to publish to")
	f.StringVarP(&o.message, "message", "m", "", "the payload")
	f.StringVarP(&o.file, "file", "f", "", "take the payload from a file")
	f.BoolVarP(&o.lines, "stdin-line", "l", false, "publish each line of the standard input")
	f.BoolVarP(&o.stdin, "stdin-file", "s", false, "publish the whole standard input as one message")
	f.BoolVarP(&o.null, "null-message", "n", false, "publish an empty payload")
	f.IntVarP(&o.qos, "qos", "q", 0, "quality of service: 0, 1 or 2")
	f.BoolVarP(&o.retain, "retain", "r", false, "let the broker retain the message")
	c.MarkFlagsMutuallyExclusive("message", "file", "stdin-line", "stdin-file", "null-message")
	c.MarkFlagsOneRequired("message", "file", "stdin-line", "stdin-file", "null-message")
	_ = c.MarkFlagRequired("topic") // fails only for a flag that does not exist
	return c
}

func runPub(ctx context.Context, o pubOptions, stdin io.Reader) error {
	if o.qos < 0 || o.qos > 2 {
		return usageError{fmt.Errorf("unknown QoS %d: use 0, 1 or 2", o.qos)}
	}
	c, err := dial(ctx, o.clientOptions)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	defer stop()
	p := &publisher{client: c, qos: byte(o.qos), retain: o.retain, topic: []byte(o.topic)}
	if err := p.publishAll(o, stdin); err != nil {
		c.conn.Close()
		return errors.Join(context.Cause(ctx), err)
	}
	return c.close()
}

// publisher sends messages and waits for what the broker owes for them.
type publisher struct {
	client *client
	topic  []byte
	qos    byte
	retain bool
	open   int // messages without their last acknowledgement
}

func (p *publisher) publishAll(o pubOptions, stdin io.Reader) error {
	if !o.lines {
		payload, err := o.payload(stdin)
		if err != nil {
			return err
		}
		if err := p.publish(payload); err != nil {
			return err
		}
		return p.await(0)
	}
	lines := bufio.NewScanner(stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if err := p.publish(lines.Bytes()); err != nil {
			return err
		}
		if err := p.await(pubWindow - 1); err != nil {
			return err
		}
	}
	return errors.Join(lines.Err(), p.await(0))
}

func (o pubOptions) payload(stdin io.Reader) ([]byte, error) {
	switch {
	case o.null:
		return nil, nil
	case o.file != "":
		return os.ReadFile(o.file)
	case o.stdin:
		return io.ReadAll(stdin)
	}
	return []byte(o.message), nil
}

func (p *publisher) publish(payload []byte) error {
	m := &packet.Publish{QoS: p.qos, Retain: p.retain, Topic: p.topic, Payload: payload}
	if p.qos > 0 {
		m.PacketID = p.client.packetID()
		p.open++
	}
	return p.client.send(m)
}

// await reads acknowledgements until at most open messages wait for theirs.
func (p *publisher) await(open int) error {
	for p.open > open {
		in, err := p.client.receive(pubTimeout)
		if err != nil {
			return fmt.Errorf("wait for the acknowledgement of %d messages: %w", p.open, err)
		}
		if err := p.acknowledged(in); err != nil {
			return err
		}
	}
	return nil
}

func (p *publisher) acknowledged(in packet.Packet) error {
	switch in := in.(type) {
	case *packet.Ack:
		if in.Reason.IsError() {
			return fmt.Errorf("the broker refused the message: %s", in.Reason)
		}
		if in.Kind == packet.PUBREC {
			return p.client.send(&packet.Ack{Kind: packet.PUBREL, PacketID: in.PacketID})
		}
		p.open--
	case *packet.Disconnect:
		return fmt.Errorf("the broker ended the connection: %s", in.Reason)
	}
	return nil
}
