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

// open dials a server and, for mqtts, does the TLS handshake.
func (b *Bridge) open(ctx context.Context, s *server) (net.Conn, error) {
	if s.web {
		return b.openWeb(ctx, s)
	}
	conn, err := b.cfg.Dial(ctx, s.address)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", s.address, err)
	}
	if !s.tls {
		return conn, nil
	}
	c, err := b.cfg.TLS.load(s.host)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("tls: %w", err)
	}
	secure := tls.Client(conn, c)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("TLS with %s: %w", s.address, err)
	}
	return secure, nil
}
