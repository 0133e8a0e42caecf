package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-edge/weir/core/packet"
)

// TestDiskThatHangs freezes the disk of a gateway time and again while it commits. Who
// does not need the disk must notice nothing, although memory is collected all the time:
// a collection waits for a thread that waits for the disk in a page of a mapping.
func TestDiskThatHangs(t *testing.T) {
	t.Setenv("GOGC", "1")
	t.Setenv("GODEBUG", "gctrace=1")
	disk := newDisk(t, 256<<20)
	g := startGateway(t, fmt.Sprintf(outrunConfig, filepath.Join(disk.mount, "data")))
	away := dialRaw(t, g.port, "away", false)
	away.subscribe(t, "t", 1)
	away.Close()
	acked := publishSteadily(t, g.port)
	local := dialRaw(t, g.port, "local", true)
	local.subscribe(t, "l", 0)

	look, page := http.Client{Timeout: 2 * time.Second}, fmt.Sprintf("http://127.0.0.1:%d/metrics", g.console)
	collections := func() int { return strings.Count(g.out.String(), "\ngc ") }
	for range 5 {
		before := acked.Load()
		eventually(t, 10*time.Second, "committing", func() bool { return acked.Load() > before+20 })
		disk.run("fsfreeze", "-f", disk.mount)
		begun, answered := collections(), 0
		for end := time.Now().Add(10 * time.Second); collections() < begun+3 && time.Now().Before(end); {
			answered += local.pingPong(100, end)
			if resp, err := look.Get(page); err == nil { // costs memory
				resp.Body.Close()
			}
		}
		disk.run("fsfreeze", "-u", disk.mount)
		if n := collections() - begun; n < 3 {
			t.Fatalf("while the disk hung, %d messages and %d collections", answered, n)
		}
	}
}

// publishSteadily sends messages for a session that is away, each when the one before
// was acknowledged, until the end of the test.
func publishSteadily(t *testing.T, port int) (acked *atomic.Int64) {
	acked = new(atomic.Int64)
	c := dialRaw(t, port, "press", true)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if _, err := c.Write([]byte{0x32, 9, 0, 1, 't', 0, 1, 'h', 'e', 'r', 'e'}); err != nil {
				return
			}
			if _, err := c.in.Discard(4); err != nil {
				return
			}
			acked.Add(1)
		}
	}()
	t.Cleanup(func() {
		c.Close()
		<-ended
	})
	return acked
}

// subscribe waits until it is granted.
func (r *raw) subscribe(t *testing.T, topic string, qos byte) {
	t.Helper()
	r.Write((&packet.Subscribe{PacketID: 1, Filters: []packet.Filter{{Filter: []byte(topic), Options: packet.Options(qos)}}}).AppendTo(nil, packet.V311))
	if kind, _ := r.packet(t); kind != packet.SUBACK {
		t.Fatalf("no SUBACK but %v", kind)
	}
}

// pingPong sends itself messages, each when the one before has come, and says how many
// came in time.
func (r *raw) pingPong(n int, until time.Time) int {
	r.SetDeadline(until)
	message := (&packet.Publish{Topic: []byte("l"), Payload: make([]byte, 4<<10)}).AppendTo(nil, packet.V311)
	for i := range n {
		if _, err := r.Write(message); err != nil {
			return i
		}
		if _, err := r.in.Discard(len(message)); err != nil {
			return i
		}
	}
	return n
}
