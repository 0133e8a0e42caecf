package interop

import (
	"bytes"
	"errors"
	"testing"

	"github.com/eclipse/paho.golang/packets"
	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/core/packet"
)

// FuzzCodecs: what our codec reads from any bytes and writes again, paho's reads,
// and what that writes means the same to ours.
func FuzzCodecs(f *testing.F) {
	for _, p := range samples() {
		f.Add(p.AppendTo(nil, packet.V5))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parse(b)
		if err != nil || !bothKnow(p) {
			return
		}
		ours := p.AppendTo(nil, packet.V5)
		theirs, err := packets.ReadPacket(bytes.NewReader(ours))
		if err != nil {
			t.Fatalf("they cannot read %x: %v", ours, err)
		}
		var again bytes.Buffer
		if _, err := theirs.WriteTo(&again); err != nil {
			t.Fatalf("they cannot write %x: %v", ours, err)
		}
		q, err := parse(again.Bytes())
		if err != nil {
			t.Fatalf("we cannot read %x, which they made of %x: %v", again.Bytes(), ours, err)
		}
		if diff := cmp.Diff(p, q); diff != "" {
			t.Fatalf("%x became %x: %s", ours, again.Bytes(), diff)
		}
	})
}

var errOther = errors.New("no whole packet of MQTT 5")

// parse reads one whole packet.
func parse(b []byte) (packet.Packet, error) {
	h, n, err := packet.ReadHeader(b)
	if err != nil {
		return nil, err
	}
	if n == 0 || len(b) < n+h.Length {
		return nil, errOther
	}
	p, err := packet.Parse(h, b[n:n+h.Length], packet.V5)
	if c, ok := p.(*packet.Connect); ok && c.Version != packet.V5 {
		return nil, errOther
	}
	return p, err
}

// bothKnow leaves out what paho's codec cannot express: an empty text is for it one
// that is not there, a message has one subscription identifier, of a will it
// writes no property that belongs to messages, and it expects a reason code in
// each DISCONNECT and AUTH.
func bothKnow(p packet.Packet) bool {
	switch p := p.(type) {
	case *packet.Connect:
		return !p.Bridge && express(p.Properties) && expressWill(p.Will)
	case *packet.Connack:
		return express(p.Properties)
	case *packet.Publish:
		return express(p.Properties) && (p.Properties == nil || len(p.Properties.SubscriptionIDs) < 2)
	case *packet.Ack:
		return express(p.Properties)
	case *packet.Subscribe:
		return express(p.Properties)
	case *packet.Suback:
		return express(p.Properties)
	case *packet.Unsubscribe:
		return express(p.Properties)
	case *packet.Unsuback:
		return express(p.Properties)
	case *packet.Disconnect:
		return express(p.Properties) && p.Size(packet.V5) > 2
	case *packet.Auth:
		return express(p.Properties) && p.Size(packet.V5) > 2
	}
	return true
}

func expressWill(w *packet.Will) bool {
	if w == nil || w.Properties == nil {
		return true
	}
	return cmp.Equal(w.Properties, &packet.Properties{WillDelay: w.Properties.WillDelay, User: w.Properties.User})
}

func express(p *packet.Properties) bool {
	if p == nil {
		return true
	}
	for _, text := range [][]byte{
		p.ContentType, p.ResponseTopic, p.CorrelationData, p.AssignedClientID, p.AuthMethod, p.AuthData,
		p.ResponseInfo, p.ServerReference, p.ReasonString,
	} {
		if text != nil && len(text) == 0 {
			return false
		}
	}
	return true
}

// samples are one packet of each type at least, with its properties.
func samples() []packet.Packet {
	text := func(s string) []byte { return []byte(s) }
	user := []packet.UserProperty{{Name: text("a"), Value: text("1")}, {Name: text("a"), Value: text("2")}}
	answer := &packet.Properties{ReasonString: text("because"), User: user}
	return []packet.Packet{
		&packet.Connect{
			Version: packet.V5, CleanStart: true, Keepalive: 60, ClientID: text("id"), HasUsername: true, Username: text("u"), HasPassword: true, Password: text("p"),
			Will:       &packet.Will{QoS: 1, Retain: true, Topic: text("w"), Payload: text("gone"), Properties: &packet.Properties{WillDelay: new(uint32(5))}},
			Properties: &packet.Properties{SessionExpiry: new(uint32(10)), ReceiveMaximum: new(uint16(7)), MaximumPacketSize: new(uint32(1000)), RequestResponseInfo: new(byte(1)), User: user},
		},
		&packet.Connack{SessionPresent: true, Properties: &packet.Properties{AssignedClientID: text("auto"), ServerKeepalive: new(uint16(9)), TopicAliasMaximum: new(uint16(3)), ServerReference: text("other")}},
		&packet.Publish{Topic: text("t"), QoS: 2, PacketID: 5, Retain: true, Dup: true, Payload: text("x"), Properties: &packet.Properties{PayloadFormat: new(byte(1)), MessageExpiry: new(uint32(3)), TopicAlias: new(uint16(2)), ResponseTopic: text("r"), CorrelationData: text("c"), SubscriptionIDs: []uint32{300}, User: user}},
		&packet.Ack{Kind: packet.PUBACK, PacketID: 1, Reason: packet.QuotaExceeded, Properties: answer},
		&packet.Ack{Kind: packet.PUBREC, PacketID: 2},
		&packet.Ack{Kind: packet.PUBREL, PacketID: 3, Reason: packet.PacketIdentifierNotFound},
		&packet.Ack{Kind: packet.PUBCOMP, PacketID: 4},
		&packet.Subscribe{PacketID: 6, Properties: &packet.Properties{SubscriptionIDs: []uint32{1}}, Filters: []packet.Filter{{Filter: text("a/+"), Options: 0x2D}, {Filter: text("#"), Options: 2}}},
		&packet.Suback{PacketID: 6, Reasons: []packet.Reason{1, packet.NotAuthorized}, Properties: answer},
		&packet.Unsubscribe{PacketID: 7, Filters: [][]byte{text("a/+"), text("#")}},
		&packet.Unsuback{PacketID: 7, Reasons: []packet.Reason{0, packet.NoSubscriptionExisted}},
		&packet.Pingreq{}, &packet.Pingresp{},
		&packet.Disconnect{Reason: packet.SessionTakenOver, Properties: answer},
		&packet.Auth{Reason: packet.ContinueAuthentication, Properties: &packet.Properties{AuthMethod: text("SCRAM"), AuthData: text("data")}},
	}
}
