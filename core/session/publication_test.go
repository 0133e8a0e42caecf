package session_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/packet"
	"github.com/weir-edge/weir/core/session"
)

var full = &core.Message{
	Topic: "local", Payload: []byte("23.5"),
	Properties: &core.Properties{
		UTF8Payload: true, ContentType: "text/plain", ResponseTopic: "r/1", CorrelationData: []byte{1, 2},
		User: []core.UserProperty{{Name: "a", Value: "1"}, {Name: "a", Value: "2"}},
	},
}

func parsePublish(t *testing.T, b []byte, v packet.Version) *packet.Publish {
	t.Helper()
	h, n, err := packet.ReadHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	var p packet.Publish
	if err := p.Parse(h.Flags, b[n:n+h.Length], v); err != nil {
		t.Fatal(err)
	}
	return &p
}

func TestEncoder(t *testing.T) {
	var e session.Encoder
	b := e.AppendPublish(nil, packet.V5, session.Publication{
		Message: full, Topic: "site/t", QoS: 1, Retain: true, Dup: true, PacketID: 77,
		Alias: 3, Expiry: 1500 * time.Millisecond, Subscriptions: []uint32{4},
		User: packet.AppendUserProperty(nil, "weir-hops", "1"),
	})
	got := parsePublish(t, b, packet.V5)
	want := &packet.Publish{
		Dup: true, QoS: 1, Retain: true, Topic: []byte("site/t"), PacketID: 77, Payload: []byte("23.5"),
		Properties: &packet.Properties{
			PayloadFormat: new(byte(1)), MessageExpiry: new(uint32(2)), TopicAlias: new(uint16(3)),
			ContentType: []byte("text/plain"), ResponseTopic: []byte("r/1"), CorrelationData: []byte{1, 2},
			SubscriptionIDs: []uint32{4},
			User: []packet.UserProperty{
				{Name: []byte("a"), Value: []byte("1")},
				{Name: []byte("a"), Value: []byte("2")},
				{Name: []byte("weir-hops"), Value: []byte("1")},
			},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(full.Properties.User, session.Properties(got.Properties).User[:2]); diff != "" {
		t.Error(diff)
	}
}

func TestEncoderV311(t *testing.T) {
	var e session.Encoder
	b := e.AppendPublish(nil, packet.V311, session.Publication{
		Message: full, Topic: "t", QoS: 1, PacketID: 1, Alias: 3, Expiry: time.Second,
	})
	want := []byte{0x32, 9, 0, 1, 't', 0, 1, '2', '3', '.', '5'}
	if diff := cmp.Diff(want, b); diff != "" {
		t.Error(diff)
	}
}

func TestEncoderDoesNotAllocate(t *testing.T) {
	var e session.Encoder
	buf := make([]byte, 0, 1024)
	p := session.Publication{Message: full, Topic: "site/t", QoS: 1, PacketID: 1, Expiry: time.Minute}
	e.AppendPublish(buf, packet.V5, p)
	if n := testing.AllocsPerRun(100, func() { e.AppendPublish(buf, packet.V5, p) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestProperties(t *testing.T) {
	if session.Properties(nil) != nil || session.Properties(&packet.Properties{TopicAlias: new(uint16(1))}) != nil {
		t.Error("properties made of nothing")
	}
	in := []byte("x")
	got := session.Properties(&packet.Properties{ContentType: in, CorrelationData: in})
	in[0] = 'y'
	if got.ContentType != "x" || string(got.CorrelationData) != "x" {
		t.Error("the input buffer is still in use")
	}
}

func TestExpiry(t *testing.T) {
	for _, tc := range []struct {
		in   *packet.Properties
		want time.Duration
	}{
		{nil, 0},
		{&packet.Properties{}, 0},
		{&packet.Properties{MessageExpiry: new(uint32(60))}, time.Minute},
		{&packet.Properties{MessageExpiry: new(uint32(0))}, 1},
	} {
		if got := session.Expiry(tc.in); got != tc.want {
			t.Errorf("%v, want %v", got, tc.want)
		}
	}
	for d, want := range map[time.Duration]uint32{
		-1: 0, 0: 0, 1: 1, time.Second: 1, time.Second + 1: 2, math.MaxInt64: math.MaxUint32,
	} {
		if got := session.Seconds(d); got != want {
			t.Errorf("Seconds(%d) = %d, want %d", d, got, want)
		}
	}
}
