package bridge_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/bridge/bridgetest"
	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
)

func TestReconnect(t *testing.T) {
	for _, tc := range []struct {
		name   string
		forget bool
	}{{"session kept", false}, {"session lost", true}} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				w.up.Quirks.Forget = tc.forget
				var seen []bridgetest.Received
				w.up.Quirks.Publish = func(r bridgetest.Received) bridgetest.Reaction {
					seen = append(seen, r)
					return bridgetest.Reaction{Ignore: r.Connection == 1 && r.Payload >= "3"}
				}
				w.start()
				after(time.Second)
				for i := range 6 {
					w.put(core.QoS(1+i%2), "a", fmt.Sprint(i))
				}
				after(time.Second)
				w.net.Cut()
				after(time.Millisecond)
				w.wantState("waiting", "connection to the upstream was reset")
				w.put(1, "a", "6")
				after(10 * time.Second)
				w.wantPayloads(numbers(7)...)
				w.wantOwed(0)
				again := seen[6:]
				for i, r := range again[:3] {
					if r.Dup == tc.forget || !tc.forget && r.PacketID != seen[3+i].PacketID {
						t.Errorf("sent again: %+v, before %+v", r, seen[3+i]) // [MQTT-4.4.0-1]
					}
				}
				if again[3].Dup {
					t.Errorf("a new message has DUP: %+v", again[3])
				}
				if s := w.bridge.Status(); s.Reconnects != 1 {
					t.Errorf("%d reconnects", s.Reconnects)
				}
				w.end()
			})
		})
	}
}

// Before MQTT 5 an upstream cannot say how many messages it takes at a time.
func TestHiddenLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *bridge.Config) { c.Protocol, c.MaxInflight = "3.1.1", 200 })
		w.up.Quirks.Limit = 30
		for i := range 1000 {
			w.put(2, "a", fmt.Sprint(i))
		}
		w.start()
		after(time.Minute)
		w.wantPayloads(numbers(1000)...)
		if n := len(w.up.Connects()); n > 5 { // 200, 100, 50, 25
			t.Errorf("%d connections", n)
		}
		if s := w.bridge.Status(); s.Window != 25 {
			t.Errorf("window %d", s.Window)
		}
		w.end()
	})
}

// What is published at QoS 0 without an uplink is not the bridge's to keep.
func TestOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.net.Down(errors.New("down"))
		w.start()
		after(time.Second)
		w.put(0, "a", "lost")
		w.put(1, "a", "kept")
		after(time.Second)
		w.net.Down(nil)
		after(2 * time.Minute)
		w.wantPayloads("kept")
		if n := w.bridge.Status().Rules[0].Dropped[core.DroppedOffline]; n != 1 {
			t.Errorf("%d dropped", n)
		}
		w.end()
	})
}

func TestServerList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *bridge.Config) { c.URLs = []string{"mqtt://main", "mqtt://spare:1999"} })
		spare := new(bridgetest.Upstream)
		w.net.Listen("main:1883", w.up.Serve)
		w.net.Listen("spare:1999", spare.Serve)
		w.start()
		after(time.Second)
		w.put(1, "a", "1")
		after(time.Second)

		w.net.Listen("main:1883", nil)
		w.net.Cut()
		w.put(1, "a", "2")
		after(5 * time.Second) // without a pause between the two servers
		if s := w.bridge.Status(); s.URL != "mqtt://spare:1999" || s.State != "connected" {
			t.Errorf("status %+v", s)
		}

		w.net.Listen("main:1883", w.up.Serve)
		w.net.Cut()
		w.put(1, "a", "3")
		after(20 * time.Second)
		w.wantPayloads("1", "3")
		if diff := cmp.Diff([]string{"2"}, payloads(spare.Got())); diff != "" {
			t.Error(diff)
		}
		// Packet ids of another server's session mean nothing here.
		if c := w.up.Connects(); c[0].CleanStart || !c[1].CleanStart {
			t.Error("the session of the first server must start clean when we come back")
		}
		if v := spare.Violations(); v != nil {
			t.Error(v)
		}
		w.end()
	})
}

