package broker_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
	"github.com/weir-edge/weir/core/packet"
)

// in runs a test in a bubble of its own, with a broker.
func in(t *testing.T, cfg broker.Config, f func(t *testing.T, s *brokertest.Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, brokertest.Start(t, cfg)) })
}

func connect(v packet.Version) packet.Connect {
	return packet.Connect{Version: v, CleanStart: true, ClientID: []byte("attacker")}
}

// raw is a packet as bytes.
func raw(p packet.Packet, v packet.Version) []byte { return p.AppendTo(nil, v) }

// alter copies b with one byte changed.
func alter(b []byte, at int, to byte) []byte {
	b = bytes.Clone(b)
	b[at] = to
	return b
}

func TestSilenceBeforeConnect(t *testing.T) {
	dribble := func(c *brokertest.Client) {
		c.Write(0x10)
		for range 4 {
			time.Sleep(time.Second)
			c.Write(0x80)
		}
	}
	for name, attack := range map[string]func(c *brokertest.Client){
		"A1 silence":           func(*brokertest.Client) {},
		"A2 one byte a second": dribble,
	} {
		t.Run(name, func(t *testing.T) {
			in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
				c := s.Pipe()
				start := time.Now()
				attack(c)
				c.ExpectClosed()
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("closed after %v", took)
				}
			})
		})
	}
}

func TestBeforeConnect(t *testing.T) {
	v311, v5 := connect(packet.V311), connect(packet.V5)
	long := v5
	long.ClientID = bytes.Repeat([]byte("x"), 2000)
	long311 := v311
	long311.ClientID = long.ClientID
	longest, many := v5, v5
	longest.ClientID = bytes.Repeat([]byte("x"), 65_535)
	longest.HasUsername, longest.Username = true, longest.ClientID
	longest.HasPassword, longest.Password = true, longest.ClientID
	longest311 := longest
	longest311.Version = packet.V311
	user, user311 := v5, v311 // as long as a CONNECT may be, of somebody who does not exist
	user.HasUsername, user.Username = true, bytes.Repeat([]byte("x"), 60_000)
	user311.HasUsername, user311.Username = true, user.Username
	many.Properties = &packet.Properties{}
	for range 10_000 {
		many.Properties.User = append(many.Properties.User, packet.UserProperty{Name: []byte("a"), Value: []byte("b")})
	}
	for name, tc := range map[string]struct {
		send []byte
		want packet.Packet // nil: closed without an answer
	}{
		"A3 announces 256 MiB":    {send: []byte{0x10, 0xFF, 0xFF, 0xFF, 0x7F}},
		"A4 PUBLISH first":        {send: raw(&packet.Publish{Topic: []byte("t")}, packet.V311)},
		"A4 PUBACK first":         {send: []byte{0x40, 2, 0, 1}},
		"A4 PINGREQ first":        {send: []byte{0xC0, 0}},
		"A4 AUTH first":           {send: []byte{0xF0, 0}},
		"A4 type 0":               {send: []byte{0, 0}},
		"A4 type 15":              {send: []byte{0xFF}},
		"A8 length of five bytes": {send: []byte{0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F}},
		"A9 client id beyond the end": {
			send: []byte{0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 5, 2, 0, 0, 0, 0xFF, 0xFF},
			want: &packet.Connack{Reason: packet.MalformedPacket},
		},
		"A9 properties beyond the end": {
			send: []byte{0x10, 12, 0, 4, 'M', 'Q', 'T', 'T', 5, 2, 0, 0, 0x7F, 0},
			want: &packet.Connack{Reason: packet.MalformedPacket},
		},
		"A10 long client id":      {send: raw(&long, packet.V5), want: &packet.Connack{Reason: packet.ClientIdentifierNotValid}},
		"A10 all of 65,535 bytes": {send: raw(&longest, packet.V5)}, // refused on the header
		"A10 10,000 properties":   {send: raw(&many, packet.V5)},    // which 3.1.1 has not
		"A10 long user":           {send: raw(&user, packet.V5), want: &packet.Connack{Reason: packet.BadUserNameOrPassword}},

		"A10 long client id, 3.1.1":      {send: raw(&long311, packet.V311), want: &packet.Connack{Reason: packet.V3IdentifierRejected}},
		"A10 all of 65,535 bytes, 3.1.1": {send: raw(&longest311, packet.V311)},
		"A10 long user, 3.1.1":           {send: raw(&user311, packet.V311), want: &packet.Connack{Reason: packet.V3BadUserNameOrPassword}},

		"A11 protocol name":        {send: alter(raw(&v311, 0), 7, 't'), want: &packet.Connack{Reason: packet.V3UnacceptableProtocol}},
		"A11 level 6":              {send: alter(raw(&v5, 0), 8, 6), want: &packet.Connack{Reason: packet.UnsupportedProtocolVersion}},
		"A11 level 2":              {send: alter(raw(&v311, 0), 8, 2), want: &packet.Connack{Reason: packet.V3UnacceptableProtocol}},
		"A11 reserved flag":        {send: alter(raw(&v5, 0), 9, 3), want: &packet.Connack{Reason: packet.MalformedPacket}},
		"A11 reserved flag, 3.1.1": {send: alter(raw(&v311, 0), 9, 3)},
		"A11 will with QoS 3":      {send: alter(raw(&v5, 0), 9, 0x1E), want: &packet.Connack{Reason: packet.MalformedPacket}},
		"A11 password without user, 3.1.1": {
			send: alter(raw(&v311, 0), 9, 0x42),
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := broker.Config{}
			if strings.Contains(name, "user") {
				cfg.Auth = users{}
			}
			in(t, cfg, func(t *testing.T, s *brokertest.Server) {
				c := s.Pipe()
				if a, ok := tc.want.(*packet.Connack); ok && a.Reason < 0x80 {
					c.Speak(packet.V311)
				}
				go c.Write(tc.send...)
				if tc.want != nil {
					c.Expect(tc.want)
				}
				c.ExpectClosed()
				alive(t, s)
			})
		})
	}
}

