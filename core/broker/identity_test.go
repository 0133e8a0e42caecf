package broker_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

// as is a CONNECT of a user to a durable session.
func as(v packet.Version, user, password, clientID string, clean bool) packet.Connect {
	p := packet.Connect{
		Version: v, ClientID: []byte(clientID), CleanStart: clean,
		HasUsername: true, Username: []byte(user), HasPassword: true, Password: []byte(password),
	}
	if v == packet.V5 {
		p.Properties = &packet.Properties{SessionExpiry: new(uint32(3600))}
	}
	return p
}

// refusedWith is the reason as it is told to a version.
func refusedWith(v packet.Version, r packet.Reason) packet.Reason {
	if v < packet.V5 {
		return r.V3()
	}
	return r
}

// bothVersions runs a test of two users' sessions in 3.1.1 and in 5.0.
func bothVersions(t *testing.T, f func(t *testing.T, s *brokertest.Server, v packet.Version)) {
	t.Helper()
	for v, name := range map[packet.Version]string{packet.V311: "3.1.1", packet.V5: "5.0"} {
		t.Run(name, func(t *testing.T) {
			in(t, broker.Config{Auth: users{"alice": "secret", "bob": "secret"}}, func(t *testing.T, s *brokertest.Server) { f(t, s, v) })
		})
	}
}

// record is all that the store keeps of the state.
func record(t *testing.T, s *brokertest.Server) (changes []string) {
	t.Helper()
	s.Store.Commit()
	synctest.Wait()
	if err := s.Store.Load(func(c core.Change) { changes = append(changes, fmt.Sprintf("%T %+v", c, c)) }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(changes)
	return changes
}

// TestSessionOfAnother: neither another user, nor somebody who does not know the
// password, sees, takes over or ends a session by its client id. C9, C10.
func TestSessionOfAnother(t *testing.T) {
	for name, tc := range map[string]struct {
		user, password string
		want           packet.Reason
	}{
		"C9 another user":    {"bob", "secret", packet.NotAuthorized},
		"C10 wrong password": {"alice", "wrong", packet.BadUserNameOrPassword},
		"C10 unknown user":   {"eve", "secret", packet.BadUserNameOrPassword},
	} {
		for _, connected := range []bool{true, false} {
			for _, clean := range []bool{false, true} {
				t.Run(name+choose(connected, ", connected", ", away")+choose(clean, ", clean", ""), func(t *testing.T) {
					bothVersions(t, func(t *testing.T, s *brokertest.Server, v packet.Version) {
						alice := s.Pipe()
						alice.Connect(as(v, "alice", "secret", "shared", false))
						alice.Subscribe("t", 1)
						if !connected {
							alice.Close()
							synctest.Wait()
							p := s.Pipe()
							p.Connect(as(v, "bob", "secret", "p", true))
							p.Publish("t", "kept", 1)
							p.Send(&packet.Disconnect{})
							p.ExpectClosed()
						}
						before, state := s.Clients(), record(t, s)
						other := s.Pipe()
						if ack := other.TryConnect(as(v, tc.user, tc.password, "shared", clean)); ack.Reason != refusedWith(v, tc.want) || ack.SessionPresent {
							t.Errorf("got %+v", ack)
						}
						other.ExpectClosed()
						if diff := cmp.Diff(before, s.Clients()); diff != "" {
							t.Error("the session is another one: " + diff)
						}
						if diff := cmp.Diff(state, record(t, s)); diff != "" {
							t.Error("its record is another one: " + diff)
						}
						if !connected {
							alice = s.Pipe()
							if ack := alice.Connect(as(v, "alice", "secret", "shared", false)); !ack.SessionPresent {
								t.Error("the session is gone")
							}
							alice.Receive("t", "kept")
						}
						alice.Publish("t", "x", 0)
						alice.Receive("t", "x")
						alice.ExpectNothing()
					})
				})
			}
		}
	}
}

func choose(ok bool, yes, no string) string {
	if ok {
		return yes
	}
	return no
}

// TestOwnTakeoverC11: the owner of a session may come twice; then the first connection
// ends, and what it has acknowledged does not come again. C11.
func TestOwnTakeoverC11(t *testing.T) {
	bothVersions(t, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		p, first, second := s.Pipe(), s.Pipe(), s.Pipe()
		p.Connect(as(v, "bob", "secret", "p", true))
		first.Connect(as(v, "alice", "secret", "c", false))
		first.Subscribe("t", 1)
		p.Publish("t", "acknowledged", 0)
		first.Receive("t", "acknowledged")
		p.PublishPacket(packet.Publish{Topic: []byte("t"), Payload: []byte("acknowledged, too"), QoS: 1})
		first.Receive("t", "acknowledged, too")
		first.ExpectNothing() // it has come
		p.Send(&packet.Publish{Topic: []byte("t"), Payload: []byte("not acknowledged"), QoS: 1, PacketID: 900})
		if m := first.NextPublish(); string(m.Payload) != "not acknowledged" {
			t.Fatal(brokertest.Show(m))
		}
		if ack := second.Connect(as(v, "alice", "secret", "c", false)); !ack.SessionPresent {
			t.Error("the session is gone")
		}
		first.ExpectReason(packet.SessionTakenOver)
		if m := second.Receive("t", "not acknowledged"); !m.Dup {
			t.Error("not marked as sent before")
		}
		second.ExpectNothing()
	})
}

