package bridge

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/session"
)

// greeting is what the upstream said in its CONNACK, and what came behind it.
type greeting struct {
	conn    net.Conn
	server  *server
	version packet.Version
	rest    []byte // bytes that came with the CONNACK

	sessionPresent bool
	receiveMaximum int
	maxQoS         byte
	retain         bool
	maxPacket      int // 0: any
	aliases        int // topic aliases that it takes
	keepalive      time.Duration
	said           *packet.Properties // all of it
}

func (g *greeting) protocol() string {
	if g.version == packet.V5 {
		return "5.0"
	}
	return "3.1.1"
}

// connect tries the servers in their order.
func (b *Bridge) connect(ctx context.Context) (*greeting, error) {
	var last error
	for _, s := range b.order() {
		b.status.dialing(s.url)
		g, err := b.greetAny(ctx, s)
		if err == nil {
			return g, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		b.log.Debug("server failed", "url", s.url, "error", err)
		last = err
	}
	return nil, last
}

// greetAny speaks the versions that may be spoken. Some old servers close the
// connection at a CONNECT of MQTT 5 instead of refusing it; as others do so when
// they are unwell, that is not remembered.
func (b *Bridge) greetAny(ctx context.Context, s *server) (*greeting, error) {
	switch {
	case b.cfg.Protocol == protocol5:
		return b.greetHome(ctx, s, packet.V5)
	case b.cfg.Protocol == protocol311 || s.old:
		return b.greetHome(ctx, s, packet.V311)
	}
	g, err := b.greetHome(ctx, s, packet.V5)
	var r *refusal
	switch {
	case errors.As(err, &r) && r.reason == packet.UnsupportedProtocolVersion:
		s.old = true
	case errors.Is(err, errNoConnack):
	default:
		return g, err
	}
	return b.greetHome(ctx, s, packet.V311)
}

// mayBeOld says whether a CONNECT of MQTT 5 may have failed for its version.
func mayBeOld(err error) bool {
	var r *refusal
	return errors.Is(err, errNoConnack) || errors.As(err, &r) && r.reason == packet.UnsupportedProtocolVersion
}

// greetHome starts clean on a server that is not the one that our session's
// packet ids belong to. Before MQTT 5 a clean session is one that does not last,
// so it is opened, closed, and followed by one that does.
func (b *Bridge) greetHome(ctx context.Context, s *server, v packet.Version) (*greeting, error) {
	clean := b.home != nil && b.home != s
	g, err := b.greet(ctx, s, v, clean)
	if err != nil || v == packet.V5 || !clean {
		return g, err
	}
	g.conn.Write((&packet.Disconnect{}).AppendTo(nil, v)) // if it fails, so does the next connection
	g.conn.Close()
	return b.greet(ctx, s, v, false)
}

// greet dials, and exchanges CONNECT and CONNACK.
func (b *Bridge) greet(ctx context.Context, s *server, v packet.Version, clean bool) (*greeting, error) {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.ConnectTimeout)
	defer cancel()
	conn, err := b.open(ctx, s)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	g, err := b.exchange(conn, s, v, clean)
	if !stop() && err == nil { // the deadline may still come
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	g.server = s
	return g, nil
}

func (b *Bridge) exchange(conn net.Conn, s *server, v packet.Version, clean bool) (*greeting, error) {
	user, password, err := b.login(s, b.cfg.Clock.Now().Time())
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(b.connectPacket(v, clean, user, password).AppendTo(nil, v)); err != nil {
		return nil, fmt.Errorf("send CONNECT: %w", err)
	}
	h, body, rest, err := readPacket(conn, b.cfg.MaxPacket)
	switch {
	case (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)) && s.looksSecure():
		return nil, fmt.Errorf("%w: on that port it may want TLS, and url to begin with mqtts://", errNoConnack)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return nil, errNoConnack
	case errors.Is(err, errHTTP), errors.Is(err, errTLS):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("wait for CONNACK: %w", err)
	case h.Type != packet.CONNACK:
		return nil, fmt.Errorf("the upstream answered CONNECT with %s", h.Type)
	}
	p, err := packet.Parse(h, body, v)
	if err != nil {
		return nil, fmt.Errorf("CONNACK: %w", err)
	}
	g, err := b.read(p.(*packet.Connack), v)
	if err != nil {
		return nil, err
	}
	g.conn, g.rest = conn, rest
	return g, nil
}

