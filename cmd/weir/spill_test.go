package main

import (
	"strings"
	"testing"

	"github.com/weir-edge/weir/core/packet"
)

// TestSpill: a message that its receiver takes in time is acknowledged without a
// write; one that its receiver holds is acknowledged when it is on disk, and is there
// after a kill at that moment.
func TestSpill(t *testing.T) {
	g := startGateway(t, strings.Replace(bufferConfig, "reserve: 0", "reserve: 0, spill_after: 2s", 1))
	taker := dialRaw(t, g.port, "away", false)
	send := func(c *raw, b ...byte) {
		t.Helper()
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(c *raw, want packet.Type) (body []byte) {
		t.Helper()
		kind, body := c.packet(t)
		if kind != want {
			t.Fatalf("%v instead of %v", kind, want)
		}
		return body
	}
	send(taker, 0x82, 12, 0, 1, 0, 7, 'p', 'l', 'a', 'n', 't', '/', '#', 1)
	expect(taker, packet.SUBACK)
	publisher := dialRaw(t, g.port, "press", true)
	publish := func(n byte) {
		send(publisher, 0x32, 13, 0, 7, 'p', 'l', 'a', 'n', 't', '/', 'a', 0, n, 'x', '0'+n)
	}

	publish(1)
	body := expect(taker, packet.PUBLISH)
	send(taker, 0x40, 2, body[9], body[10])
	expect(publisher, packet.PUBACK)
	if n := g.status().Buffer.Written; n != 0 {
		t.Errorf("%d messages were written although all were taken", n)
	}
	publish(2)
	expect(taker, packet.PUBLISH) // and does not acknowledge it
	expect(publisher, packet.PUBACK)
	g.kill()
	taker.Close()
	publisher.Close()

	g.start()
	if got := take(t, g.port, "away", 1); got != "x2" {
		t.Errorf("after a kill the session gets %q", got)
	}
}
