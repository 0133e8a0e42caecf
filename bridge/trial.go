package bridge

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
)

// Step is one part of a trial: what was tried, how long it took, what came of it.
type Step struct {
	Name   string
	Took   time.Duration
	Detail string
	Err    error // nil: it went well
}

// Trial goes through all that a connection needs, one step after the other, and
// ends at the first that fails: name, TCP or the proxy, TLS, WebSocket, CONNACK,
// publication, its echo. It uses a client id of its own and a session that does not
// last, so a gateway at work is not disturbed; but Azure IoT Hub knows only the one, and
// gives nothing back. topic is where it publishes. The default of both is "".
func Trial(ctx context.Context, cfg Config, url, clientID, topic string, report func(Step)) error {
	azure := presets[cfg.Preset].azure
	topic = cmp.Or(topic, choose(azure, "devices/"+cfg.ClientID+"/messages/events/", "weir/test/"+cfg.ClientID))
	cfg.ClientID = cmp.Or(clientID, choose(azure, cfg.ClientID, cfg.ClientID+"-test"))
	t, err := newTrial(cfg, url, report)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*t.b.cfg.ConnectTimeout)
	defer cancel()
	return t.run(ctx, topic)
}

// newTrial is of a session that does not last, at one server.
func newTrial(cfg Config, url string, report func(Step)) (*trial, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	cfg.SessionExpiry, cfg.StateTopic = 0, "" // the state is that of the gateway at work
	s, err := parseServer(url)
	if err != nil {
		return nil, err
	}
	if err := cfg.setDial(); err != nil {
		return nil, err
	}
	return &trial{b: &Bridge{cfg: cfg, preset: presets[cfg.Preset], log: slog.New(slog.DiscardHandler)}, s: s, report: report}, nil
}

type trial struct {
	b      *Bridge
	s      *server
	report func(Step)
	conn   net.Conn
	rest   []byte // read and not looked at
	v      packet.Version
}

// step runs one part.
func (t *trial) step(name string, f func() (string, error)) error {
	start := time.Now()
	detail, err := f()
	if err != nil {
		err = errors.New(explain(err, t.b.cfg.Clock.Now()))
	}
	t.report(Step{Name: name, Took: time.Since(start), Detail: detail, Err: err})
	return err
}

