package bridge_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/bridge/bridgetest"
	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
)

// without is what arrives when one message is not taken.
func without(n, poison int) (out []string) {
	for i := range n {
		if i != poison {
			out = append(out, fmt.Sprint(i))
		}
	}
	return out
}

// One of 50 messages is not liked. All others arrive, in order, and it is counted.
func TestPoison(t *testing.T) {
	for _, tc := range []struct {
		name        string
		reaction    bridgetest.Reaction
		connections int
	}{
		{"closes the connection", bridgetest.Reaction{Close: true}, 6},
		{"DISCONNECT, payload format invalid", bridgetest.Reaction{Disconnect: packet.PayloadFormatInvalid}, 3},
		{"DISCONNECT, unspecified", bridgetest.Reaction{Disconnect: packet.UnspecifiedError}, 6},
		{"acknowledged as not authorised", bridgetest.Reaction{Answer: packet.NotAuthorized}, 1},
		{"acknowledged as topic name invalid", bridgetest.Reaction{Answer: packet.TopicNameInvalid}, 1},
		{"acknowledged as unspecified error", bridgetest.Reaction{Answer: packet.UnspecifiedError}, 5},
	} {
		for _, qos := range []core.QoS{1, 2} {
			t.Run(fmt.Sprintf("%s, QoS %d", tc.name, qos), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, nil)
					w.up.Quirks.Publish = func(r bridgetest.Received) bridgetest.Reaction {
						if r.Payload == "20" {
							return tc.reaction
						}
						return bridgetest.Reaction{}
					}
					for i := range 50 {
						w.put(qos, "a", fmt.Sprint(i))
					}
					w.start()
					after(10 * time.Minute)
					w.wantPayloads(without(50, 20)...)
					w.wantOwed(0)
					if n := w.bridge.Status().Rules[0].Dropped[core.DroppedRejected]; n != 1 {
						t.Errorf("%d counted as rejected", n)
					}
					if n := len(w.up.Connects()); n != tc.connections {
						t.Errorf("%d connections, want %d", n, tc.connections)
					}
					w.wantState("connected", "")
					w.end()
				})
			})
		}
	}
}

// A bad link breaks while the same message is under way, time and again: that is
// no reason to drop it.
func TestBadLinkIsNoPoison(t *testing.T) {
	for name, cut := range map[string]func(*world){
		"reset":      func(w *world) { w.net.Cut() },
		"black hole": func(w *world) { w.net.Blackhole() },
		"restart":    func(w *world) { w.up.Kick(packet.ServerShuttingDown) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				fails := 20
				broken := make(chan struct{}, 100)
				w.up.Quirks.Publish = func(bridgetest.Received) bridgetest.Reaction {
					if fails == 0 {
						return bridgetest.Reaction{}
					}
					fails--
					broken <- struct{}{}
					return bridgetest.Reaction{Ignore: true}
				}
				w.put(1, "a", "x")
				w.start()
				for range 20 {
					<-broken
					synctest.Wait()
					cut(w)
				}
				after(10 * time.Minute)
				w.wantPayloads("x")
				if n := w.bridge.Status().Rules[0].Dropped[core.DroppedRejected]; n != 0 {
					t.Error("it was dropped")
				}
				w.end()
			})
		})
	}
}

// A quota that is used up passes; nothing is lost.
func TestQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		until := time.Now().Add(time.Hour)
		w.up.Quirks.ReceiveMaximum = 5
		w.up.Quirks.Publish = func(r bridgetest.Received) bridgetest.Reaction {
			if r.Payload >= "3" && time.Now().Before(until) {
				return bridgetest.Reaction{Answer: packet.QuotaExceeded}
			}
			return bridgetest.Reaction{}
		}
		for i := range 9 {
			w.put(core.QoS(1+i%2), "a", fmt.Sprint(i))
		}
		w.start()
		after(10 * time.Second)
		w.wantPayloads(numbers(3)...)
		if s := w.bridge.Status(); s.State != "connected" && s.Error != "the upstream cannot take messages now: Quota exceeded (0x97)" {
			t.Errorf("status %+v", s)
		}
		after(2 * time.Hour)
		w.wantPayloads(numbers(9)...)
		w.wantOwed(0)
		w.end()
	})
}

// A rule of higher priority is not held up for ever by a suspect of another.
func TestSuspectThatDoesNotComeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *bridge.Config) { c.MaxInflight = 10 })
		w.net.SetLatency(10 * time.Millisecond)
		w.up.Quirks.Publish = func(r bridgetest.Received) bridgetest.Reaction {
			return bridgetest.Reaction{Close: r.Payload == "x" && r.Connection <= 2}
		}
		seq := w.put(1, "a", "x")
		w.start()
		after(10 * time.Millisecond)
		for len(w.up.Connects()) < 2 {
			after(10 * time.Millisecond)
		}
		after(30 * time.Millisecond)
		w.local.Queues()[0].Paid(seq) // it has expired, say
		for i := range 100 {
			w.put(1, "a", fmt.Sprint(i))
		}
		after(20 * time.Second)
		w.wantPayloads(numbers(100)...)
		if s := w.bridge.Status(); s.Window != 10 {
			t.Errorf("status %+v", s)
		}
		w.end()
	})
}