// TestServerListOverARestart: the process ends while another server than the first is in
// use. The session at the first, which may hold packet ids from before, starts clean
// then; the one that is gone on with does not.
func TestServerListOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *bridge.Config) { c.URLs = []string{"mqtt://main", "mqtt://spare"} })
		var kept []string
		w.cfg.KeepHome = func(session string) error { kept = append(kept, session); return nil }
		spare := new(bridgetest.Upstream)
		w.net.Listen("main:1883", w.up.Serve)
		w.net.Listen("spare:1883", spare.Serve)
		again := func() {
			w.stop()
			w.cfg.Home = kept[len(kept)-1]
			w.start()
			after(5 * time.Second)
		}
		w.start()
		after(time.Second)
		w.put(2, "a", "1")
		after(time.Second)
		w.net.Listen("main:1883", nil)
		w.net.Cut()
		after(5 * time.Second)
		again()
		w.put(2, "a", "2")
		after(time.Second)
		w.net.Listen("main:1883", w.up.Serve)
		again()
		w.put(2, "a", "3")
		after(time.Second)
		again()
		clean := func(u *bridgetest.Upstream) (all []bool) {
			for _, c := range u.Connects() {
				all = append(all, c.CleanStart)
			}
			return all
		}
		if diff := cmp.Diff([][]bool{{false, true, false}, {true, false}}, [][]bool{clean(w.up), clean(spare)}); diff != "" {
			t.Errorf("Clean Start at main and spare (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"mqtt://main:1883 gw-1", "mqtt://spare:1883 gw-1", "mqtt://main:1883 gw-1"}, kept); diff != "" {
			t.Error(diff)
		}
		w.wantPayloads("1", "3")
		w.end()
	})
}

// TestHomeNotKept: a full disk does not keep the uplink away, which alone can empty it.
func TestHomeNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *bridge.Config) { c.KeepHome = func(string) error { return errors.New("no space left") } })
		w.put(2, "a", "1")
		w.start()
		after(time.Second)
		w.wantPayloads("1")
		w.end()
	})
}

// Before MQTT 5 a clean session does not last, so that one of its own comes first.
func TestServerListBeforeMQTT5(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *bridge.Config) {
			c.URLs = []string{"mqtt://main", "mqtt://spare"}
			c.Protocol = "3.1.1"
		})
		spare := new(bridgetest.Upstream)
		w.net.Listen("main:1883", w.up.Serve)
		w.net.Listen("spare:1883", spare.Serve)
		w.start()
		after(time.Second)
		w.net.Listen("main:1883", nil)
		w.net.Cut()
		w.put(2, "a", "1")
		after(5 * time.Second)
		var clean []bool
		for _, c := range spare.Connects() {
			clean = append(clean, c.CleanStart)
		}
		if diff := cmp.Diff([]bool{true, false}, clean); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"1"}, payloads(spare.Got())); diff != "" {
			t.Error(diff)
		}
		w.end()
	})
}

// The pauses grow with jitter, and begin anew after a connection that was stable.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.net.Down(errors.New("down"))
		w.start()
		after(time.Hour)
		n := len(w.net.Dials())
		if n < 60 || n > 240 {
			t.Errorf("%d attempts in an hour", n)
		}
		w.net.Down(nil)
		after(time.Minute + time.Second)
		w.wantState("connected", "")
		after(11 * time.Second)
		w.net.Cut()
		after(3*time.Second + time.Millisecond) // 1 to 3 s
		w.wantState("connected", "")
		w.end()
	})
}

func TestDisconnectedByTheUpstream(t *testing.T) {
	for _, tc := range []struct {
		reason packet.Reason
		state  string
		text   string
	}{
		{packet.ServerShuttingDown, "waiting", "the upstream ended the connection: Server shutting down (0x8B)"},
		{
			packet.SessionTakenOver, "refused",
			"the upstream ended the connection: Session taken over (0x8E): another client uses the same client_id",
		},
		{
			packet.ServerMoved, "refused",
			"the upstream ended the connection: Server moved (0x9D): configure that server's url; it says \"two.example:1883\"",
		},
		{0, "waiting", "the upstream closed the connection"},
	} {
		t.Run(tc.reason.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				if tc.reason == packet.ServerMoved {
					w.up.Quirks.Reference = "two.example:1883"
				}
				w.start()
				after(time.Second)
				w.up.Kick(tc.reason)
				after(time.Millisecond)
				w.wantState(tc.state, tc.text)
				after(2 * time.Minute)
				if s := w.bridge.Status(); s.State != "connected" || (s.Error != "") != (tc.reason == packet.SessionTakenOver) {
					t.Errorf("state %s: %s", s.State, s.Error)
				}
				w.end()
			})
		})
	}
}

