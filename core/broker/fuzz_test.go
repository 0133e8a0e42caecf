package broker_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

// quiet keeps what a fuzzed client makes the broker say to itself.
type quiet struct{ testing.TB }

func (quiet) Log(...any)          {}
func (quiet) Logf(string, ...any) {}

// FuzzConversation lets a client send anything, from its first byte or behind a good
// CONNECT. Whatever it is, it is answered with what can be read, what it may not publish
// reaches nobody, and others are served.
func FuzzConversation(f *testing.F) {
	for _, v := range []packet.Version{packet.V311, packet.V5} {
		f.Add(byte(v), []byte{})
		for _, p := range []packet.Packet{
			&packet.Publish{Topic: []byte("t"), Payload: []byte("x"), QoS: 1, PacketID: 1, Retain: true},
			&packet.Publish{Topic: []byte("denied/t"), Payload: []byte("x"), QoS: 2, PacketID: 2},
			&packet.Subscribe{PacketID: 3, Filters: []packet.Filter{{Filter: []byte("#"), Options: 2}}},
			&packet.Subscribe{PacketID: 4, Filters: []packet.Filter{{Filter: []byte("$share/g/+/t"), Options: 1}}},
			&packet.Unsubscribe{PacketID: 5, Filters: [][]byte{[]byte("#")}},
			&packet.Ack{Kind: packet.PUBREL, PacketID: 2},
			&packet.Pingreq{}, &packet.Disconnect{},
		} {
			f.Add(byte(v), raw(p, v))
		}
	}
	hello := connect(packet.V5)
	hello.Will = &packet.Will{Topic: []byte("denied/will"), Payload: []byte("x")}
	f.Add(byte(0), raw(&hello, packet.V5))
	hello = connect(packet.V311)
	f.Add(byte(0), append(raw(&hello, packet.V311), raw(&packet.Subscribe{PacketID: 3, Filters: []packet.Filter{{Filter: []byte("#"), Options: 2}}}, packet.V311)...))
	f.Fuzz(func(t *testing.T, version byte, b []byte) {
		synctest.Test(t, func(t *testing.T) { converse(t, packet.Version(version), b) })
	})
}

func converse(t *testing.T, v packet.Version, b []byte) {
	s := brokertest.Start(quiet{t}, broker.Config{Access: denies("denied/")})
	witness := s.Pipe()
	witness.Connect(packet.Connect{CleanStart: true, ClientID: []byte("witness")})
	witness.Subscribe("#", 0)
	if v == packet.V311 || v == packet.V5 {
		c := s.Pipe()
		c.Connect(connect(v))
		c.Write(b...)
		synctest.Wait()
		c.Close()
	} else {
		near, far := net.Pipe()
		go s.Serve(far, "test")
		go io.Copy(io.Discard, near)
		near.Write(b) // what is not wanted any more is no error
		synctest.Wait()
		near.Close()
	}
	synctest.Wait()
	for p, ok := witness.Poll(); ok; p, ok = witness.Poll() {
		m, is := p.(*packet.Publish)
		if !is {
			t.Fatalf("the witness got %s", brokertest.Show(p))
		}
		if name := string(m.Topic); strings.HasPrefix(name, "denied/") || strings.HasPrefix(name, "$") {
			t.Fatalf("the witness got %s", brokertest.Show(p))
		}
	}
	s.Pipe().Connect(packet.Connect{CleanStart: true})
}

// denies is an authorizer that keeps everybody from publishing below a prefix.
type denies string

func (d denies) Rights(broker.Principal) broker.Rights { return d }

func (d denies) May(do broker.Access, topic string) bool {
	return do != broker.Publish || !strings.HasPrefix(topic, string(d))
}
