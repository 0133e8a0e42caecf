package bridge

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"github.com/coder/websocket"
)

// openWeb dials a server of MQTT over WebSocket [MQTT-6.0.0-3].
func (b *Bridge) openWeb(ctx context.Context, s *server) (net.Conn, error) {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return b.cfg.Dial(ctx, s.address) },
	}
	if s.tls {
		c, err := b.cfg.TLS.load(s.host)
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		c.NextProtos = nil // the upgrade is one of HTTP/1.1
		transport.TLSClientConfig = c
	}
	defer transport.CloseIdleConnections()
	ws, _, err := websocket.Dial(ctx, s.url, &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: transport},
		Subprotocols: []string{"mqtt"},
	})
	if err != nil {
		return nil, fmt.Errorf("WebSocket with %s: %w", s.address, err)
	}
	if ws.Subprotocol() != "mqtt" {
		ws.CloseNow()
		return nil, fmt.Errorf("WebSocket with %s: the server does not offer the subprotocol mqtt: check the path in url", s.address)
	}
	ws.SetReadLimit(-1) // frames are a stream; the packets in them have their limit
	return webConn{websocket.NetConn(context.Background(), ws, websocket.MessageBinary), ws}, nil
}

// webConn is closed at once: what was written is on its way, and an upstream that
// is gone answers no close frame.
type webConn struct {
	net.Conn
	ws *websocket.Conn
}

func (c webConn) Close() error { return c.ws.CloseNow() }
