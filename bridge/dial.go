package bridge

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

// dialTCP is the default of Config.Dial. Names are resolved at each attempt.
func dialTCP(userTimeout time.Duration, bind string) func(context.Context, string) (net.Conn, error) {
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3},
		Control:         control(userTimeout),
	}
	if ip := net.ParseIP(bind); ip != nil {
		d.LocalAddr = &net.TCPAddr{IP: ip}
	}
	return func(ctx context.Context, address string) (net.Conn, error) {
		return d.DialContext(ctx, "tcp", address)
	}
}

// setDial makes Dial the way that the configuration asks for.
func (c *Config) setDial() (err error) {
	if c.Dial == nil {
		c.Dial = dialTCP(c.UserTimeout, c.BindAddress)
	}
	if c.Proxy.URL != "" {
		c.Dial, err = c.Proxy.through(c.Dial)
	}
	return err
}

// stage is a part of the way to a server. It is given the connection that the one
// before has made, and makes its own of it; detail is for people.
type stage struct {
	name string
	make func(ctx context.Context, s *server, conn net.Conn) (made net.Conn, detail string, err error)
}

// way is what makes a connection to s, in order.
func (b *Bridge) way(s *server) []stage {
	w := []stage{{"TCP", b.dial}}
	if b.cfg.Proxy.URL != "" {
		w[0].name = "proxy"
	}
	if s.tls {
		w = append(w, stage{"TLS", b.secure})
	}
	if s.web {
		w = append(w, stage{"WebSocket", upgrade})
	}
	return w
}

// open goes all the way to a server.
func (b *Bridge) open(ctx context.Context, s *server) (conn net.Conn, err error) {
	for _, part := range b.way(s) {
		if conn, _, err = part.from(ctx, s, conn); err != nil {
			return nil, err
		}
	}
	return conn, nil
}

// from takes a stage. When it fails conn is closed.
func (p stage) from(ctx context.Context, s *server, conn net.Conn) (made net.Conn, detail string, err error) {
	made, detail, err = p.make(ctx, s, conn)
	if err != nil && conn != nil {
		conn.Close()
	}
	return made, detail, err
}

func (b *Bridge) dial(ctx context.Context, s *server, _ net.Conn) (net.Conn, string, error) {
	conn, err := b.cfg.Dial(ctx, s.address)
	if err != nil {
		return nil, "", fmt.Errorf("connect to %s: %w", s.address, err)
	}
	if b.cfg.Proxy.URL != "" {
		return conn, b.cfg.Proxy.URL + " to " + s.address, nil
	}
	return conn, s.address, nil
}

func (b *Bridge) secure(ctx context.Context, s *server, conn net.Conn) (net.Conn, string, error) {
	c, err := b.cfg.TLS.load(s.host)
	if err != nil {
		return nil, "", fmt.Errorf("tls: %w", err)
	}
	if s.web {
		c.NextProtos = nil // the upgrade is one of HTTP/1.1
	}
	secure := tls.Client(conn, c)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, "", fmt.Errorf("TLS with %s: %w", s.address, err)
	}
	st := secure.ConnectionState()
	leaf := st.PeerCertificates[0]
	return secure, fmt.Sprintf("%s, certificate of %s by %s, until %s", tls.VersionName(st.Version),
		leaf.Subject.CommonName, leaf.Issuer.CommonName, leaf.NotAfter.UTC().Format(time.DateOnly)), nil
}
