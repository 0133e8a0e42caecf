package bridge_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-edge/weir/bridge"
)

// counted counts what a bridge writes.
type counted struct {
	net.Conn
	bytes *atomic.Int64
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.bytes.Add(int64(n))
	return n, err
}

// TestUplinkBytes is what a message of 100 bytes with a topic of 30 costs on the way
// up, keep-alives and all.
func TestUplinkBytes(t *testing.T) {
	for _, tc := range []struct {
		name    string
		aliases uint16
		most    float64
	}{{"with topic aliases", 10, 115}, {"without", 0, 140}} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var bytes atomic.Int64
				w := newWorld(t, func(c *bridge.Config) { c.Out[0].QoS = 1 })
				w.cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) {
					c, err := w.net.Dial(ctx, address)
					return counted{c, &bytes}, err
				}
				w.up.Quirks.Aliases = tc.aliases
				w.start()
				after(time.Second)
				before := bytes.Load()
				const messages = 2000
				for i := range messages {
					w.put(1, fmt.Sprintf("plant/line1/meter%d/voltage/xyz", i%10)[:30], strings.Repeat("x", 100))
					after(100 * time.Millisecond)
				}
				each := float64(bytes.Load()-before) / messages
				t.Logf("%.1f bytes a message, %d keep-alives", each, w.up.Pings())
				if each > tc.most || w.up.Pings() > 0 || len(w.up.Got()) != messages {
					t.Errorf("%.1f bytes a message (at most %.0f), %d keep-alives, %d arrived", each, tc.most, w.up.Pings(), len(w.up.Got()))
				}
				w.end()
			})
		})
	}
}