func (b *Bridge) connectPacket(v packet.Version, clean bool, user, password string) *packet.Connect {
	p := &packet.Connect{
		Version:     v,
		Bridge:      v == packet.V311 && b.preset.bridgeBit,
		CleanStart:  clean,
		Keepalive:   uint16(b.cfg.Keepalive / time.Second),
		ClientID:    []byte(b.cfg.ClientID),
		HasUsername: user != "",
		Username:    []byte(user),
		HasPassword: password != "",
		Password:    []byte(password),
		Will:        b.will(),
	}
	if v == packet.V5 {
		p.Properties = &packet.Properties{
			SessionExpiry:     new(session.Seconds(b.cfg.SessionExpiry)), // 0xFFFFFFFF is for ever
			ReceiveMaximum:    new(uint16(receiveMaximum)),
			MaximumPacketSize: new(uint32(b.cfg.MaxPacket)),
		}
	}
	return p
}

// read takes the limits from a CONNACK; what it does not say has the defaults of
// the standard.
func (b *Bridge) read(p *packet.Connack, v packet.Version) (*greeting, error) {
	reason := p.Reason
	if v < packet.V5 {
		reason = packet.FromV3(reason)
	}
	props := p.Properties
	if props == nil {
		props = new(packet.Properties)
	}
	if reason != packet.Success {
		return nil, &refusal{in: packet.CONNACK, reason: reason, text: said(props)}
	}
	g := &greeting{
		version:        v,
		sessionPresent: p.SessionPresent,
		receiveMaximum: int(or(props.ReceiveMaximum, math.MaxUint16)),
		maxQoS:         or(props.MaximumQoS, 2),
		retain:         or(props.RetainAvailable, 1) == 1,
		maxPacket:      int(min(or(props.MaximumPacketSize, 0), math.MaxInt32)),
		aliases:        int(or(props.TopicAliasMaximum, 0)),
		keepalive:      b.cfg.Keepalive,
		said:           props,
	}
	b.preset.limit(g)
	if wish := or(props.ServerKeepalive, 0); wish > 0 { // [MQTT-3.1.2-21]; more often is allowed
		g.keepalive = min(g.keepalive, time.Duration(wish)*time.Second)
	}
	return g, nil
}

// said is what the upstream adds to its no: the server that it refers to, or a reason.
func said(p *packet.Properties) string {
	if p.ServerReference != nil {
		return string(p.ServerReference)
	}
	return string(p.ReasonString)
}

func or[T any](v *T, otherwise T) T {
	if v == nil {
		return otherwise
	}
	return *v
}

// foreign says what another protocol speaks to us; nil when it is none that is known.
func foreign(b []byte) error {
	switch {
	case bytes.HasPrefix(b, []byte("HTTP/")):
		return errHTTP
	case bytes.HasPrefix(b, []byte{0x15, 0x03}): // an alert
		return errTLS
	}
	return nil
}

// readPacket reads one packet; rest is what came behind it.
func readPacket(r io.Reader, limit int) (h packet.Header, body, rest []byte, err error) {
	buf := make([]byte, 0, 512)
	for {
		h, n, err := packet.ReadHeader(buf)
		if err != nil {
			return h, nil, nil, cmp.Or(foreign(buf), err)
		}
		if n > 0 && h.Length > limit {
			return h, nil, nil, errTooLarge
		}
		if n > 0 && len(buf) >= n+h.Length {
			return h, buf[n : n+h.Length], buf[n+h.Length:], nil
		}
		buf = slices.Grow(buf, 512)
		got, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+got]
		if err != nil && got == 0 {
			return h, nil, nil, err
		}
	}
}
