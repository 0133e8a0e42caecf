package bridge_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/bridge/bridgetest"
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

// TestPasswordRotated: a password that is changed in its file and at the upstream works
// at the next connection; while the file is empty or away the one before does.
func TestPasswordRotated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "secret")
		write := func(text string) {
			t.Helper()
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		w := newWorld(t, func(c *bridge.Config) { c.Username, c.Password, c.PasswordFile = "me", "one", file })
		password := "one"
		w.up.Quirks.Refuse = func(c *packet.Connect) packet.Reason {
			if string(c.Password) != password {
				return packet.BadUserNameOrPassword
			}
			return packet.Success
		}
		write("")
		w.start()
		after(time.Second)
		w.wantState("connected", "")
		w.up.Change(func(*bridgetest.Quirks) { password = "two" })
		w.up.Kick(packet.Success)
		after(time.Minute)
		if s := w.bridge.Status(); s.State != "refused" {
			t.Errorf("state %s", s.State)
		}
		write("two\n")
		after(3 * time.Minute)
		w.wantState("connected", "")
		w.end()
	})
}
