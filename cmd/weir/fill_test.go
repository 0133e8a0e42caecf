package main

import (
	"math"
	"testing"
	"time"

	"github.com/weir-edge/weir/core"
)

func TestFill(t *testing.T) {
	const mib = 1 << 20
	f := fill{reserve: 10 * mib}
	now := time.Now()
	s := core.BufferStatus{Budget: 100 * mib, FreeBytes: 1000 * mib}
	look := func(more, messages uint64) float64 {
		now = now.Add(10 * time.Second)
		s.WrittenBytes += more
		s.Bytes += more
		s.Messages = messages
		return f.seconds(&s, now)
	}
	steps := []struct {
		name           string
		more, messages uint64
		free           uint64
		want           float64
	}{
		{"the first look knows no rate", 0, 0, 1000, 0},
		{"an outage", 10 * mib, 100, 1000, 90},
		{"it goes on", 10 * mib, 200, 1000, 80},
		{"the disk is nearer than the budget", 10 * mib, 300, 50, 40},
		{"it drains", 10 * mib, 250, 1000, 0},
		{"a healthy uplink writes nothing", 0, 250, 1000, 0},
	}
	for _, step := range steps {
		s.FreeBytes = step.free * mib
		if got := look(step.more, step.messages); math.Abs(got-step.want) > 0.01 {
			t.Errorf("%s: full in %v s, want %v", step.name, got, step.want)
		}
	}
}

func TestJoinRules(t *testing.T) {
	b := core.BridgeStatus{DrainRate: -1, Rules: []core.RuleStatus{
		{Direction: "out", Filter: "a", Receiver: 7, Beside: 8, Owed: 3, Dropped: map[core.Reason]uint64{"expired": 1}},
		{Direction: "in", Filter: "b"},
	}}
	joinRules(&b, &core.BufferStatus{FullSeconds: 60, Receivers: []core.ReceiverStatus{
		{Receiver: 7, Bytes: 100, Oldest: 5, Dropped: map[core.Reason]uint64{"expired": 1}},
		{Receiver: 8, Bytes: 10, Oldest: 2},
		{Receiver: 9, Bytes: 1000, Oldest: 20},
	}})
	r := b.Rules[0]
	if r.Bytes != 110 || r.Oldest != 5 || r.Dropped["expired"] != 1 || b.FullSeconds != 60 || b.Rules[1].Bytes != 0 {
		t.Errorf("%+v", b)
	}
}
