package bridge_test

import (
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-edge/weir/bridge/bridgetest"
)

// A dead upstream is found out one and a half keep-alives after its last sign of
// life.
func TestDeadPeer(t *testing.T) {
	for name, kill := range map[string]func(*world){
		"no PINGRESP": func(w *world) { w.up.Change(func(q *bridgetest.Quirks) { q.NoPingresp = true }) },
		"black hole":  func(w *world) { w.net.Blackhole() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				w.start()
				after(time.Millisecond)
				kill(w)
				after(45*time.Second - 10*time.Millisecond)
				w.wantState("connected", "")
				after(20 * time.Millisecond)
				w.wantState("waiting", "the upstream gives no sign of life")
				w.end()
			})
		})
	}
}

func TestServerKeepalive(t *testing.T) {
	for _, tc := range []struct {
		seconds uint16
		want    int // PINGREQs in a minute
	}{{10, 6}, {1200, 2}, {0, 2}} {
		t.Run(fmt.Sprint(tc.seconds), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				w.up.Quirks.ServerKeepalive = &tc.seconds // [MQTT-3.1.2-21]
				w.start()
				after(time.Minute + time.Second)
				if n := w.up.Pings(); n != tc.want {
					t.Errorf("%d PINGREQs in a minute, want %d", n, tc.want)
				}
				w.end()
			})
		})
	}
}

// An upstream that reads no more: buffers fill, the writer is stuck, and yet it is
// found out.
func TestHalfOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		var stuck atomic.Bool
		stuck.Store(true)
		w.net.Listen(address, func(c net.Conn) {
			if !stuck.Load() {
				w.up.Serve(c)
				return
			}
			c.Read(make([]byte, 1024))
			c.Write([]byte{0x20, 3, 0, 0, 0})
		})
		for i := range 100 {
			w.put(1, "a", fmt.Sprint(i, string(make([]byte, 10_000))))
		}
		w.start()
		after(44 * time.Second)
		w.wantState("connected", "")
		stuck.Store(false)
		after(5 * time.Second)
		w.wantOwed(0)
		if n := len(w.up.Got()); n != 100 {
			t.Errorf("%d arrived", n)
		}
		w.end()
	})
}

// Where traffic goes both ways there is nothing to be asked.
func TestNoPingsWhileTrafficFlows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.start()
		for i := range 20 {
			w.put(1, "a", fmt.Sprint(i))
			after(10 * time.Second)
		}
		if n := w.up.Pings(); n != 0 {
			t.Errorf("%d PINGREQs", n)
		}
		for i := range 20 { // QoS 0 has no answers
			w.put(0, "a", fmt.Sprint(i))
			after(10 * time.Second)
		}
		if n := w.up.Pings(); n < 5 || n > 8 {
			t.Errorf("%d PINGREQs in 200 s", n)
		}
		w.wantState("connected", "")
		w.end()
	})
}

func TestUpstreamThatAcknowledgesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.up.Quirks.Publish = func(r bridgetest.Received) bridgetest.Reaction {
			return bridgetest.Reaction{Ignore: r.Connection == 1}
		}
		w.start()
		after(5 * time.Minute) // an idle connection is no reason
		w.put(1, "a", "x")
		after(59 * time.Second)
		w.wantState("connected", "")
		after(time.Second)
		w.wantState("waiting", "the upstream lives, but acknowledges nothing")
		after(10 * time.Second)
		w.wantPayloads("x")
		w.end()
	})
}
