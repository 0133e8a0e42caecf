package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/core/packet"
)

// subOptions are the flags of `weir sub`.
type subOptions struct {
	clientOptions
	topics      []string
	qos         int
	count       int
	wait        int
	verbose     bool
	noNewline   bool
	skipRetain  bool
	keepSession bool
}

func newSubCommand() *cobra.Command {
	var o subOptions
	c := &cobra.Command{
		Use:   "sub -t FILTER [-t FILTER …]",
		Short: "Subscribe to topics of any MQTT broker and print what comes",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.persist = o.keepSession
			return runSub(c.Context(), o, c.OutOrStdout())
		},
	}
	f := c.Flags()
	o.clientOptions.flags(f)
	f.StringArrayVarP(&o.topics, "topic", "t", nil, "topic filter; may be given several times")
	f.IntVarP(&o.qos, "qos", "q", 0, "maximum quality of service: 0, 1 or 2")
	f.IntVarP(&o.count, "count", "C", 0, "end after this many messages")
	f.IntVarP(&o.wait, "timeout", "W", 0, "end after this many seconds (exit code 27 if -C is not reached)")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "print the topic before each payload")
	f.BoolVarP(&o.noNewline, "no-newline", "N", false, "don't end each payload with a new line")
	f.BoolVarP(&o.skipRetain, "no-retained", "R", false, "don't print retained messages")
	f.BoolVarP(&o.keepSession, "disable-clean-session", "c", false, "keep the session: what comes meanwhile is queued (needs -i)")
	f.Int64VarP(&o.expiry, "session-expiry-interval", "x", 4294967295, "with -c: how many seconds the session is kept")
	_ = c.MarkFlagRequired("topic") // fails only for a flag that does not exist
	return c
}

func runSub(ctx context.Context, o subOptions, out io.Writer) error {
	switch {
	case o.qos < 0 || o.qos > 2:
		return usageError{fmt.Errorf("unknown QoS %d: use 0, 1 or 2", o.qos)}
	case o.keepSession && o.id == "":
		return usageError{errors.New("a session is kept for a client id: add -i ID to -c")}
	}
	c, err := dial(ctx, o.clientOptions)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { c.close() })
	defer stop()
	s := &subscriber{client: c, opts: o, out: bufio.NewWriter(out)}
	err = s.run(ctx)
	if ctx.Err() != nil {
		return nil // the user pressed Ctrl-C: a normal end
	}
	return errors.Join(err, c.close())
}

// subscriber prints messages and acknowledges them once they are printed.
type subscriber struct {
	client *client
	opts   subOptions
	out    *bufio.Writer
	seen   int
	until  time.Time // zero: no end
}

func (s *subscriber) run(ctx context.Context) error {
	if s.opts.wait > 0 {
		s.until = time.Now().Add(time.Duration(s.opts.wait) * time.Second)
	}
	if err := s.subscribe(); err != nil {
		return err
	}
	alive, end := context.WithCancel(ctx)
	defer end()
	go s.client.keepAlive(alive, time.Duration(s.opts.keepalive)*time.Second*3/4)
	for s.opts.count == 0 || s.seen < s.opts.count {
		p, err := s.next()
		if err != nil {
			return err
		}
		if err := s.handle(p); err != nil {
			return err
		}
	}
	return nil
}

func (s *subscriber) subscribe() error {
	req := &packet.Subscribe{PacketID: s.client.packetID()}
	for _, t := range s.opts.topics {
		req.Filters = append(req.Filters, packet.Filter{Filter: []byte(t), Options: packet.Options(s.opts.qos)})
	}
	return s.client.send(req)
}

// next reads a packet, until the time of -W is over.
func (s *subscriber) next() (packet.Packet, error) {
	var timeout time.Duration
	if !s.until.IsZero() {
		timeout = max(time.Until(s.until), time.Nanosecond)
	}
	p, err := s.client.receive(timeout)
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		return nil, timeoutError{fmt.Errorf("%d messages within %d s", s.seen, s.opts.wait)}
	}
	if errors.Is(err, io.EOF) {
		return nil, unavailableError{errors.New("the broker closed the connection")}
	}
	return p, err
}

func (s *subscriber) handle(p packet.Packet) error {
	switch p := p.(type) {
	case *packet.Suback:
		for i, r := range p.Reasons {
			if r.IsError() {
				return fmt.Errorf("the broker refused the subscription to %s: %s", s.opts.topics[i], r)
			}
		}
	case *packet.Publish:
		return s.message(p)
	case *packet.Ack:
		if p.Kind == packet.PUBREL {
			return s.client.send(&packet.Ack{Kind: packet.PUBCOMP, PacketID: p.PacketID})
		}
	case *packet.Disconnect:
		return unavailableError{fmt.Errorf("the broker ended the connection: %s", p.Reason)}
	}
	return nil
}

// message prints p and then acknowledges it: what was not printed comes again.
func (s *subscriber) message(p *packet.Publish) error {
	if !p.Retain || !s.opts.skipRetain {
		if err := s.print(p); err != nil {
			return err
		}
	}
	switch p.QoS {
	case 1:
		return s.client.send(&packet.Ack{Kind: packet.PUBACK, PacketID: p.PacketID})
	case 2:
		return s.client.send(&packet.Ack{Kind: packet.PUBREC, PacketID: p.PacketID})
	}
	return nil
}

func (s *subscriber) print(p *packet.Publish) error {
	s.seen++
	if s.opts.verbose {
		fmt.Fprintf(s.out, "%s ", p.Topic)
	}
	s.out.Write(p.Payload)
	if !s.opts.noNewline {
		s.out.WriteByte('\n')
	}
	err := s.out.Flush() // reports the errors of the writes before it
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