func TestGarbageFromTheUpstream(t *testing.T) {
	for name, bytes := range map[string][]byte{
		"reserved type":  {0x00, 0x00},
		"CONNECT":        {0x10, 0x00},
		"too large":      {0x30, 0xFF, 0xFF, 0xFF, 0x7F},
		"bad PUBACK":     {0x40, 0x01, 0x00},
		"AUTH":           {0xF0, 0x00},
		"SUBSCRIBE":      {0x82, 0x06, 0, 1, 0, 1, 'a', 0},
		"length forever": {0x30, 0xFF, 0xFF, 0xFF, 0xFF},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				bad := true
				w.net.Listen(address, func(c net.Conn) {
					if !bad {
						w.up.Serve(c)
						return
					}
					bad = false
					c.Read(make([]byte, 1024))
					c.Write(append([]byte{0x20, 3, 0, 0, 0}, bytes...))
					for {
						if _, err := c.Read(make([]byte, 1024)); err != nil {
							return
						}
					}
				})
				w.put(1, "a", "x")
				w.start()
				after(time.Millisecond)
				if s := w.bridge.Status(); s.State != "waiting" || !strings.ContainsAny(s.Error, "abcdefghijklmnopqrstuvwxyz") {
					t.Errorf("status %+v", s)
				}
				after(time.Minute)
				w.wantPayloads("x")
				w.end()
			})
		})
	}
}

// TestUpstreamShrinks: an upstream comes back with less room while messages are under way
// that it had before: all of them arrive that can, once where that is promised, and
// nothing stands in the way of those behind.
func TestUpstreamShrinks(t *testing.T) {
	for _, tc := range []struct {
		name   string
		before bridgetest.Quirks
		shrink func(*bridgetest.Quirks)
		aside  int64
	}{
		{"receive maximum", bridgetest.Quirks{ReceiveMaximum: 50}, func(q *bridgetest.Quirks) { q.ReceiveMaximum = 3 }, 0},
		{"maximum packet", bridgetest.Quirks{}, func(q *bridgetest.Quirks) { q.MaxPacket = 300 }, 8},
		{"maximum QoS", bridgetest.Quirks{}, func(q *bridgetest.Quirks) { q.MaximumQoS = new(byte(1)) }, 0},
		{"maximum QoS 0", bridgetest.Quirks{}, func(q *bridgetest.Quirks) { q.MaximumQoS = new(byte(0)) }, 0},
		{"topic aliases", bridgetest.Quirks{Aliases: 10}, func(q *bridgetest.Quirks) { q.Aliases = 0 }, 0},
		{"retained", bridgetest.Quirks{}, func(q *bridgetest.Quirks) { q.NoRetain = true }, 0},
	} {
		for _, qos := range []core.QoS{1, 2} {
			t.Run(fmt.Sprintf("%s/qos=%d", tc.name, qos), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var aside atomic.Int64
					w := newWorld(t, func(c *bridge.Config) {
						c.Quarantine = func(bridge.Quarantined) error { aside.Add(1); return nil }
					})
					w.up.Quirks = tc.before
					w.up.Quirks.Publish = func(bridgetest.Received) bridgetest.Reaction { return bridgetest.Reaction{Ignore: true} }
					w.start()
					after(time.Second)
					var want []string
					for i := range 40 {
						payload := fmt.Sprint(i)
						if i%5 == 0 {
							payload += strings.Repeat("x", 500)
						}
						if tc.aside == 0 || i%5 > 0 {
							want = append(want, payload)
						}
						w.putMessage(&core.Message{Topic: "plant/line", Payload: []byte(payload), QoS: qos, Retain: i%3 == 0})
					}
					after(time.Second)
					if n := w.bridge.Status().Inflight; n != 40 {
						t.Errorf("%d in flight", n)
					}
					w.up.Change(func(q *bridgetest.Quirks) { q.Publish = nil; tc.shrink(q) })
					for range 3 {
						w.up.Kick(packet.Success)
						after(time.Minute)
					}
					w.put(qos, "plant/line", "last")
					after(time.Minute)
					w.wantPayloads(append(want, "last")...)
					w.wantOwed(0)
					if s := w.bridge.Status(); aside.Load() != tc.aside || s.Inflight != 0 || s.State != "connected" {
						t.Errorf("%d set aside, %d in flight, %s", aside.Load(), s.Inflight, s.State)
					}
					w.end()
				})
			})
		}
	}
}
