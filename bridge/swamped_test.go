package bridge_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/core/packet"
)

// greeted is an upstream that takes the client and does the rest by itself.
func greeted(v packet.Version, serve func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		if _, err := c.Read(make([]byte, 4096)); err != nil {
			return
		}
		_, _ = c.Write((&packet.Connack{}).AppendTo(nil, v))
		serve(c)
	}
}

// TestSlowDiskSlowsTheUpstream: what comes faster than it can be kept stays with the
// upstream, which is not taken for dead meanwhile, and all of it is taken in the end.
func TestSlowDiskSlowsTheUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const messages, each = 24, 1 << 20
		w := newInWorld(t, func(c *bridge.Config) { c.Protocol = "3.1.1" }) // no Receive Maximum
		w.local.SyncTime = 2 * time.Minute
		connections := 0
		w.net.Listen(address, greeted(packet.V311, func(c net.Conn) {
			connections++
			go func() {
				for i := range messages {
					p := packet.Publish{Topic: []byte("cmd/a"), Payload: fmt.Appendf(nil, "%04d%s", i, strings.Repeat("x", each)), QoS: 1, PacketID: uint16(i + 1)}
					_, _ = c.Write(p.AppendTo(nil, packet.V311)) // as much of it as is read
				}
			}()
			_, _ = io.Copy(io.Discard, c)
		}))
		w.start()
		after(2*time.Minute + time.Second)
		if n := len(w.local.Accepted()); n == 0 || n > 8 {
			t.Errorf("%d MiB were in memory", n)
		}
		for range 60 * messages { // until it has all: behind that the upstream is silent
			if len(w.local.Accepted()) == messages {
				break
			}
			after(time.Second)
		}
		accepted := w.local.Accepted()
		for i, m := range accepted {
			if !strings.HasPrefix(string(m.Payload), fmt.Sprintf("%04d", i)) {
				t.Errorf("message %d is %.4s", i, m.Payload)
			}
		}
		if len(accepted) != messages || connections != 1 {
			t.Errorf("%d messages, %d connections", len(accepted), connections)
		}
		w.stop()
		w.net.Close()
	})
}

// TestAnswersWithoutEnd: an upstream that ends packet ids without end, faster than the disk
// is told, does not use up the memory.
func TestAnswersWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newInWorld(t, nil)
		w.local.SyncTime = time.Hour
		var flood []byte
		for i := range 200_000 {
			flood = packet.AppendAck(flood, packet.V5, packet.PUBREL, uint16(i%65535+1), packet.Success)
		}
		closed := make(chan struct{}, 100)
		w.net.Listen(address, greeted(packet.V5, func(c net.Conn) {
			go func() { _, _ = c.Write(flood) }() // as much of it as is read
			_, _ = io.Copy(io.Discard, c)
			closed <- struct{}{}
		}))
		w.start()
		after(time.Second)
		select {
		case <-closed:
		default:
			t.Error("the connection stands")
		}
		w.stop()
		w.net.Close()
		after(2 * time.Hour)
	})
}
