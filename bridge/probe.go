package bridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
)

// Limits are what Probe has found out about an upstream, as far as a bridge's
// configuration depends on it.
type Limits struct {
	Protocol string        // "5" or "3.1.1"
	QoS      core.QoS      // the highest that works
	Retain   bool          // retained messages are taken
	Keep     time.Duration // the keep-alive that it asks for; 0: any
	Preset   string        // the service that behaves so
}

// Finding is one thing that was found out.
type Finding struct {
	Name   string
	Detail string
	Good   bool // it works, or is as the standard has it
}

// answerTime is how long an answer may take before there is none.
const answerTime = 5 * time.Second

// probeSizes are tried in turn where the upstream names no largest packet.
var probeSizes = []int{64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20}

// Probe finds out what an unknown upstream takes: what its CONNACK says, and then,
// each on a connection of its own because many answer by closing it, what it does.
// It publishes below topic, and its sessions do not last.
func Probe(ctx context.Context, cfg Config, topic string, report func(Finding)) (Limits, error) {
	t, err := newTrial(cfg, cfg.URLs[0], func(Step) {})
	if err != nil {
		return Limits{}, err
	}
	p := &probe{trial: *t, ctx: ctx, topic: topic, report: report}
	return p.run()
}

type probe struct {
	trial
	ctx    context.Context
	topic  string
	report func(Finding)
	said   greeting // on the first connection
	limits Limits
}

func (p *probe) run() (Limits, error) {
	g, err := p.connect(p.ctx, true)
	if err != nil {
		return Limits{}, errors.New(explain(err, p.b.cfg.Clock.Now()))
	}
	p.v, p.said = g.version, *g
	p.conn.Close()
	p.limits = Limits{Protocol: protocol5, QoS: core.AtMostOnce, Preset: PresetGeneric}
	if p.v < packet.V5 {
		p.limits.Protocol = protocol311
	}
	p.connack()
	p.subscriptions()
	p.acknowledgements()
	p.retained()
	p.topics()
	p.sizes()
	return p.limits, p.ctx.Err()
}

// connack tells what the upstream says itself.
func (p *probe) connack() {
	p.report(Finding{"protocol", "MQTT " + p.said.protocol(), true})
	if p.v < packet.V5 {
		return // it cannot say any of this
	}
	said := p.said.said
	p.report(Finding{"receive maximum", fmt.Sprint(p.said.receiveMaximum), true})
	p.report(Finding{"maximum QoS", fmt.Sprint(p.said.maxQoS), p.said.maxQoS == 2})
	p.report(Finding{"retain", yesNo(p.said.retain), p.said.retain})
	p.report(Finding{"maximum packet", choose(said.MaximumPacketSize != nil, fmt.Sprintf("%d bytes", p.said.maxPacket), "not named"), true})
	p.report(Finding{"topic alias maximum", fmt.Sprint(p.said.aliases), p.said.aliases > 0})
	if k := or(said.ServerKeepalive, 0); k > 0 {
		p.limits.Keep = time.Duration(k) * time.Second
		p.report(Finding{"keep-alive", p.limits.Keep.String() + ", whatever is asked for", true})
	}
	if e := said.SessionExpiry; e != nil {
		p.report(Finding{"session expiry", fmt.Sprintf("%d s when 0 was asked for", *e), *e == 0})
	}
}

// subscriptions tries filters.
func (p *probe) subscriptions() {
	for _, f := range []struct{ name, filter string }{
		{"wildcard +", p.topic + "/+"},
		{"wildcard #", p.topic + "/#"},
	} {
		p.try(f.name, func() (string, error) {
			_, err := p.subscribe(f.filter)
			return "", err
		})
	}
	p.try("shared", p.shared)
	if p.v == packet.V5 {
		p.try("session kept", p.sessionKept)
	}
}

// shared looks whether a shared subscription delivers; old brokers take its filter for
// a topic.
func (p *probe) shared() (string, error) {
	if _, err := p.subscribe("$share/weir-probe/" + p.topic); err != nil {
		return "", err
	}
	if err := p.send(&packet.Publish{Topic: []byte(p.topic), Payload: []byte("weir")}); err != nil {
		return "", err
	}
	return "", p.until(func(in packet.Packet) (bool, error) {
		_, ok := in.(*packet.Publish)
		return ok, nil
	})
}

// sessionKept asks for a session that outlives its connection by a minute, and comes
// back for it.
func (p *probe) sessionKept() (string, error) {
	p.end()
	p.b.cfg.SessionExpiry = time.Minute
	defer func() { p.b.cfg.SessionExpiry = 0 }()
	if _, err := p.connectOnce(true); err != nil {
		return "", err
	}
	p.end()
	p.b.cfg.SessionExpiry = 0 // and it is gone with this connection
	g, err := p.connectOnce(false)
	if err == nil && !g.sessionPresent {
		err = errors.New("the session is gone on the next connection: QoS 2 is not exact there, and commands do not wait")
	}
	return "", err
}

// end disconnects, and waits until the upstream has seen it.
func (p *probe) end() {
	if err := p.send(&packet.Disconnect{}); err == nil {
		_, _ = io.Copy(io.Discard, p.conn) // up to its end, or the deadline
	}
	p.conn.Close()
}

// acknowledgements tries the QoS levels.
func (p *probe) acknowledgements() {
	for q := core.AtLeastOnce; q <= core.ExactlyOnce; q++ {
		name := fmt.Sprintf("QoS %d", q)
		if q > core.QoS(p.said.maxQoS) {
			p.report(Finding{name, "not tried: the CONNACK says no", false})
			continue
		}
		if p.try(name, func() (string, error) { return "", p.deliver(p.topic, []byte("weir"), q, false) }) {
			p.limits.QoS = q
		}
	}
}

