package broker_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/access"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

// ruled makes rules of lines such as "anna deny a/secret" or "* publish a/#".
func ruled(t testing.TB, lines ...string) *access.Rules {
	t.Helper()
	var list []access.Rule
	for i, line := range lines {
		f := strings.Fields(line)
		r := access.Rule{Where: fmt.Sprint(i + 1), Topics: f[2:]}
		if f[0] != "*" {
			r.ClientIDs = f[:1]
		}
		r.Deny = f[1] == "deny"
		r.Publish = f[1] != "subscribe"
		r.Subscribe = f[1] != "publish"
		list = append(list, r)
	}
	rules, err := access.New(list, nil)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// onBoth runs a test on MQTT 3.1.1 and 5.
func onBoth(t *testing.T, name string, cfg broker.Config, f func(t *testing.T, s *brokertest.Server, v packet.Version)) {
	t.Helper()
	for _, v := range []packet.Version{packet.V311, packet.V5} {
		t.Run(fmt.Sprintf("%s, MQTT %s", name, map[packet.Version]string{packet.V311: "3.1.1", packet.V5: "5"}[v]), func(t *testing.T) {
			in(t, cfg, func(t *testing.T, s *brokertest.Server) { f(t, s, v) })
		})
	}
}

// lasting is the CONNECT of a session that outlives its connection.
func lasting(v packet.Version, id string) packet.Connect {
	p := packet.Connect{Version: v, ClientID: []byte(id)}
	if v >= packet.V5 {
		p.Properties = &packet.Properties{SessionExpiry: new(uint32(3600))}
	}
	return p
}

func join(s *brokertest.Server, p packet.Connect) *brokertest.Client {
	c := s.Pipe()
	c.Connect(p)
	return c
}

// authorize replaces the rules and waits until they hold.
func authorize(s *brokertest.Server, rules broker.Authorizer) {
	s.Authorize(rules)
	synctest.Wait()
}

var secret = []string{"reader deny a/secret", "reader subscribe a/#", "writer publish #"}

func TestDeniedReads(t *testing.T) {
	for _, filter := range []string{"#", "a/#", "+/secret", "a/+", "$share/g/#", "$share/g/a/+"} {
		row := "C1 "
		if strings.HasPrefix(filter, "$share") {
			row = "C2 "
		}
		onBoth(t, row+filter, broker.Config{Access: ruled(t, secret...)}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
			r, w := join(s, lasting(v, "reader")), join(s, lasting(v, "writer"))
			r.AcknowledgeAll()
			r.Subscribe(filter, 2)
			for qos := range byte(3) {
				w.Publish("a/secret", "x", qos)
				w.Publish("other/secret", "x", qos)
			}
			s.Publish(&core.Message{Topic: "a/secret", QoS: 1})
			r.ExpectNothing()
			if filter != "+/secret" {
				w.Publish("a/open", "y", 1)
				r.Receive("a/open", "y")
			}
			if owed := s.Buffer().Messages; !strings.HasPrefix(filter, "$share") && owed > 0 {
				t.Errorf("%d messages are kept for who may not have them", owed)
			}
		})
	}
}

func TestRetainedIsDenied(t *testing.T) {
	onBoth(t, "C3", broker.Config{Access: ruled(t, secret...)}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		w := join(s, lasting(v, "writer"))
		for _, name := range []string{"a/open", "a/secret", "b"} {
			w.PublishPacket(packet.Publish{Topic: []byte(name), Payload: []byte("x"), QoS: 1, Retain: true})
		}
		r := join(s, lasting(v, "reader"))
		r.AcknowledgeAll()
		r.Subscribe("#", 1)
		r.Receive("a/open", "x")
		r.ExpectNothing()
		// What a publisher left when it was allowed stays after its rights have gone.
		authorize(s, ruled(t, "reader subscribe #"))
		r.Subscribe("a/+", 1)
		r.Receive("a/open", "x")
		r.Receive("a/secret", "x")
	})
}

