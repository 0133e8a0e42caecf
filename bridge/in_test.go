package bridge_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/bridge/bridgetest"
	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
)

// newInWorld is a world with one in rule for cmd/#.
func newInWorld(t testing.TB, change func(*bridge.Config)) *world {
	return newWorld(t, func(c *bridge.Config) {
		c.Out = nil
		c.In = []bridge.InRule{{Filter: "cmd/#", QoS: 2}}
		if change != nil {
			change(c)
		}
	})
}

func (w *world) wantAccepted(want ...string) {
	w.t.Helper()
	var got []string
	for _, m := range w.local.Accepted() {
		got = append(got, string(m.Payload))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("brought in (-want +got):\n%s", diff)
	}
}

func TestIn(t *testing.T) {
	for _, protocol := range []string{"5", "3.1.1"} {
		t.Run(protocol, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newInWorld(t, func(c *bridge.Config) { c.Protocol = protocol })
				w.start()
				after(time.Second)
				for i := range 300 {
					w.up.Publish("cmd/a", fmt.Sprint(i), byte(i%3), nil)
				}
				after(10 * time.Second)
				w.wantAccepted(numbers(300)...)
				if n := w.up.Undelivered(); n != 0 {
					t.Errorf("%d without acknowledgement", n)
				}
				if pids := w.local.Incoming(); pids != nil {
					t.Errorf("packet ids %v are still held", pids)
				}
				if s := w.bridge.Status(); s.Received != 300 || s.Rules[0].Messages != 300 || s.Rules[0].Direction != "in" {
					t.Errorf("status %+v", s)
				}
				w.end()
			})
		})
	}
}

func TestInMapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newInWorld(t, func(c *bridge.Config) {
			c.In = []bridge.InRule{{Filter: "cmd/#", QoS: 1, LocalPrefix: "cloud/", RemotePrefix: "site7/"}}
		})
		w.start()
		after(time.Second)
		w.up.Publish("site7/cmd/a", "x", 2, &packet.Properties{
			MessageExpiry: new(uint32(60)), ContentType: []byte("text/plain"),
			User: []packet.UserProperty{
				{Name: []byte("a"), Value: []byte("1")}, {Name: []byte("weir-hops"), Value: []byte("2")},
			},
		})
		after(time.Second)
		got := w.local.Accepted()
		if len(got) != 1 {
			t.Fatalf("brought in: %v", got)
		}
		m := *got[0]
		m.Received = core.Stamp{}
		want := core.Message{
			Topic: "cloud/cmd/a", Payload: []byte("x"), QoS: 1, Publisher: "bridge:cloud",
			Expiry: time.Minute, Hops: 2,
			Properties: &core.Properties{ContentType: "text/plain", User: []core.UserProperty{{Name: "a", Value: "1"}}},
		}
		if diff := cmp.Diff(want, m); diff != "" {
			t.Error(diff)
		}
		w.end()
	})
}

func TestSubscriptions(t *testing.T) {
	rules := make([]bridge.InRule, 20) // more than fit into one SUBSCRIBE
	for i := range rules {
		rules[i] = bridge.InRule{Filter: fmt.Sprintf("f%d/+", i), QoS: 1}
	}
	for protocol, options := range map[string]packet.Options{
		"5":     1 | 1<<2 | 1<<3 | 1<<4, // No Local, Retain As Published, only if new
		"3.1.1": 1,
	} {
		t.Run(protocol, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newInWorld(t, func(c *bridge.Config) { c.In, c.Protocol = rules, protocol })
				w.start()
				after(time.Second)
				check := func() {
					t.Helper()
					got := w.up.Filters("gw-1")
					if len(got) != 20 || got["f7/+"] != options {
						t.Errorf("subscribed: %v", got)
					}
				}
				check()
				w.net.Cut()
				after(10 * time.Millisecond)
				w.up.Wipe()
				after(10 * time.Second)
				check()
				w.end()
			})
		})
	}
}

func TestSubscriptionRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newInWorld(t, func(c *bridge.Config) {
			c.In = []bridge.InRule{{Filter: "yes"}, {Filter: "no"}}
		})
		w.up.Quirks.Subscribe = func(f string) packet.Reason {
			if f == "no" {
				return packet.NotAuthorized
			}
			return 0
		}
		w.start()
		after(time.Second)
		w.wantState("connected", "the upstream refused the subscription no: Not authorized")
		w.up.Publish("yes", "x", 0, nil)
		after(time.Second)
		w.wantAccepted("x")
		w.end()
	})
}