// retained sets and deletes a retained message.
func (p *probe) retained() {
	if !p.said.retain {
		p.report(Finding{"retained", "not tried: the CONNACK says no", false})
		return
	}
	topic := p.topic + "/retained"
	p.limits.Retain = p.try("retained", func() (string, error) {
		if err := p.deliver(topic, []byte("weir"), p.qos(), true); err != nil {
			return "", err
		}
		defer p.deliver(topic, nil, p.qos(), true) // as far as possible
		if err := p.send(&packet.Subscribe{PacketID: 9, Filters: []packet.Filter{{Filter: []byte(topic), Options: 1}}}); err != nil {
			return "", err
		}
		return "", p.until(func(in packet.Packet) (bool, error) {
			m, ok := in.(*packet.Publish)
			return ok && m.Retain && string(m.Topic) == topic, nil
		})
	})
}

// topics tries characters that some brokers keep for themselves.
func (p *probe) topics() {
	dotted := p.topic + "/a.b"
	back := p.arrives("topic with .", dotted)
	spaced := p.arrives("topic with space", p.topic+"/a b")
	p.arrives("topic of 9 levels", p.topic+strings.Repeat("/x", max(0, 8-strings.Count(p.topic, "/"))))
	switch {
	case back == strings.ReplaceAll(dotted, ".", "/") && p.limits.QoS < core.ExactlyOnce:
		p.limits.Preset = "rabbitmq"
	case p.v < packet.V5 && back == dotted && spaced == "":
		p.limits.Preset = "nats"
	}
}

// arrives publishes to a topic and is the one under which that comes back; "" if it
// does not.
func (p *probe) arrives(name, topic string) (back string) {
	p.try(name, func() (string, error) {
		if _, err := p.subscribe(topic); err != nil {
			return "", err
		}
		q := p.qos()
		if err := p.send(&packet.Publish{Topic: []byte(topic), Payload: []byte("weir"), QoS: byte(q), PacketID: 2 * uint16(min(q, 1))}); err != nil {
			return "", err
		}
		return "", p.until(func(in packet.Packet) (bool, error) {
			m, ok := in.(*packet.Publish)
			if !ok {
				return false, nil
			}
			if back = string(m.Topic); back != topic {
				return false, fmt.Errorf("it comes back as %s", back)
			}
			return true, nil
		})
	})
	return back
}

// sizes looks for the largest packet, where the CONNACK names none.
func (p *probe) sizes() {
	if p.said.maxPacket > 0 || p.limits.QoS == core.AtMostOnce {
		return
	}
	for _, n := range probeSizes {
		ok := p.try(fmt.Sprintf("%d KiB", n>>10), func() (string, error) {
			return "", p.deliver(p.topic, bytes.Repeat([]byte("x"), n), core.AtLeastOnce, false)
		})
		if !ok {
			return
		}
	}
}

// qos is one that is acknowledged, if there is one.
func (p *probe) qos() core.QoS { return min(p.limits.QoS, core.AtLeastOnce) }

// try runs f on a connection of its own and reports what came of it.
func (p *probe) try(name string, f func() (string, error)) bool {
	_, err := p.connectOnce(true)
	detail := ""
	if err == nil {
		detail, err = f()
		p.conn.Close()
	}
	if p.ctx.Err() != nil {
		return false
	}
	if err != nil {
		detail = inShort(err)
	}
	p.report(Finding{name, choose(detail == "", "works", detail), err == nil})
	return err == nil
}

func (p *probe) connectOnce(clean bool) (*greeting, error) {
	conn, err := p.b.open(p.ctx, p.s)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(answerTime))
	g, err := p.b.exchange(conn, p.s, p.v, clean)
	if err != nil {
		conn.Close()
		return nil, err
	}
	p.conn, p.rest = conn, g.rest
	return g, nil
}

// deliver publishes and goes through all steps of the QoS.
func (p *probe) deliver(topic string, payload []byte, q core.QoS, retain bool) error {
	const pid = 3
	m := packet.Publish{Topic: []byte(topic), Payload: payload, QoS: byte(q), Retain: retain}
	if q > core.AtMostOnce {
		m.PacketID = pid
	}
	if err := p.send(&m); err != nil || q == core.AtMostOnce {
		return err
	}
	return p.until(func(in packet.Packet) (bool, error) {
		a, ok := in.(*packet.Ack)
		switch {
		case !ok || a.PacketID != pid:
			return false, nil
		case a.Reason.IsError():
			return false, fmt.Errorf("refused: %s", a.Reason)
		case a.Kind == packet.PUBREC && q == core.ExactlyOnce:
			return false, p.send(&packet.Ack{Kind: packet.PUBREL, PacketID: pid})
		case a.Kind == packet.PUBCOMP || a.Kind == packet.PUBACK && q == core.AtLeastOnce:
			return true, nil
		}
		return false, fmt.Errorf("answered with %s", a.Kind)
	})
}

// until reads packets until done says so.
func (p *probe) until(done func(packet.Packet) (bool, error)) error {
	for {
		in, err := p.next()
		if err != nil {
			return err
		}
		if d, ok := in.(*packet.Disconnect); ok {
			return fmt.Errorf("ends the connection: %s", d.Reason)
		}
		if ok, err := done(in); ok || err != nil {
			return err
		}
	}
}

// inShort is what an upstream does instead of the right thing.
func inShort(err error) string {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, errNoConnack):
		return "closes the connection"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "gives no answer"
	}
	return err.Error()
}

func yesNo(b bool) string { return choose(b, "yes", "no") }

func choose(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}
