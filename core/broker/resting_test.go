package broker

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/core"
)

// TestRestingIsTheSame: what wakes is what was laid down, in memory of its own.
func TestRestingIsTheSame(t *testing.T) {
	reading := core.Message{
		Topic: "plant/a", Payload: []byte("21.5"), QoS: 1, Retain: true, Hops: 3,
		Promise: core.PromiseWritten, Publisher: "adapter:x",
		Received: core.Stamp{Wall: 1, Mono: 2, Boot: 3, Synced: true},
	}
	with := func(change func(*core.Message)) core.Message {
		m := reading
		change(&m)
		return m
	}
	tests := map[string]struct {
		m     core.Message
		whole bool
	}{
		"a reading":  {reading, false},
		"properties": {with(func(m *core.Message) { m.Properties = &core.Properties{ContentType: "text"} }), true},
		"an expiry":  {with(func(m *core.Message) { m.Expiry = time.Minute }), true},
		"large":      {with(func(m *core.Message) { m.Payload = bytes.Repeat([]byte("x"), largeResting) }), true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			topic, r := rest(&tt.m)
			if r.whole != nil != tt.whole {
				t.Fatalf("kept whole: %v", r.whole != nil)
			}
			want := tt.m
			want.Payload = bytes.Clone(want.Payload)
			if !tt.whole {
				tt.m.Payload[0] ^= 0xff // an input buffer that is used again
			}
			var scratch core.Message
			if diff := cmp.Diff(want, *r.wake(topic, &scratch)); diff != "" {
				t.Error(diff)
			}
			if !r.says(string(want.Payload)) || r.says("something else") {
				t.Error("says the wrong thing")
			}
			if r.size(topic) != retainedSize(&want) {
				t.Error("another size")
			}
		})
	}
}
