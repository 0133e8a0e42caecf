package bridge_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/bridge/bridgetest"
	"github.com/weir-edge/weir/core/packet"
)

// A message that the upstream refuses is set aside with all that it had, whether it
// is remembered or has to come again.
func TestQuarantine(t *testing.T) {
	for name, size := range map[string]int{"remembered": 10, "comes again": 5 << 20} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var aside []bridge.Quarantined
				w := newWorld(t, func(c *bridge.Config) {
					c.Quarantine = func(q bridge.Quarantined) error { aside = append(aside, q); return nil }
				})
				w.up.Quirks.Publish = func(r bridgetest.Received) bridgetest.Reaction {
					if r.Topic == "denied" {
						return bridgetest.Reaction{Answer: packet.NotAuthorized}
					}
					return bridgetest.Reaction{}
				}
				w.start()
				after(time.Second)
				w.put(1, "a", "0")
				w.put(1, "denied", strings.Repeat("x", size))
				w.put(1, "a", "1")
				after(time.Second)
				w.wantPayloads("0", "1")
				if size > 100 { // it is owed until the next connection
					w.wantOwed(1)
					w.net.Cut()
					after(time.Minute)
				}
				w.wantOwed(0)
				if len(aside) != 1 || len(aside[0].Message.Payload) != size || aside[0].Why != "Not authorized" || aside[0].Rule != "#" {
					t.Errorf("set aside: %d, %.200v", len(aside), aside)
				}
				w.end()
			})
		})
	}
}

// The disk of the quarantine may take its time: others go on meanwhile, what is being
// set aside stays owed, and a connection that ends sets nothing aside twice.
func TestSlowQuarantine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var aside atomic.Int32
		w := newWorld(t, func(c *bridge.Config) {
			c.Quarantine = func(bridge.Quarantined) error {
				time.Sleep(10 * time.Second)
				aside.Add(1)
				return nil
			}
		})
		w.up.Quirks.MaxPacket = 100
		w.start()
		after(time.Second)
		w.put(1, "a", strings.Repeat("x", 200))
		w.put(1, "a", "0")
		after(time.Second)
		w.wantPayloads("0")
		w.wantOwed(1)
		w.net.Cut()
		after(time.Minute)
		w.wantOwed(0)
		if n := aside.Load(); n != 1 {
			t.Errorf("set aside %d times", n)
		}
		w.end()
	})
}
