package packet

import (
	"bytes"
	"testing"
)

// telemetry is a packet as devices send them: 100 bytes, QoS 1.
func telemetry(props *Properties) *Publish {
	return &Publish{
		QoS: 1, Topic: str("plant/line7/device7/temperature"), PacketID: 7, Properties: props,
		Payload: bytes.Repeat([]byte("x"), 100),
	}
}

func someProperties() *Properties {
	return &Properties{
		MessageExpiry: new(uint32(60)), ContentType: str("application/json"), SubscriptionIDs: []uint32{5},
		User: []UserProperty{{str("weir-id"), str("gw-1:12345")}},
	}
}

// The hot path allocates nothing.
func TestAllocs(t *testing.T) {
	var (
		p       Publish
		a       Ack
		b       = make([]byte, 0, 4096)
		src     = telemetry(nil)
		body    = src.AppendTo(nil, V5)[3:]
		oldBody = src.AppendTo(nil, V311)[3:]
		props   = someProperties()
		name    = string(src.Topic)
		ackHead = Header{Type: PUBACK, Length: 3}
		ackBody = wire("0001 10")
		failed  bool
	)
	for name, do := range map[string]func(){
		"ReadHeader":                func() { _, _, _ = ReadHeader(wireHead) },
		"Publish.Parse 5":           func() { failed = failed || p.Parse(2, body, V5) != nil },
		"Publish.Parse 3.1.1":       func() { failed = failed || p.Parse(2, oldBody, V311) != nil },
		"Publish.AppendTo":          func() { b = src.AppendTo(b[:0], V5) },
		"AppendPublish":             func() { b = AppendPublish(b[:0], V5, false, 1, false, name, 1, nil, src.Payload) },
		"AppendPublish, properties": func() { b = AppendPublish(b[:0], V5, false, 1, false, name, 1, props, src.Payload) },
		"AppendPublishHeader":       func() { b = AppendPublishHeader(b[:0], V311, true, 2, true, name, 1, nil, 1<<20) },
		"PublishSize, properties":   func() { _ = PublishSize(V5, 1, name, props, 100) },
		"Ack.Parse":                 func() { failed = failed || a.Parse(ackHead, ackBody, V5) != nil },
		"Ack.AppendTo":              func() { b = a.AppendTo(b[:0], V5) },
		"AppendAck":                 func() { b = AppendAck(b[:0], V5, PUBREC, 1, NoMatchingSubscribers) },
		"properties on caller's side": func() {
			b = AppendPublish(b[:0], V5, false, 0, false, name, 0, &Properties{SubscriptionIDs: props.SubscriptionIDs}, nil)
		},
	} {
		if n := testing.AllocsPerRun(100, do); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if failed {
		t.Error("a packet was refused")
	}
}

var wireHead = []byte{0x32, 0xFF, 0x7F}

func BenchmarkPublishParse(b *testing.B) {
	for name, tt := range map[string]struct {
		p *Publish
		v Version
	}{
		"3.1.1":         {telemetry(nil), V311},
		"5":             {telemetry(nil), V5},
		"5, properties": {telemetry(someProperties()), V5},
	} {
		b.Run(name, func(b *testing.B) {
			raw := tt.p.AppendTo(nil, tt.v)
			h, n, _ := ReadHeader(raw)
			var p Publish
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Parse(h.Flags, raw[n:], tt.v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendPublish(b *testing.B) {
	for name, tt := range map[string]struct {
		p *Publish
		v Version
	}{
		"3.1.1":         {telemetry(nil), V311},
		"5":             {telemetry(nil), V5},
		"5, properties": {telemetry(someProperties()), V5},
	} {
		b.Run(name, func(b *testing.B) {
			p, topic, buf := tt.p, string(tt.p.Topic), make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				buf = AppendPublish(buf[:0], tt.v, false, 1, false, topic, 7, p.Properties, p.Payload)
			}
		})
	}
}

func BenchmarkAck(b *testing.B) {
	raw := AppendAck(nil, V311, PUBACK, 7, Success)
	var a Ack
	buf := make([]byte, 0, 16)
	b.ReportAllocs()
	for b.Loop() {
		h, n, _ := ReadHeader(raw)
		if err := a.Parse(h, raw[n:], V311); err != nil {
			b.Fatal(err)
		}
		buf = AppendAck(buf[:0], V311, PUBACK, a.PacketID, Success)
	}
}

func BenchmarkConnectParse(b *testing.B) {
	raw := wire("10 15 0004 'MQTT' 04 c2 003c 0003 'dev' 0001 'u' 0001 'p'")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(Header{Type: CONNECT, Length: len(raw) - 2}, raw[2:], 0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkManyUserProperties(b *testing.B) {
	props := bytes.Repeat(wire("26 0001 'k' 0001 'v'"), 10_000)
	raw := append(appendVarint(wire("0001 'a'"), len(props)), props...)
	var p Publish
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Parse(0, raw, V5); err != nil {
			b.Fatal(err)
		}
	}
}