// alive wants another client to be served.
func alive(t *testing.T, s *brokertest.Server) {
	t.Helper()
	c := s.Pipe()
	c.Connect(packet.Connect{CleanStart: true})
	c.ExpectNothing()
}

func TestEveryPacketCutShort(t *testing.T) {
	for name, p := range map[string]packet.Packet{
		"PUBLISH":     &packet.Publish{Topic: []byte("t"), QoS: 1, PacketID: 1},
		"PUBACK":      &packet.Ack{Kind: packet.PUBACK, PacketID: 1},
		"PUBREL":      &packet.Ack{Kind: packet.PUBREL, PacketID: 1},
		"SUBSCRIBE":   &packet.Subscribe{PacketID: 1, Filters: []packet.Filter{{Filter: []byte("t")}}},
		"UNSUBSCRIBE": &packet.Unsubscribe{PacketID: 1, Filters: [][]byte{[]byte("t")}},
	} {
		for _, v := range []packet.Version{packet.V311, packet.V5} {
			t.Run("A9 "+name, func(t *testing.T) {
				in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
					c := s.Pipe()
					c.Connect(connect(v))
					b := raw(p, v)
					if name == "PUBLISH" { // its payload may be shorter, not its packet id
						b = b[:len(b)-1]
						b[1]--
					}
					b[1]--
					c.Write(b[:len(b)-1]...)
					if v >= packet.V5 {
						if d, ok := c.Next().(*packet.Disconnect); !ok || !d.Reason.IsError() {
							t.Errorf("want a DISCONNECT with an error")
						}
					}
					c.ExpectClosed()
					alive(t, s)
				})
			})
		}
	}
}

