package bridge_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/bridge/bridgetest"
	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
)

func versions(u *bridgetest.Upstream) (out []packet.Version) {
	for _, c := range u.Connects() {
		out = append(out, c.Version)
	}
	return out
}

func TestProtocolFallback(t *testing.T) {
	refuseV5 := func(c *packet.Connect) packet.Reason {
		if c.Version == packet.V5 {
			return packet.UnsupportedProtocolVersion
		}
		return packet.Success
	}
	for _, tc := range []struct {
		name     string
		protocol string
		quirks   bridgetest.Quirks
		want     []packet.Version // the first two connections
		state    string
	}{
		{"5", "", bridgetest.Quirks{}, []packet.Version{5, 5}, "connected"},
		{"refused with 0x84", "", bridgetest.Quirks{Refuse: refuseV5}, []packet.Version{5, 4, 4}, "connected"},
		{"closed, which may pass", "", bridgetest.Quirks{CloseV5: true}, []packet.Version{5, 4, 5, 4}, "connected"},
		{"only 5", "5", bridgetest.Quirks{Refuse: refuseV5}, []packet.Version{5}, "refused"},
		{"only 3.1.1", "3.1.1", bridgetest.Quirks{}, []packet.Version{4, 4}, "connected"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *bridge.Config) { c.Protocol = tc.protocol })
				w.up.Quirks = tc.quirks
				w.start()
				after(time.Second)
				w.net.Cut()
				after(10 * time.Second)
				if diff := cmp.Diff(tc.want, versions(w.up)); diff != "" {
					t.Error(diff)
				}
				if s := w.bridge.Status(); s.State != tc.state {
					t.Errorf("state %s: %s", s.State, s.Error)
				}
				w.put(2, "a", "x")
				after(time.Second)
				if tc.state == "connected" {
					w.wantPayloads("x")
				}
				w.end()
			})
		})
	}
}

// A server of 3.1.1 refuses with its own return code, in its own form.
func TestFallbackAfterOldReturnCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		first := true
		w.net.Listen(address, func(c net.Conn) {
			if !first {
				w.up.Serve(c)
				return
			}
			first = false
			c.Read(make([]byte, 1024))
			c.Write([]byte{0x20, 2, 0, 1})
			c.Close()
		})
		w.start()
		after(100 * time.Millisecond)
		if s := w.bridge.Status(); s.State != "connected" || s.Protocol != "3.1.1" {
			t.Errorf("status %+v", s)
		}
		w.end()
	})
}

func TestRefused(t *testing.T) {
	for _, tc := range []struct {
		reason packet.Reason
		state  string
		text   string
		most   int // attempts in ten minutes
	}{
		{
			packet.BadUserNameOrPassword, "refused",
			"the upstream refused the connection: Bad User Name or Password (0x86): check username and password", 10,
		},
		{packet.NotAuthorized, "refused", "the upstream refused the connection: Not authorized (0x87)", 10},
		{packet.ServerBusy, "waiting", "the upstream refused the connection: Server busy (0x89)", 60},
	} {
		t.Run(tc.reason.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				w.up.Quirks.Refuse = func(*packet.Connect) packet.Reason { return tc.reason }
				w.start()
				after(time.Millisecond)
				w.wantState(tc.state, tc.text)
				after(10 * time.Minute)
				if n := len(w.up.Connects()); n < 4 || n > tc.most {
					t.Errorf("%d attempts in 10 minutes, want at most %d", n, tc.most)
				}
				w.up.Change(func(q *bridgetest.Quirks) { q.Refuse = nil })
				after(2 * time.Minute)
				w.wantState("connected", "")
				w.end()
			})
		})
	}
}