func (t *trial) run(ctx context.Context, topic string) error {
	if net.ParseIP(t.s.host) == nil && t.b.cfg.Proxy.URL == "" {
		if err := t.step("DNS", func() (string, error) { return t.resolve(ctx) }); err != nil {
			return err
		}
	}
	g, err := t.connect(ctx, true)
	if err != nil {
		return err
	}
	defer t.conn.Close()
	stop := context.AfterFunc(ctx, func() { t.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	t.rest, t.v = g.rest, g.version
	echo := !t.b.preset.azure
	if echo {
		if err := t.step("subscribe", func() (string, error) { return t.subscribe(topic) }); err != nil {
			return err
		}
	}
	return t.publish(topic, min(core.AtLeastOnce, g.maxQoS), echo)
}

func (t *trial) resolve(ctx context.Context) (string, error) {
	ips, err := net.DefaultResolver.LookupHost(ctx, t.s.host)
	return fmt.Sprint(ips), err
}

// connect opens and greets, with MQTT 3.1.1 where 5 is refused.
func (t *trial) connect(ctx context.Context, clean bool) (g *greeting, err error) {
	versions := []packet.Version{packet.V5, packet.V311}
	switch t.b.cfg.Protocol {
	case protocol5:
		versions = versions[:1]
	case protocol311:
		versions = versions[1:]
	}
	for i, v := range versions {
		var cause error
		if err := t.open(ctx); err != nil {
			return nil, err
		}
		err = t.step("CONNACK", func() (detail string, err error) {
			deadline, _ := ctx.Deadline()
			t.conn.SetDeadline(deadline)
			defer context.AfterFunc(ctx, func() { t.conn.SetDeadline(time.Unix(1, 0)) })()
			g, err = t.b.exchange(t.conn, t.s, v, clean)
			if cause = err; err != nil {
				return "MQTT " + (&greeting{version: v}).protocol(), err
			}
			return g.describe(), nil
		})
		if err == nil {
			return g, nil
		}
		t.conn.Close()
		if i+1 == len(versions) || !mayBeOld(cause) {
			break
		}
		t.report(Step{Name: "again", Detail: "with MQTT 3.1.1"})
	}
	return nil, err
}

// describe is what the upstream takes.
func (g *greeting) describe() string {
	largest := "any size"
	if g.maxPacket > 0 {
		largest = fmt.Sprintf("up to %d bytes", g.maxPacket)
	}
	retain := "retained too"
	if !g.retain {
		retain = "not retained"
	}
	return fmt.Sprintf("MQTT %s, QoS up to %d, %d in flight, packets of %s, %s, %d topic aliases, keep-alive %v",
		g.protocol(), g.maxQoS, g.receiveMaximum, largest, retain, g.aliases, g.keepalive)
}

// open goes the way to the server, in the time that a bridge gives it.
func (t *trial) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, t.b.cfg.ConnectTimeout)
	defer cancel()
	t.conn = nil
	for _, part := range t.b.way(t.s) {
		err := t.step(part.name, func() (detail string, err error) {
			t.conn, detail, err = part.from(ctx, t.s, t.conn)
			return detail, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *trial) send(p packet.Packet) error {
	_, err := t.conn.Write(p.AppendTo(nil, t.v))
	return err
}

// next is the next packet.
func (t *trial) next() (packet.Packet, error) {
	h, body, rest, err := readPacket(io.MultiReader(bytes.NewReader(t.rest), t.conn), t.b.cfg.MaxPacket)
	if err != nil {
		return nil, err
	}
	t.rest = bytes.Clone(rest)
	return packet.Parse(h, body, t.v)
}

func (t *trial) subscribe(topic string) (string, error) {
	p := packet.Subscribe{PacketID: 1, Filters: []packet.Filter{{Filter: []byte(topic), Options: 1}}}
	if err := t.send(&p); err != nil {
		return "", err
	}
	for {
		switch p, err := t.next(); p := p.(type) {
		case nil:
			return "", err
		case *packet.Suback:
			if p.Reasons[0].IsError() {
				return "", fmt.Errorf("the upstream refused the subscription: %s", p.Reasons[0])
			}
			return topic, nil
		}
	}
}

// publish sends a message and waits for its acknowledgement and, if there is to be one,
// its echo, in whatever order they come.
func (t *trial) publish(topic string, qos core.QoS, echo bool) error {
	start := time.Now()
	payload := []byte("weir bridge test " + start.UTC().Format(time.RFC3339Nano))
	acked, echoed := qos == core.AtMostOnce, !echo
	err := t.send(&packet.Publish{Topic: []byte(topic), Payload: payload, QoS: qos, PacketID: 2 * uint16(qos)})
	for err == nil && !(acked && echoed) {
		var p packet.Packet
		p, err = t.next()
		switch p := p.(type) {
		case *packet.Ack:
			if p.Reason.IsError() {
				err = fmt.Errorf("the upstream refused the message: %s", p.Reason)
				break
			}
			acked = true
			t.report(Step{Name: "PUBACK", Took: time.Since(start), Detail: topic})
		case *packet.Publish:
			if bytes.Equal(p.Payload, payload) {
				echoed = true
				t.report(Step{Name: "echo", Took: time.Since(start), Detail: fmt.Sprintf("%d bytes came back", len(payload))})
			}
		}
	}
	if err == nil {
		return t.send(&packet.Disconnect{})
	}
	name := "PUBACK"
	if acked {
		name = "echo"
	}
	return t.step(name, func() (string, error) { return topic, err })
}