func TestWillIsDenied(t *testing.T) {
	will := func(v packet.Version) packet.Connect {
		p := lasting(v, "dying")
		p.Will = &packet.Will{Topic: []byte("w"), Payload: []byte("gone"), QoS: 1}
		return p
	}
	onBoth(t, "C4 at CONNECT", broker.Config{Access: ruled(t, "dying deny w", "* publish #")}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		want := packet.NotAuthorized
		if v < packet.V5 {
			want = packet.V3NotAuthorized
		}
		if ack := s.Pipe().TryConnect(will(v)); ack.Reason != want {
			t.Errorf("got %s", ack.Reason)
		}
	})
	onBoth(t, "C4 when it is due", broker.Config{Access: ruled(t, "* allow #")}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		r := join(s, lasting(v, "reader"))
		r.Subscribe("#", 0)
		c := join(s, will(v))
		authorize(s, ruled(t, "dying deny w", "* allow #"))
		c.Close()
		r.ExpectNothing()
		if n := s.Status().Dropped[core.DroppedDenied]; n != 1 {
			t.Errorf("%d denied", n)
		}
	})
}

func TestRevokedWhileAway(t *testing.T) {
	onBoth(t, "C5", broker.Config{Access: ruled(t, "* allow #")}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		r := join(s, lasting(v, "reader"))
		r.Subscribe("a/#", 2)
		r.Close()
		w := join(s, lasting(v, "writer"))
		for i := range 100 {
			w.Publish("a/x", fmt.Sprint(i), byte(i%2+1))
		}
		authorize(s, ruled(t, "reader deny a/x", "* allow #"))
		r = s.Pipe()
		if ack := r.Connect(lasting(v, "reader")); !ack.SessionPresent {
			t.Error("the session is gone")
		}
		r.ExpectNothing()
		w.Publish("a/y", "still", 1)
		r.Receive("a/y", "still")
		for _, c := range s.Clients() {
			if c.ClientID == "reader" && c.Dropped[core.DroppedDenied] != 100 {
				t.Errorf("%d denied", c.Dropped[core.DroppedDenied])
			}
		}
	})
}

// TestRevokedInFlight: what was sent and not acknowledged is not sent again.
func TestRevokedInFlight(t *testing.T) {
	onBoth(t, "C5 in flight", broker.Config{Access: ruled(t, "* allow #")}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		r := join(s, lasting(v, "reader"))
		r.Subscribe("a/#", 2)
		w := join(s, lasting(v, "writer"))
		w.Publish("a/x", "1", 1)
		w.Publish("a/x", "2", 2)
		r.Receive("a/x", "1")
		r.Receive("a/x", "2")
		r.Close()
		authorize(s, ruled(t, "reader deny a/x", "* allow #"))
		r = join(s, lasting(v, "reader"))
		r.ExpectNothing()
		for i := range 200 { // no packet id and no place in the window is lost
			w.Publish("a/y", fmt.Sprint(i), 2)
			m := r.NextPublish()
			r.Acknowledge(m)
		}
	})
}

func TestRevokedBeforeRelease(t *testing.T) {
	onBoth(t, "C6", broker.Config{Access: ruled(t, "* allow #")}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		r, w := join(s, lasting(v, "reader")), join(s, lasting(v, "writer"))
		r.AcknowledgeAll()
		r.Subscribe("#", 2)
		// It was published with its PUBREC, and that was allowed.
		send := func(dup bool) {
			w.Send(&packet.Publish{Topic: []byte("a/x"), Payload: []byte("1"), QoS: 2, PacketID: 5, Dup: dup})
			ack, ok := w.Next().(*packet.Ack)
			if !ok || ack.Kind != packet.PUBREC || ack.Reason.IsError() {
				t.Fatal("no PUBREC")
			}
		}
		send(false)
		r.Receive("a/x", "1")
		authorize(s, ruled(t, "writer deny a/x", "* allow #"))
		send(true) // and is not published again
		w.Send(&packet.Ack{Kind: packet.PUBREL, PacketID: 5})
		w.Expect(&packet.Ack{Kind: packet.PUBCOMP, PacketID: 5})
		r.ExpectNothing()
		w.Send(&packet.Publish{Topic: []byte("a/x"), Payload: []byte("2"), QoS: 2, PacketID: 6})
		ack := w.Next().(*packet.Ack)
		if want := v >= packet.V5; ack.Reason.IsError() != want {
			t.Errorf("got %s", ack.Reason)
		}
		r.ExpectNothing()
	})
}

