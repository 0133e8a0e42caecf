package broker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/weir-edge/weir/core/broker/transport"
)

// acceptLoop takes connections that need goroutines.
func (l *listener) acceptLoop() {
	for {
		if l.broker.full.Load() && !l.closed.Load() {
			l.broker.mail.post(func() { l.broker.count("accept paused") })
			time.Sleep(acceptPause)
			continue
		}
		c, err := l.ln.Accept()
		switch {
		case err == nil:
			l.broker.serving.Go(func() { l.serve(c) })
		case errors.Is(err, net.ErrClosed):
			return
		default:
			l.broker.mail.post(func() { l.broker.count("accept paused") })
			time.Sleep(acceptPause)
		}
	}
}

// minFrame is the least that a frame of WebSocket may have: there may be many small
// packets in it.
const minFrame = 64 << 10

// layerError is why a connection did not get as far as MQTT.
type layerError struct {
	count string // what it is counted as
	error
}

func (e *layerError) Unwrap() error { return e.error }

// unwrap takes off what is between a connection and MQTT: the proxy's header, TLS,
// WebSocket.
func (l *listener) unwrap(c net.Conn, p peer) (net.Conn, peer, error) {
	if len(l.ProxyFrom) > 0 {
		inner, behind, err := l.unproxy(c, p)
		if err != nil {
			return nil, p, err
		}
		c, p = inner, behind
	}
	if l.tls != nil {
		by := l.tlsConfig()
		t := tls.Server(c, by)
		if err := t.Handshake(); err != nil {
			return nil, p, &layerError{"tls handshake", fmt.Errorf("TLS handshake: %w", err)}
		}
		p.certificate = l.tls.ClientOf(t.ConnectionState(), by)
		c = t
	}
	if l.WebSocket != nil {
		upgrade := *l.WebSocket
		upgrade.MaxFrame = int64(max(l.maxPacket(), minFrame))
		w, err := upgrade.Accept(c)
		if err != nil {
			return nil, p, &layerError{"websocket handshake", fmt.Errorf("WebSocket handshake: %w", err)}
		}
		c = w
	}
	return c, p, nil
}

// unproxy believes nobody but the proxies. One that speaks for itself, or for a
// client that it does not know, keeps its own address.
func (l *listener) unproxy(c net.Conn, p peer) (net.Conn, peer, error) {
	trusted := !p.addr.IsValid() || slices.ContainsFunc(l.ProxyFrom, func(n netip.Prefix) bool { return n.Contains(p.addr) })
	if !trusted {
		return nil, p, &layerError{"not a proxy", fmt.Errorf("%s is not one of the proxies of this listener", p.addr)}
	}
	inner, said, err := transport.ReadProxy(c)
	if err != nil {
		return nil, p, &layerError{"proxy header", err}
	}
	if said.Source.IsValid() {
		p.remote, p.addr = said.Source.String(), said.Source.Addr()
	}
	return inner, p, nil
}

// tlsConfig is what is in the certificate files now.
func (l *listener) tlsConfig() *tls.Config {
	c, changed, err := l.tls.Config()
	switch log := l.broker.log; {
	case err != nil:
		log.Error("certificates have changed but cannot be used: those before stay in force", "listener", l.Name, "error", err)
	case changed:
		log.Info("certificates were read again", "listener", l.Name)
	}
	return c
}

// peerOf is the other end of a socket.
func peerOf(c net.Conn) peer {
	a := c.RemoteAddr()
	if tcp, ok := a.(*net.TCPAddr); ok {
		at := tcp.AddrPort()
		at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
		return peer{remote: at.String(), addr: at.Addr()}
	}
	return peer{remote: a.Network()}
}
