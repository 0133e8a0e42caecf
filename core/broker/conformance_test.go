package broker_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

// Statements that no other test is about; see TestStatements.

func TestWillIsNotRetained(t *testing.T) { // [MQTT-3.1.2-14] [MQTT-3.1.3-10]
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		r, c, plain := s.Pipe(), s.Pipe(), s.Pipe()
		r.Connect(clean("r"))
		r.Subscribe("#", 8)
		plain.Connect(clean("without a will"))
		plain.Close() // [MQTT-3.1.2-12] of 3.1.1
		hello := clean("c")
		user := []packet.UserProperty{{Name: []byte("b"), Value: []byte("1")}, {Name: []byte("a"), Value: []byte("2")}, {Name: []byte("b"), Value: []byte("0")}}
		hello.Will = &packet.Will{Topic: []byte("will"), Payload: []byte("x"), Properties: &packet.Properties{User: user}}
		c.Connect(hello)
		c.Close()
		m := r.Receive("will", "x")
		if m.Retain || fmt.Sprint(m.Properties.User) != fmt.Sprint(user) {
			t.Errorf("got %s with %v", brokertest.Show(m), m.Properties.User)
		}
		r.ExpectNothing()
		if n := s.Status().Retained; n != 0 {
			t.Errorf("%d retained", n)
		}
	})
}

func TestNoAliases(t *testing.T) { // [MQTT-3.1.2-27]
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		c := s.Pipe()
		c.Connect(clean("c"))
		c.Subscribe("t", 0)
		for range 3 {
			c.Publish("t", "x", 0)
			if m := c.Receive("t", "x"); m.Properties != nil {
				t.Errorf("properties %+v", m.Properties)
			}
		}
	})
}

// TestUnsubscribeInFlight: what is on its way when its subscription ends is brought
// to its end [MQTT-3.10.4-3], and nothing new comes.
func TestUnsubscribeInFlight(t *testing.T) {
	for _, v := range []packet.Version{packet.V311, packet.V5} {
		for qos := byte(1); qos <= 2; qos++ {
			in(t, broker.Config{Limits: broker.Limits{MaxInflight: 1}}, func(t *testing.T, s *brokertest.Server) {
				p, r := s.Pipe(), s.Pipe()
				p.Connect(clean("p"))
				r.Connect(packet.Connect{Version: v, ClientID: []byte("r")})
				r.Subscribe("t", packet.Options(qos))
				p.Send(&packet.Publish{Topic: []byte("t"), Payload: []byte("1"), QoS: qos, PacketID: 1})
				p.Send(&packet.Publish{Topic: []byte("t"), Payload: []byte("2"), QoS: qos, PacketID: 2})
				first := r.NextPublish()
				synctest.Wait()
				r.Send(&packet.Unsubscribe{PacketID: 9, Filters: [][]byte{[]byte("t")}})
				if _, ok := r.Next().(*packet.Unsuback); !ok {
					t.Fatal("no UNSUBACK")
				}
				p.Send(&packet.Publish{Topic: []byte("t"), Payload: []byte("3")})
				r.Acknowledge(first)
				r.Receive("t", "2")
				r.ExpectNothing()
			})
		}
	}
}

// TestRefusedByReceiver: what a receiver refused is not sent again [MQTT-4.4.0-2].
func TestRefusedByReceiver(t *testing.T) {
	for qos, kind := range map[byte]packet.Type{1: packet.PUBACK, 2: packet.PUBREC} {
		in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
			p, r := s.Pipe(), s.Pipe()
			p.Connect(clean("p"))
			r.Connect(durable("r"))
			r.Subscribe("t", packet.Options(qos))
			p.Send(&packet.Publish{Topic: []byte("t"), QoS: qos, PacketID: 1})
			m := r.NextPublish()
			r.Send(&packet.Ack{Kind: kind, PacketID: m.PacketID, Reason: packet.QuotaExceeded})
			r.ExpectNothing()
			r.Close()
			r = s.Pipe()
			r.Connect(durable("r"))
			r.ExpectNothing()
		})
	}
}

func TestDupIsNotPassedOn(t *testing.T) { // [MQTT-3.3.1-3]
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		p, r := s.Pipe(), s.Pipe()
		p.Connect(clean("p"))
		r.Connect(clean("r"))
		r.Subscribe("t", 2)
		for qos := byte(1); qos <= 2; qos++ {
			p.Send(&packet.Publish{Dup: true, Topic: []byte("t"), QoS: qos, PacketID: uint16(qos)})
			if m := r.Receive("t", ""); m.Dup {
				t.Errorf("got %s", brokertest.Show(m))
			}
		}
	})
}