func TestMalformed(t *testing.T) {
	publish := func(p packet.Publish) []byte { return raw(&p, packet.V5) }
	subscribe := func(options byte, filter string) []byte {
		return raw(&packet.Subscribe{PacketID: 1, Filters: []packet.Filter{{Filter: []byte(filter), Options: packet.Options(options)}}}, packet.V5)
	}
	deep := strings.Repeat("/", 200)
	for name, tc := range map[string]struct {
		send []byte
		want packet.Reason
	}{
		"A5 second CONNECT":          {raw(new(connect(packet.V5)), packet.V5), packet.ProtocolError},
		"A8 length in two bytes":     {[]byte{0xC0, 0x80, 0}, packet.MalformedPacket},
		"A8 property id, two bytes":  {[]byte{0x30, 7, 0, 1, 't', 3, 0x81, 0, 0}, packet.MalformedPacket},
		"B1 empty topic":             {publish(packet.Publish{}), packet.ProtocolError},
		"B2 topic with +":            {publish(packet.Publish{Topic: []byte("a/+")}), packet.TopicNameInvalid},
		"B2 topic with #":            {publish(packet.Publish{Topic: []byte("a/#")}), packet.TopicNameInvalid},
		"B3 null in topic":           {publish(packet.Publish{Topic: []byte("a\x00b")}), packet.MalformedPacket},
		"B3 invalid UTF-8":           {publish(packet.Publish{Topic: []byte("a\xFFb")}), packet.MalformedPacket},
		"B3 surrogate":               {publish(packet.Publish{Topic: []byte("a\xED\xA0\x80b")}), packet.MalformedPacket},
		"B3 surrogate in a filter":   {subscribe(0, "a\xED\xA0\x80b"), packet.MalformedPacket},
		"B4 200 levels":              {publish(packet.Publish{Topic: []byte(deep)}), packet.TopicNameInvalid},
		"B5 QoS 3":                   {[]byte{0x36, 5, 0, 1, 't', 0, 1}, packet.MalformedPacket},
		"B5 DUP with QoS 0":          {[]byte{0x38, 4, 0, 1, 't', 0}, packet.ProtocolError},
		"B5 packet id 0":             {publish(packet.Publish{Topic: []byte("t"), QoS: 1}), packet.ProtocolError},
		"B6 no filter":               {raw(&packet.Subscribe{PacketID: 1}, packet.V5), packet.ProtocolError},
		"B6 flags":                   {alter(subscribe(0, "t"), 0, 0x80), packet.MalformedPacket},
		"B6 reserved option bits":    {subscribe(0x40, "t"), packet.MalformedPacket},
		"B6 retain handling 3":       {subscribe(0x30, "t"), packet.ProtocolError},
		"B13 shared with no local":   {subscribe(4, "$share/g/t"), packet.ProtocolError},
		"B7 CONNACK":                 {raw(&packet.Connack{}, packet.V5), packet.ProtocolError},
		"B7 SUBACK":                  {raw(&packet.Suback{PacketID: 1, Reasons: []packet.Reason{0}}, packet.V5), packet.ProtocolError},
		"B7 UNSUBACK":                {raw(&packet.Unsuback{PacketID: 1, Reasons: []packet.Reason{0}}, packet.V5), packet.ProtocolError},
		"B7 PINGRESP":                {raw(&packet.Pingresp{}, packet.V5), packet.ProtocolError},
		"B8 property of another":     {[]byte{0x30, 6, 0, 1, 't', 2, 0x24, 1}, packet.MalformedPacket},
		"B8 property twice":          {[]byte{0x30, 8, 0, 1, 't', 4, 1, 1, 1, 1}, packet.ProtocolError},
		"B9 alias 0":                 {publish(packet.Publish{Topic: []byte("t"), Properties: &packet.Properties{TopicAlias: new(uint16(0))}}), packet.TopicAliasInvalid},
		"B9 alias 0 alone":           {publish(packet.Publish{Properties: &packet.Properties{TopicAlias: new(uint16(0))}}), packet.TopicAliasInvalid},
		"B9 alias beyond maximum":    {publish(packet.Publish{Topic: []byte("t"), Properties: &packet.Properties{TopicAlias: new(uint16(33))}}), packet.TopicAliasInvalid},
		"B9 unknown alias":           {publish(packet.Publish{Properties: &packet.Properties{TopicAlias: new(uint16(5))}}), packet.ProtocolError},
		"B10 session expiry":         {raw(&packet.Disconnect{Properties: &packet.Properties{SessionExpiry: new(uint32(5))}}, packet.V5), packet.ProtocolError},
		"B11 AUTH unasked":           {[]byte{0xF0, 0}, packet.ProtocolError},
		"B17 larger than announced":  {append([]byte{0x30, 0x80, 0x80, 0x80, 0x01}, 0, 1, 't', 0), packet.PacketTooLarge},
		"subscription id in PUBLISH": {publish(packet.Publish{Topic: []byte("t"), Properties: &packet.Properties{SubscriptionIDs: []uint32{1}}}), packet.ProtocolError},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
				witness := s.Pipe()
				witness.Connect(packet.Connect{CleanStart: true})
				witness.Subscribe("#", 0)
				c := s.Pipe()
				p := connect(packet.V5)
				p.Will = &packet.Will{Topic: []byte("will"), Payload: []byte("gone")}
				c.Connect(p)
				go c.Write(tc.send...)
				c.ExpectReason(tc.want)
				witness.Receive("will", "gone") // [MQTT-3.1.2-8]
				witness.ExpectNothing()         // nothing else was passed on
			})
		})
	}
}

func TestMalformedV311(t *testing.T) {
	for name, send := range map[string][]byte{
		"A5 second CONNECT":       raw(new(connect(packet.V311)), packet.V311),
		"B1 empty topic":          raw(&packet.Publish{}, packet.V311),
		"B2 topic with #":         raw(&packet.Publish{Topic: []byte("#")}, packet.V311),
		"B3 null in topic":        raw(&packet.Publish{Topic: []byte("\x00")}, packet.V311),
		"B5 QoS 3":                {0x36, 5, 0, 1, 't', 0, 1},
		"B6 no filter":            raw(&packet.Subscribe{PacketID: 1}, packet.V311),
		"B6 options of MQTT 5":    {0x82, 6, 0, 1, 0, 1, 't', 4},
		"B6 flags":                {0x80, 6, 0, 1, 0, 1, 't', 0},
		"B7 CONNACK":              raw(&packet.Connack{}, packet.V311),
		"B11 AUTH":                {0xF0, 0},
		"B17 larger than allowed": {0x30, 0x80, 0x80, 0x80, 0x01, 0},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
				c := s.Pipe()
				c.Connect(connect(packet.V311))
				go c.Write(send...)
				c.ExpectClosed()
				alive(t, s)
			})
		})
	}
}

