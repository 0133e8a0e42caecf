package packet

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// parse reads one whole packet.
func parse(b []byte, v Version) (Packet, error) {
	h, n, err := ReadHeader(b)
	switch {
	case err != nil:
		return nil, err
	case n == 0 || h.Length != len(b)-n:
		return nil, errors.New("length in the header is wrong")
	}
	return Parse(h, b[n:], v)
}

func TestParse(t *testing.T) {
	runGoldens(t, func(t *testing.T, g golden, b []byte) {
		got, err := parse(b, g.v)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(g.packet, got); diff != "" {
			t.Error(diff)
		}
		if g.packet.Type() != Type(b[0]>>4) {
			t.Errorf("Type is %v", g.packet.Type())
		}
	})
}

func TestAppendAndSize(t *testing.T) {
	runGoldens(t, func(t *testing.T, g golden, b []byte) {
		got := g.packet.AppendTo(nil, g.v)
		if diff := cmp.Diff(b, got); diff != "" {
			t.Errorf("AppendTo: %s", diff)
		}
		if size := g.packet.Size(g.v); size != len(b) {
			t.Errorf("Size is %d, want %d", size, len(b))
		}
		got = g.packet.AppendTo([]byte("before"), g.v)
		if !bytes.Equal(got, append([]byte("before"), b...)) {
			t.Error("AppendTo does not keep what was there")
		}
	})
}

// A body that is cut is refused, wherever it is cut, except where what is left is
// a packet too. The header is right each time.
func TestPrefixes(t *testing.T) {
	runGoldens(t, func(t *testing.T, g golden, b []byte) {
		h, n, err := ReadHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		for h.Length = range len(b) - n {
			_, err := Parse(h, b[n:n+h.Length], g.v)
			if whole := slices.Contains(g.alsoWhole, h.Length); whole != (err == nil) {
				t.Errorf("cut to %d bytes: got %v", h.Length, err)
			}
			if err != nil && !errorsAs(err) {
				t.Errorf("cut to %d bytes: %T is no *Error", h.Length, err)
			}
		}
	})
}

func errorsAs(err error) bool {
	_, ok := errors.AsType[*Error](err)
	return ok
}

// One byte too many is refused, unless the packet is one that takes any number.
func TestBytesAfterTheEnd(t *testing.T) {
	runGoldens(t, func(t *testing.T, g golden, b []byte) {
		h, n, _ := ReadHeader(b)
		h.Length++
		p, err := Parse(h, append(b[n:], 0xFF), g.v)
		if _, ok := p.(*Publish); !ok && err == nil {
			t.Errorf("got %#v", p)
		}
	})
}

func TestParseInPlace(t *testing.T) {
	var publish Publish
	var ack Ack
	runGoldens(t, func(t *testing.T, g golden, b []byte) {
		h, n, _ := ReadHeader(b)
		switch want := g.packet.(type) {
		case *Publish:
			if err := publish.Parse(h.Flags, b[n:], g.v); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, &publish); diff != "" {
				t.Error(diff)
			}
		case *Ack:
			if err := ack.Parse(h, b[n:], g.v); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, &ack); diff != "" {
				t.Error(diff)
			}
		}
	})
}

func TestAppendPublish(t *testing.T) {
	runGoldens(t, func(t *testing.T, g golden, b []byte) {
		p, ok := g.packet.(*Publish)
		if !ok {
			return
		}
		got := AppendPublish(nil, g.v, p.Dup, p.QoS, p.Retain, string(p.Topic), p.PacketID, p.Properties, p.Payload)
		if !bytes.Equal(got, b) {
			t.Errorf("AppendPublish: got % x, want % x", got, b)
		}
		head := AppendPublishHeader(nil, g.v, p.Dup, p.QoS, p.Retain, string(p.Topic), p.PacketID, p.Properties, len(p.Payload))
		if !bytes.Equal(append(head, p.Payload...), b) {
			t.Errorf("AppendPublishHeader: got % x, want % x", head, b)
		}
		if size := PublishSize(g.v, p.QoS, string(p.Topic), p.Properties, len(p.Payload)); size != len(b) {
			t.Errorf("PublishSize is %d, want %d", size, len(b))
		}
	})
}

func TestAppendAck(t *testing.T) {
	runGoldens(t, func(t *testing.T, g golden, b []byte) {
		a, ok := g.packet.(*Ack)
		if !ok || a.Properties != nil {
			return
		}
		if got := AppendAck(nil, g.v, a.Kind, a.PacketID, a.Reason); !bytes.Equal(got, b) {
			t.Errorf("got % x, want % x", got, b)
		}
	})
	if got := AppendAck(nil, V311, PUBACK, 1, NotAuthorized); !bytes.Equal(got, wire("40 02 0001")) {
		t.Errorf("3.1.1 has no reasons: got % x", got)
	}
}