// TestNoNormalising: topics are compared byte by byte [MQTT-4.7.3-4]: case, empty
// levels, and two spellings of one letter are all different.
func TestNoNormalising(t *testing.T) {
	names := []string{"a/b", "A/b", "a/b/", "/a/b", "a//b", "a/b ", "caf\u00e9", "cafe\u0301"}
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		for i, filter := range names {
			c := s.Pipe()
			c.Connect(clean(fmt.Sprint(i)))
			c.Subscribe(filter, 0)
			for _, name := range names {
				c.Publish(name, "", 0)
			}
			c.Receive(filter, "")
			c.ExpectNothing()
		}
	})
}

func TestShortClientIDs(t *testing.T) { // [MQTT-3.1.3-5]
	const letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for _, v := range []packet.Version{packet.V31, packet.V311, packet.V5} {
		in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
			for n := 1; n <= 23; n++ {
				c := s.Pipe()
				c.Connect(packet.Connect{Version: v, CleanStart: true, ClientID: []byte(letters[n : n+n])})
				c.Close()
			}
			for i := range letters {
				c := s.Pipe()
				c.Connect(packet.Connect{Version: v, CleanStart: true, ClientID: []byte(letters[i : i+1])})
				c.Close()
			}
		})
	}
}

// TestNothingAfterRefusal: what follows a CONNECT that was refused is not looked
// at [MQTT-3.1.4-6].
func TestNothingAfterRefusal(t *testing.T) {
	for _, v := range []packet.Version{packet.V311, packet.V5} {
		in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
			r, c := s.Pipe(), s.Pipe()
			r.Connect(clean("r"))
			r.Subscribe("#", 0)
			c.Speak(v)
			bad := packet.Connect{Version: v, CleanStart: true, ClientID: []byte(strings.Repeat("x", 2000))}
			c.Send(&bad, &packet.Publish{Topic: []byte("t")}, &packet.Pingreq{})
			if _, ok := c.Next().(*packet.Connack); !ok {
				t.Error("no CONNACK")
			}
			c.ExpectClosed()
			r.ExpectNothing()
		})
	}
}

func TestPing(t *testing.T) { // [MQTT-3.12.4-1]
	for _, v := range []packet.Version{packet.V31, packet.V311, packet.V5} {
		in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
			c := s.Pipe()
			c.Connect(packet.Connect{Version: v, CleanStart: true, ClientID: []byte("c")})
			for range 3 {
				c.Send(&packet.Pingreq{})
				c.Expect(&packet.Pingresp{})
			}
			c.ExpectNothing()
		})
	}
}

func TestMethodlessClient(t *testing.T) { // [MQTT-4.12.0-6]
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		c := s.Pipe()
		if p := c.Connect(clean("c")).Properties; p.AuthMethod != nil || p.AuthData != nil {
			t.Errorf("%+v", p)
		}
	})
}

// TestNoReasonStrings: a client that takes only the smallest packets, and wants no
// problem information, gets every answer all the same.
func TestNoReasonStrings(t *testing.T) {
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		c := s.Pipe()
		hello := clean("c")
		hello.Properties = &packet.Properties{RequestProblemInfo: new(byte(0)), MaximumPacketSize: new(uint32(24))}
		if ack := c.Connect(hello); ack.Size(packet.V5) > 24 || ack.Properties.ReasonString != nil {
			t.Errorf("CONNACK of %d bytes, %+v", ack.Size(packet.V5), ack.Properties)
		}
		c.Send(&packet.Subscribe{PacketID: 1, Filters: []packet.Filter{{Filter: []byte("a/#/b")}}})
		c.Expect(&packet.Suback{PacketID: 1, Reasons: []packet.Reason{packet.TopicFilterInvalid}})
		c.Send(&packet.Unsubscribe{PacketID: 2, Filters: [][]byte{[]byte("a")}})
		c.Expect(&packet.Unsuback{PacketID: 2, Reasons: []packet.Reason{packet.NoSubscriptionExisted}})
		c.Send(&packet.Publish{Topic: []byte("$x"), QoS: 1, PacketID: 3})
		c.Expect(&packet.Ack{Kind: packet.PUBACK, PacketID: 3, Reason: packet.NotAuthorized})
		c.Send(&packet.Publish{Topic: []byte("$x"), QoS: 2, PacketID: 4})
		c.Expect(&packet.Ack{Kind: packet.PUBREC, PacketID: 4, Reason: packet.NotAuthorized})
		c.Write(0xF0, 0)
		c.ExpectReason(packet.ProtocolError)
	})
}
