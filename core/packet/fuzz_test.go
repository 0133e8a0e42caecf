package packet

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Any bytes at all: no panic, errors of one kind, and what is taken survives being
// written and read again.
func FuzzParse(f *testing.F) {
	for _, g := range goldens() {
		f.Add(byte(g.v), wire(g.bytes))
	}
	for _, r := range refusals() {
		b := wire(r.bytes)
		f.Add(byte(r.v), append(appendVarint(b[:1:1], len(b)-1), b[1:]...))
	}
	f.Fuzz(func(t *testing.T, v byte, b []byte) {
		version := V31 + Version(v%3)
		h, n, err := ReadHeader(b)
		if err != nil {
			if n != 0 || !errorsAs(err) {
				t.Fatalf("%d, %v", n, err)
			}
			return
		}
		if n == 0 || h.Length > len(b)-n {
			return
		}
		body := b[n : n+h.Length]
		before := bytes.Clone(body)
		p, err := Parse(h, body, version)
		if !bytes.Equal(body, before) {
			t.Fatal("Parse changed its input")
		}
		if err != nil {
			if !errorsAs(err) {
				t.Fatalf("%T is no *Error", err)
			}
			return
		}
		roundTrip(t, p, version)
		inPlace(t, p, h, body, version)
	})
}

// inPlace: the parsers of the hot path agree with Parse.
func inPlace(t *testing.T, want Packet, h Header, body []byte, v Version) {
	var got Packet
	var err error
	switch want.(type) {
	case *Publish:
		p := &Publish{Topic: str("old"), PacketID: 9, Payload: str("old"), Properties: new(Properties)}
		got, err = p, p.Parse(h.Flags, body, v)
	case *Ack:
		a := &Ack{Kind: PUBLISH, PacketID: 9, Reason: 9, Properties: new(Properties)}
		got, err = a, a.Parse(h, body, v)
	default:
		return
	}
	if err != nil {
		t.Fatalf("in place: %v", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("in place: %s", diff)
	}
}

func roundTrip(t *testing.T, p Packet, v Version) {
	b := p.AppendTo(nil, v)
	if size := p.Size(v); size != len(b) {
		t.Fatalf("Size is %d, AppendTo makes %d bytes", size, len(b))
	}
	again, err := parse(b, v)
	if err != nil {
		t.Fatalf("written as % x, read again: %v", b, err)
	}
	if diff := cmp.Diff(p, again); diff != "" {
		t.Fatalf("written as % x, read again: %s", b, diff)
	}
	if b2 := again.AppendTo(nil, v); !bytes.Equal(b, b2) {
		t.Fatalf("written as % x, then as % x", b, b2)
	}
}