func TestInLoops(t *testing.T) {
	hops := func(n string) *packet.Properties {
		return &packet.Properties{User: []packet.UserProperty{{Name: []byte("weir-hops"), Value: []byte(n)}}}
	}
	id := func(s string) *packet.Properties {
		return &packet.Properties{User: []packet.UserProperty{{Name: []byte("weir-id"), Value: []byte(s)}}}
	}
	synctest.Test(t, func(t *testing.T) {
		w := newInWorld(t, nil)
		w.start()
		after(time.Second)
		for i, p := range []*packet.Properties{hops("7"), hops("8"), hops("999"), hops("x"), id("gw/17"), id("gw2/17"), nil} {
			w.up.Publish("cmd/a", fmt.Sprint(i), byte(i%3), p)
		}
		after(time.Second)
		w.wantAccepted("0", "5", "6")
		if n := w.bridge.Status().Rules[0].Dropped[core.DroppedLoop]; n != 4 {
			t.Errorf("%d counted as loops", n)
		}
		if n := w.up.Undelivered(); n != 0 {
			t.Errorf("%d without acknowledgement", n)
		}
		w.end()
	})
}

// Nothing is acknowledged before the promise holds.
func TestInWaitsForThePromise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newInWorld(t, nil)
		w.local.SyncTime = time.Minute
		w.start()
		after(10 * time.Millisecond)
		w.up.Publish("cmd/a", "1", 1, nil)
		w.up.Publish("cmd/a", "2", 2, nil)
		after(59 * time.Second)
		if n := w.up.Undelivered(); n != 2 {
			t.Errorf("%d without acknowledgement, want 2", n)
		}
		after(time.Minute + time.Second) // the second sync is that of the release
		if n := w.up.Undelivered(); n != 0 {
			t.Errorf("%d without acknowledgement", n)
		}
		w.wantAccepted("1", "2")
		w.end()
	})
}

func TestInWhileTheStoreIsFull(t *testing.T) {
	for _, tc := range []struct {
		protocol string
		want     []string // at the end
	}{
		{"5", []string{"later"}},                    // refused with 0x97, and that is the end of it
		{"3.1.1", []string{"1", "2", "0", "later"}}, // not acknowledged, so it comes again
	} {
		t.Run(tc.protocol, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newInWorld(t, func(c *bridge.Config) { c.Protocol = tc.protocol })
				w.start()
				after(time.Second)
				w.local.Refuse(core.ErrFull)
				w.up.Publish("cmd/a", "1", 1, nil)
				w.up.Publish("cmd/a", "2", 2, nil)
				after(time.Second)
				w.wantAccepted()
				w.local.Refuse(nil)
				if tc.protocol == "3.1.1" {
					w.up.Publish("cmd/a", "0", 0, nil)
				}
				after(2 * time.Minute)
				w.up.Publish("cmd/a", "later", 2, nil)
				after(time.Second)
				got := map[string]bool{}
				for _, m := range w.local.Accepted() {
					got[string(m.Payload)] = true
				}
				if len(got) != len(tc.want) || !got["later"] {
					t.Errorf("brought in %v, want %v", got, tc.want)
				}
				if n := w.up.Undelivered(); n != 0 {
					t.Errorf("%d without acknowledgement", n)
				}
				if n := w.bridge.Status().Rules[0].Dropped[core.DroppedStoreFull]; n != 2 {
					t.Errorf("%d counted", n)
				}
				w.end()
			})
		})
	}
}

func TestInvalidHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newInWorld(t, nil)
		w.start()
		after(time.Second)
		w.local.Refuse(core.ErrInvalid)
		w.up.Publish("cmd/a", "1", 1, nil)
		w.up.Publish("cmd/a", "2", 2, nil)
		after(time.Second)
		w.local.Refuse(nil)
		w.up.Publish("cmd/a", "3", 2, nil)
		after(time.Second)
		w.wantAccepted("3")
		if n := w.up.Undelivered(); n != 0 {
			t.Errorf("%d without acknowledgement", n)
		}
		w.end()
	})
}

// What the bridge has subscribed to in an older configuration still comes; it is
// acknowledged and goes nowhere.
func TestOldSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newInWorld(t, nil)
		w.start()
		after(time.Second)
		w.stop()
		w.cfg.In = []bridge.InRule{{Filter: "new"}}
		w.start()
		after(time.Second)
		for qos := range byte(3) {
			w.up.Publish("cmd/a", "x", qos, nil)
		}
		after(time.Second)
		w.wantAccepted()
		if n := w.up.Undelivered(); n != 0 {
			t.Errorf("%d without acknowledgement", n)
		}
		w.end()
	})
}