func TestBeforeMQTT5(t *testing.T) {
	props := &Properties{ReasonString: str("x"), User: []UserProperty{{str("k"), str("v")}}}
	tests := map[string]struct {
		packet Packet
		v      Version
		want   string
	}{
		"properties of a publish":    {&Publish{Topic: str("a"), Properties: props}, V311, "30 03 0001 'a'"},
		"properties of an ack":       {&Ack{Kind: PUBREL, PacketID: 1, Reason: 0x92, Properties: props}, V311, "62 02 0001"},
		"properties of a connack":    {&Connack{Properties: props}, V311, "20 02 00 00"},
		"session present in 3.1":     {&Connack{SessionPresent: true}, V31, "20 02 00 00"},
		"reasons of a suback":        {&Suback{PacketID: 1, Reasons: []Reason{1, NotAuthorized}, Properties: props}, V311, "90 04 0001 01 80"},
		"reasons of an unsuback":     {&Unsuback{PacketID: 1, Reasons: []Reason{0x11}, Properties: props}, V311, "b0 02 0001"},
		"reason of a disconnect":     {&Disconnect{Reason: ServerBusy, Properties: props}, V311, "e0 00"},
		"options of a subscribe":     {&Subscribe{PacketID: 1, Filters: []Filter{{str("a"), 0x2E}}, Properties: props}, V311, "82 06 0001 0001 'a' 02"},
		"properties of unsubscribe":  {&Unsubscribe{PacketID: 1, Filters: [][]byte{str("a")}, Properties: props}, V311, "a2 05 0001 0001 'a'"},
		"packet id of a QoS 0":       {&Publish{Topic: str("a"), PacketID: 5}, V311, "30 03 0001 'a'"},
		"property that is elsewhere": {&Publish{Topic: str("a"), Properties: &Properties{ReasonString: str("x")}}, V5, "30 04 0001 'a' 00"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tt.packet.AppendTo(nil, tt.v); !bytes.Equal(got, wire(tt.want)) {
				t.Errorf("got % x, want %s", got, tt.want)
			}
			if size := tt.packet.Size(tt.v); size != len(wire(tt.want)) {
				t.Errorf("Size is %d", size)
			}
		})
	}
}

// A field that is too long for its two bytes of length is cut, not let loose on
// the rest of the packet.
func TestFieldTooLong(t *testing.T) {
	p := &Publish{Topic: bytes.Repeat([]byte("x"), maxField+10), Payload: str("end")}
	b := p.AppendTo(nil, V5)
	if len(b) != p.Size(V5) {
		t.Errorf("%d bytes, Size is %d", len(b), p.Size(V5))
	}
	got, err := parse(b, V5)
	if err != nil {
		t.Fatal(err)
	}
	if p := got.(*Publish); len(p.Topic) != maxField || string(p.Payload) != "end" {
		t.Errorf("topic of %d bytes, payload %q", len(p.Topic), p.Payload)
	}
}

// Whoever appends to a parsed field does not write over the next one.
func TestParsedFieldsAreSeparate(t *testing.T) {
	got, err := parse(wire("32 07 0001 'a' 0001 00 'x'"), V5)
	if err != nil {
		t.Fatal(err)
	}
	p := got.(*Publish)
	_ = append(p.Topic, "/longer"...)
	if string(p.Payload) != "x" {
		t.Errorf("payload is %q", p.Payload)
	}
}

func TestOptions(t *testing.T) {
	o := Options(0x2E)
	if o.QoS() != 2 || !o.NoLocal() || !o.RetainAsPublished() || o.RetainHandling() != 2 {
		t.Errorf("0x2e: %d, %v, %v, %d", o.QoS(), o.NoLocal(), o.RetainAsPublished(), o.RetainHandling())
	}
	if o = 0x11; o.QoS() != 1 || o.NoLocal() || o.RetainAsPublished() || o.RetainHandling() != 1 {
		t.Errorf("0x11: %d, %v, %v, %d", o.QoS(), o.NoLocal(), o.RetainAsPublished(), o.RetainHandling())
	}
}

// The parsers do not rely on ReadHeader having been asked.
func TestHeaderThatWasNotChecked(t *testing.T) {
	if err := new(Publish).Parse(6, wire("0001 'a' 0001"), V311); !errorsAs(err) {
		t.Errorf("QoS 3: %v", err)
	}
	for _, typ := range []Type{0, 16} {
		if p, err := Parse(Header{Type: typ}, nil, V5); p != nil || !errorsAs(err) {
			t.Errorf("type %d: %v, %v", typ, p, err)
		}
	}
}