// TestNoPassword: C12, as the protocol lets it be said. (What the authenticator makes
// of an empty password is its own test.)
func TestNoPassword(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(p *packet.Connect)
		want   packet.Reason
	}{
		"C12 no password":           {func(p *packet.Connect) { p.HasPassword, p.Password = false, nil }, packet.BadUserNameOrPassword},
		"C12 empty password":        {func(p *packet.Connect) { p.Password = nil }, packet.BadUserNameOrPassword},
		"C12 empty name, no passwd": {func(p *packet.Connect) { p.HasPassword, p.Password, p.Username = false, nil, nil }, packet.BadUserNameOrPassword},
	} {
		t.Run(name, func(t *testing.T) {
			bothVersions(t, func(t *testing.T, s *brokertest.Server, v packet.Version) {
				p := as(v, "alice", "secret", "c", true)
				tc.change(&p)
				c := s.Pipe()
				if ack := c.TryConnect(p); ack.Reason != refusedWith(v, tc.want) {
					t.Errorf("got %+v", ack)
				}
				c.ExpectClosed()
				if n := len(s.Clients()); n != 0 {
					t.Errorf("%d sessions", n)
				}
			})
		})
	}
	t.Run("C12 NUL in the user", func(t *testing.T) { // malformed [MQTT-1.5.4-2]
		bothVersions(t, func(t *testing.T, s *brokertest.Server, v packet.Version) {
			c := s.Pipe()
			c.Speak(v)
			p := as(v, "ali\x00ce", "secret", "c", true)
			c.Send(&p)
			if v == packet.V5 {
				if ack, ok := c.Next().(*packet.Connack); !ok || ack.Reason != packet.MalformedPacket {
					t.Errorf("got %+v", ack)
				}
			}
			c.ExpectClosed()
		})
	})
}

// TestHostileClientIDsB15: a client id is data: it names a session and nothing else.
// C8 (what a rule makes of it is the rule's business), B15.
func TestHostileClientIDsB15(t *testing.T) {
	for _, id := range []string{"#", "+", "a/b", "-", "a/#", "$SYS/x", "../../x", "a:b", "__proto__", "a\r\nPUB x"} {
		t.Run(id, func(t *testing.T) {
			bothVersions(t, func(t *testing.T, s *brokertest.Server, v packet.Version) {
				listener := s.Pipe()
				listener.Connect(as(v, "bob", "secret", "listener", true))
				listener.Subscribe("#", 1)
				c := s.Pipe()
				c.Connect(as(v, "alice", "secret", id, false))
				c.Subscribe("mine", 1)
				c.Close()
				synctest.Wait()
				s = s.Crash() // the record of one session is not that of another
				c = s.Pipe()
				if ack := c.Connect(as(v, "alice", "secret", id, false)); !ack.SessionPresent {
					t.Error("the session is gone")
				}
				found := false
				for _, cl := range s.Clients() {
					found = found || cl.ClientID == id && cl.User == "alice" && cl.Subscriptions == 1
				}
				if !found {
					t.Errorf("not among %+v", s.Clients())
				}
				other := s.Pipe()
				if ack := other.TryConnect(as(v, "bob", "secret", id, true)); ack.Reason != refusedWith(v, packet.NotAuthorized) {
					t.Errorf("got %+v", ack)
				}
			})
		})
	}
}

// TestHostileUserNamesB15: so is a user name, wherever an authenticator has it from: it
// owns its sessions, and nobody else's, however it and the client id are put together.
// B15.
func TestHostileUserNamesB15(t *testing.T) {
	long := strings.Repeat("é", 120)
	auth := users{"a": "x", "a:b": "x", "__proto__": "x", "../../x": "x", "a\r\nPUB x": "x", "a\x1b[2J": "x", long: "x"}
	for v, version := range map[packet.Version]string{packet.V311: "3.1.1", packet.V5: "5.0"} {
		for user := range auth {
			t.Run(fmt.Sprintf("%.20q %s", user, version), func(t *testing.T) {
				in(t, broker.Config{Auth: auth}, func(t *testing.T, s *brokertest.Server) {
					ids := []string{"b:c", "c", user, "constructor"}
					for _, id := range ids {
						c := s.Pipe()
						c.Connect(as(v, user, "x", id, false))
						c.Subscribe("mine", 1)
						c.Close()
					}
					synctest.Wait()
					s = s.Crash() // the names are in the record
					for other := range auth {
						for _, id := range ids {
							if other != user {
								if ack := s.Pipe().TryConnect(as(v, other, "x", id, true)); ack.Reason != refusedWith(v, packet.NotAuthorized) {
									t.Errorf("%q at %q: %+v", other, id, ack)
								}
							}
						}
					}
					for _, cl := range s.Clients() {
						if cl.User != user || cl.Subscriptions != 1 || !slices.Contains(ids, cl.ClientID) {
							t.Errorf("%+v", cl)
						}
					}
					for _, id := range ids {
						if ack := s.Pipe().Connect(as(v, user, "x", id, false)); !ack.SessionPresent {
							t.Errorf("the session of %q is gone", id)
						}
					}
				})
			})
		}
	}
}