// The store fails while a packet id or a release is to be recorded: the
// connection ends, nothing is sent that must not be, and it goes on later.
func TestRecordFails(t *testing.T) {
	for _, when := range []string{"packet id", "release"} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				fail := func() { w.local.FailRecords(errors.New("disk is gone")) }
				if when == "release" {
					w.up.Quirks.Publish = func(bridgetest.Received) bridgetest.Reaction {
						fail()
						return bridgetest.Reaction{}
					}
				}
				w.start()
				after(time.Second)
				if when == "packet id" {
					fail()
				}
				w.put(2, "a", "x")
				after(time.Second)
				if s := w.bridge.Status(); s.State == "connected" {
					t.Errorf("status %+v", s)
				}
				w.up.Change(func(q *bridgetest.Quirks) { q.Publish = nil })
				w.local.FailRecords(nil)
				after(time.Minute)
				w.wantPayloads("x")
				w.wantOwed(0)
				w.wantState("connected", "")
				if n := len(w.local.Outgoing()); n != 0 {
					t.Errorf("%d packet ids are left on record", n)
				}
				w.end()
			})
		})
	}
}

// Copies of a message that come over two links while the first is on its way to the
// disk: it is taken once, and none is acknowledged before it is durable.
func TestInCopies(t *testing.T) {
	for qos := range byte(3) {
		t.Run(fmt.Sprint("qos=", qos), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seen := bridge.NewSeen()
				share := func(c *bridge.Config) { c.Seen = seen }
				a, b := newInWorld(t, share), newInWorld(t, share)
				a.local.SyncTime, b.local.SyncTime = time.Minute, time.Minute
				a.start()
				b.start()
				after(10 * time.Millisecond)
				id := &packet.Properties{User: []packet.UserProperty{{Name: []byte("weir-id"), Value: []byte("other/7")}}}
				a.up.Publish("cmd/a", "x", qos, id)
				after(time.Second)
				b.up.Publish("cmd/a", "x", qos, id)
				after(50 * time.Second)
				if n := b.up.Undelivered(); n != min(int(qos), 1) {
					t.Errorf("%d copies without acknowledgement before the first is durable", n)
				}
				after(5 * time.Minute)
				if n := a.up.Undelivered() + b.up.Undelivered(); n != 0 {
					t.Errorf("%d without acknowledgement", n)
				}
				a.wantAccepted("x")
				b.wantAccepted()
				if n := b.bridge.Status().Rules[0].Dropped[core.DroppedLoop]; n != 1 {
					t.Errorf("%d counted as loops", n)
				}
				a.end()
				b.end()
			})
		})
	}
}

// TestRuleTaken: when a rule is taken out at work the upstream is told, on whatever
// connection it answers, and sends no more of it.
func TestRuleTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newInWorld(t, func(c *bridge.Config) {
			c.In = append(c.In, bridge.InRule{Filter: "conf/#", QoS: 1}, bridge.InRule{Filter: "old/#", QoS: 1})
		})
		w.start()
		after(time.Second)
		w.stop()
		old := w.bridge
		w.cfg.In = w.cfg.In[:2]
		w.startAs(old)
		w.cfg.In = w.cfg.In[:1] // again, before it has connected
		w.stop()
		w.startAs(w.bridge)
		after(5 * time.Second)
		for _, name := range []string{"cmd/a", "conf/a", "old/a"} {
			w.up.Publish(name, name, 1, nil)
		}
		after(time.Second)
		w.wantAccepted("cmd/a")
		if n := w.up.Undelivered(); n != 0 {
			t.Errorf("the upstream still has %d messages", n)
		}
		if got := w.up.Filters("gw-1"); len(got) != 1 || got["cmd/#"] == 0 {
			t.Errorf("the upstream is asked for %v", got)
		}
		w.end()
	})
}

// TestAliasFromTheUpstream: one that gives us an alias, which we do not take, is told
// so. Its message must not pass for one that no rule asks for, and be acknowledged.
func TestAliasFromTheUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newInWorld(t, func(c *bridge.Config) { c.In[0].Filter = "#" })
		w.start()
		after(time.Second)
		w.up.Publish("", "x", 1, &packet.Properties{TopicAlias: new(uint16(1))})
		after(time.Second)
		if s := w.bridge.Status(); !strings.Contains(s.Error, "a topic alias from the upstream") || w.up.Undelivered() != 1 {
			t.Errorf("%s: %s; %d messages kept there", s.State, s.Error, w.up.Undelivered())
		}
		w.end()
	})
}