func TestAliasOfDeniedTopic(t *testing.T) { // only MQTT 5 has aliases
	t.Run("C7", func(t *testing.T) {
		in(t, broker.Config{Access: ruled(t, "* deny a/secret", "* allow #")}, func(t *testing.T, s *brokertest.Server) {
			r, w := join(s, lasting(packet.V5, "reader")), join(s, lasting(packet.V5, "writer"))
			r.Subscribe("#", 0)
			pid := uint16(0)
			publish := func(name string, want packet.Reason) {
				t.Helper()
				pid++
				w.Send(&packet.Publish{Topic: []byte(name), QoS: 1, PacketID: pid, Properties: &packet.Properties{TopicAlias: new(uint16(1))}})
				w.Expect(&packet.Ack{Kind: packet.PUBACK, PacketID: pid, Reason: want})
			}
			publish("a/open", packet.Success)
			r.Receive("a/open", "")
			publish("a/secret", packet.NotAuthorized)
			publish("", packet.NotAuthorized)
			publish("a/open", packet.Success)
			publish("", packet.Success)
			r.Receive("a/open", "")
			r.Receive("a/open", "")
			r.ExpectNothing()
		})
	})
}

func TestSysIsDenied(t *testing.T) {
	onBoth(t, "C15", broker.Config{Access: ruled(t, "keeper allow $SYS/#", "* allow #")}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		c := join(s, lasting(v, "c"))
		want := packet.NotAuthorized
		if v < packet.V5 {
			want = packet.UnspecifiedError
		}
		for _, filter := range []string{"$SYS/#", "$SYS/broker/version", "$share/g/$SYS/#"} {
			c.Send(&packet.Subscribe{PacketID: 7, Filters: []packet.Filter{{Filter: []byte(filter)}}})
			c.Expect(&packet.Suback{PacketID: 7, Reasons: []packet.Reason{want}})
		}
		c.Subscribe("#", 0)
		c.Subscribe("+/#", 0)
		keeper := join(s, lasting(v, "keeper"))
		keeper.Subscribe("$SYS/broker/version", 0)
		keeper.NextPublish()
		c.ExpectNothing()
		authorize(s, ruled(t, "* allow #"))
		join(s, lasting(v, "somebody")).Close()
		keeper.Subscribe("x", 0)
		keeper.ExpectNothing()
	})
}

// TestGatewayStateIsDenied: what the gateway tells of itself goes the same way.
func TestGatewayStateIsDenied(t *testing.T) {
	onBoth(t, "C15 weir/", broker.Config{Access: ruled(t, "c deny weir/#", "* allow #")}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		c := join(s, lasting(v, "c"))
		c.Subscribe("#", 0)
		if err := s.Tell(&core.Message{Topic: "weir/gw/info", Payload: []byte("{}"), Retain: true}); err != nil {
			t.Fatal(err)
		}
		c.Subscribe("+/gw/#", 0)
		c.ExpectNothing()
		join(s, lasting(v, "d")).Subscribe("#", 0)
	})
}

func TestOwnTopicsFromInside(t *testing.T) {
	t.Run("C18", func(t *testing.T) {
		in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
			for _, name := range []string{"$SYS/x", "$CONTROL/x", "$share/g/t"} {
				var got error
				s.Accept(&core.Message{Topic: name}, nil, func(err error) { got = err })
				if err := s.Publish(&core.Message{Topic: name}); err == nil || got == nil {
					t.Errorf("%s: taken", name)
				}
			}
		})
	})
}

// TestReloadReachesSubscriptions: what has been subscribed to stays so, and brings
// what may be received now.
func TestReloadReachesSubscriptions(t *testing.T) {
	onBoth(t, "reload", broker.Config{Access: ruled(t, "* allow #")}, func(t *testing.T, s *brokertest.Server, v packet.Version) {
		r, w := join(s, lasting(v, "reader")), join(s, lasting(v, "writer"))
		r.Subscribe("a/x", 0)
		w.Publish("a/x", "1", 0)
		r.Receive("a/x", "1")
		authorize(s, ruled(t, "writer allow #"))
		w.Publish("a/x", "2", 0)
		r.ExpectNothing()
		authorize(s, ruled(t, "* allow #"))
		w.Publish("a/x", "3", 0)
		r.Receive("a/x", "3")
	})
}