func TestFilters(t *testing.T) {
	for name, tc := range map[string]struct {
		filter string
		v5     packet.Reason
		v311   packet.Reason
	}{
		"good":                  {"a/+/#", packet.Success, packet.Success},
		"# in the middle":       {"a/#/b", packet.TopicFilterInvalid, packet.UnspecifiedError},
		"+ within a level":      {"a+/b", packet.TopicFilterInvalid, packet.UnspecifiedError},
		"empty":                 {"", packet.TopicFilterInvalid, packet.UnspecifiedError},
		"B4 129 levels":         {strings.Repeat("/", 128), packet.TopicFilterInvalid, packet.UnspecifiedError},
		"B13 no share name":     {"$share//t", packet.TopicFilterInvalid, packet.UnspecifiedError},
		"B13 no filter":         {"$share/g", packet.TopicFilterInvalid, packet.UnspecifiedError},
		"B13 wildcard in group": {"$share/g+/t", packet.TopicFilterInvalid, packet.UnspecifiedError},
		"B13 shared # inside":   {"$share/g/a/#/b", packet.TopicFilterInvalid, packet.UnspecifiedError},
		"B13 shared, nothing":   {"$share/g/", packet.TopicFilterInvalid, packet.UnspecifiedError},
		"shared":                {"$share/g/t", packet.Success, packet.Success},
	} {
		for _, v := range []packet.Version{packet.V311, packet.V5} {
			t.Run(name, func(t *testing.T) {
				in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
					c := s.Pipe()
					c.Connect(connect(v))
					want := tc.v5
					if v < packet.V5 {
						want = tc.v311
					}
					c.Send(&packet.Subscribe{PacketID: 7, Filters: []packet.Filter{{Filter: []byte(tc.filter)}}})
					c.Expect(&packet.Suback{PacketID: 7, Reasons: []packet.Reason{want}}) // [MQTT-3.8.4-2]
				})
			})
		}
	}
}

func TestForbiddenTopics(t *testing.T) {
	for _, name := range []string{"$foo", "$SYS/x", "$CONTROL/x", "$share/g/t"} {
		t.Run("B12 "+name, func(t *testing.T) {
			in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
				c := s.Pipe()
				c.Connect(connect(packet.V5))
				c.Subscribe("#", 0)
				c.Subscribe("$foo", 0)
				c.Send(&packet.Publish{Topic: []byte(name), QoS: 1, PacketID: 9})
				c.Expect(&packet.Ack{Kind: packet.PUBACK, PacketID: 9, Reason: packet.NotAuthorized})
				c.Send(&packet.Publish{Topic: []byte(name), QoS: 2, PacketID: 10})
				c.Expect(&packet.Ack{Kind: packet.PUBREC, PacketID: 10, Reason: packet.NotAuthorized})
				c.Send(&packet.Publish{Topic: []byte(name)})
				c.ExpectNothing()
			})
		})
	}
}

func TestUnknownPacketIDsB16(t *testing.T) {
	ack := func(k packet.Type, r packet.Reason) *packet.Ack {
		return &packet.Ack{Kind: k, PacketID: 77, Reason: r}
	}
	in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
		c := s.Pipe()
		c.Connect(connect(packet.V5))
		c.Send(ack(packet.PUBACK, 0), ack(packet.PUBCOMP, 0)) // B16: ignored
		c.ExpectNothing()
		c.Send(ack(packet.PUBREL, 0))
		c.Expect(ack(packet.PUBCOMP, packet.PacketIdentifierNotFound))
		c.Send(ack(packet.PUBREC, 0))
		c.Expect(ack(packet.PUBREL, packet.PacketIdentifierNotFound))
		c.ExpectNothing()
	})
}

func TestKeepAliveB14(t *testing.T) {
	for seconds, want := range map[uint16]time.Duration{ // B14
		1:     1500 * time.Millisecond,
		43690: 65535 * time.Second,
		43691: 65536500 * time.Millisecond,
		65535: 98302500 * time.Millisecond,
	} {
		in(t, broker.Config{}, func(t *testing.T, s *brokertest.Server) {
			c := s.Pipe()
			p := connect(packet.V5)
			p.Keepalive = seconds
			c.Connect(p)
			time.Sleep(want / 2)
			c.ExpectNothing() // a packet keeps it alive
			start := time.Now()
			time.Sleep(want - time.Second)
			c.ExpectReason(packet.KeepAliveTimeout)
			if took := time.Since(start); took != want {
				t.Errorf("keep alive %d: closed after %v, want %v", seconds, took, want)
			}
		})
	}
}
