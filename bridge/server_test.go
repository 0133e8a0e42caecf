package bridge_test

import (
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-edge/weir/bridge"
)

// TestOtherProtocols: what answers a CONNECT and speaks something else.
func TestOtherProtocols(t *testing.T) {
	for _, tc := range []struct{ url, answer, want string }{
		{"mqtt://cloud", "HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP answers there, not MQTT: if it is MQTT over WebSocket, url begins with ws://"},
		{"mqtt://cloud", "\x15\x03\x01\x00\x02\x02\x46", "TLS answers there: url begins with mqtts:// or wss://"},
		{"mqtt://cloud", "SSH-2.0-x\r\n", "wait for CONNACK: malformed packet"},
		{"mqtt://cloud", "", "the upstream closed the connection instead of answering CONNECT"},
		{"mqtt://cloud:8883", "", "instead of answering CONNECT: on that port it may want TLS, and url to begin with mqtts://"},
	} {
		t.Run(tc.want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *bridge.Config) { c.URLs, c.Protocol = []string{tc.url}, "5" })
				answer := func(c net.Conn) {
					c.Read(make([]byte, 512))
					c.Write([]byte(tc.answer))
					c.Close()
				}
				w.net.Listen("cloud:1883", answer)
				w.net.Listen("cloud:8883", answer)
				w.start()
				after(time.Millisecond)
				if s := w.bridge.Status(); !strings.HasPrefix(s.Error, tc.want) && !strings.HasSuffix(s.Error, tc.want) {
					t.Errorf("%s", s.Error)
				}
				w.end()
			})
		})
	}
}
