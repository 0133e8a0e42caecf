package bridge

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"github.com/coder/websocket"
)

// upgrade makes a connection one of MQTT over WebSocket [MQTT-6.0.0-3].
func upgrade(ctx context.Context, s *server, conn net.Conn) (net.Conn, string, error) {
	there := func(context.Context, string, string) (net.Conn, error) { return conn, nil }
	transport := &http.Transport{DialContext: there, DialTLSContext: there}
	defer transport.CloseIdleConnections()
	ws, resp, err := websocket.Dial(ctx, s.url, &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: transport, CheckRedirect: noRedirect},
		Subprotocols: []string{"mqtt"},
	})
	switch {
	case err != nil && resp != nil && resp.StatusCode != http.StatusSwitchingProtocols:
		return nil, "", fmt.Errorf("WebSocket with %s: the server answers %s: check the path in url", s.address, resp.Status)
	case err != nil:
		return nil, "", fmt.Errorf("WebSocket with %s: %w", s.address, err)
	case ws.Subprotocol() != "mqtt":
		ws.CloseNow()
		return nil, "", fmt.Errorf("WebSocket with %s: the server does not offer the subprotocol mqtt: check the path in url", s.address)
	}
	ws.SetReadLimit(-1) // frames are a stream; the packets in them have their limit
	return webConn{websocket.NetConn(context.Background(), ws, websocket.MessageBinary), ws}, s.url, nil
}

// noRedirect shows what a server answers: there is one connection, and it leads here.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// webConn is closed at once: what was written is on its way, and an upstream that
// is gone answers no close frame.
type webConn struct {
	net.Conn
	ws *websocket.Conn
}

func (c webConn) Close() error { return c.ws.CloseNow() }