// The return codes of 3.1.1 slow the bridge down like those of MQTT 5.
func TestRefusedBefore5(t *testing.T) {
	for _, tc := range []struct {
		code  packet.Reason
		state string
		text  string
		most  int // attempts in ten minutes
	}{
		{packet.V3BadUserNameOrPassword, "refused", "the upstream refused the connection: Bad User Name or Password (0x86): check username and password", 10},
		{packet.V3NotAuthorized, "refused", "the upstream refused the connection: Not authorized (0x87)", 10},
		{packet.V3IdentifierRejected, "refused", "the upstream refused the connection: Client Identifier not valid (0x85): check client_id", 10},
		{packet.V3ServerUnavailable, "waiting", "the upstream refused the connection: Server unavailable (0x88)", 60},
	} {
		t.Run(fmt.Sprint(byte(tc.code)), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *bridge.Config) { c.Protocol = "3.1.1" })
				w.up.Quirks.Refuse = func(*packet.Connect) packet.Reason { return tc.code }
				w.start()
				after(time.Millisecond)
				w.wantState(tc.state, tc.text)
				after(10 * time.Minute)
				if n := len(w.up.Connects()); n < 4 || n > tc.most {
					t.Errorf("%d attempts in 10 minutes, want at most %d", n, tc.most)
				}
				w.end()
			})
		})
	}
}

// Two gateways with one client id throw each other out. That is said while connected,
// with how often, the attempts are far between, and it is forgotten when it is over.
func TestRivals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.start()
		for range 3 {
			after(2*time.Minute + time.Second) // the longest pause after a refusal
			w.up.Kick(packet.SessionTakenOver)
		}
		after(2*time.Minute + time.Second)
		s := w.bridge.Status()
		if s.State != "connected" || !strings.Contains(s.Error, "another client uses the same client_id: it has taken over our session 3 times") {
			t.Errorf("%s: %s", s.State, s.Error)
		}
		if n := len(w.up.Connects()); n != 4 {
			t.Errorf("%d connections", n)
		}
		after(10 * time.Minute)
		w.net.Cut()
		after(10 * time.Second)
		w.wantState("connected", "")
		w.end()
	})
}

// An upstream that does not say why it closes.
func TestRivalsUnnamed(t *testing.T) {
	const guess = "the upstream closes each connection soon after it was made: does another client use the same client_id?"
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *bridge.Config) { c.Backoff.Max = 2 * time.Second })
		w.start()
		for range 4 {
			after(5 * time.Second)
			w.wantState("connected", "")
			w.up.Kick(0)
		}
		after(time.Millisecond)
		w.wantState("waiting", guess)
		after(5 * time.Second)
		w.wantState("connected", guess)
		after(2 * time.Minute)
		w.up.Kick(0) // late: it is over
		after(5 * time.Second)
		w.wantState("connected", "")
		w.end()
	})
}

func TestNetworkErrors(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		want string
	}{
		{
			"no name", &net.DNSError{Err: "no such host", Name: "cloud", IsNotFound: true},
			"DNS does not know the name cloud",
		},
		{
			"no DNS", &net.DNSError{Err: "timeout", Name: "cloud", IsTimeout: true},
			"DNS gave no answer for cloud: is the network up?",
		},
		{
			"refused", &net.OpError{Op: "dial", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1883}, Err: syscall.ECONNREFUSED},
			"connection refused: no broker listens on 10.0.0.1:1883",
		},
		{"no route", &net.OpError{Op: "dial", Err: syscall.ENETUNREACH}, "no route to the upstream: is the network up?"},
		{"timeout", &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, "no answer from the upstream in time"},
		{"anything else", errors.New("bang"), "connect to cloud:1883: bang"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				w.net.Down(tc.err)
				w.start()
				after(time.Minute)
				w.wantState("waiting", tc.want)
				w.end()
			})
		})
	}
}

func TestConnectTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.net.Listen(address, func(c net.Conn) { // takes connections and says nothing
			for {
				if _, err := c.Read(make([]byte, 100)); err != nil {
					return
				}
			}
		})
		w.start()
		after(19999 * time.Millisecond)
		w.wantState("connecting", "")
		after(2 * time.Millisecond)
		w.wantState("waiting", "no answer from the upstream in time")
		w.end()
	})
}

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
		{0, "waiting", "the upstream closed the connection"},
	} {
		t.Run(tc.reason.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
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
