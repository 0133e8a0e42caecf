package broker

import (
	"testing"
	"time"

	"github.com/weir-edge/weir/core/packet"
)

// TestSilenceAfterPause: when the process was stopped for a while, what clients
// have sent meanwhile is read before they are given up.
func TestSilenceAfterPause(t *testing.T) {
	b := newBench(t)
	c := b.connect(packet.Connect{Keepalive: 10, CleanStart: true})
	later := b.now.Add(time.Minute)
	b.backlog = true
	c.overdue(later)
	if c.phase != open {
		t.Fatal("closed although there may be input")
	}
	b.backlog = false
	c.overdue(later)
	if c.phase != closed {
		t.Error("not closed")
	}
}

// TestWorkTakesTurns: long work is done in rotation, a bounded amount a turn.
func TestWorkTakesTurns(t *testing.T) {
	b := newBench(t)
	var done [100]int
	for i := range done {
		b.work(func() bool {
			done[i]++
			return done[i] < 3
		})
	}
	turns := 0
	for ; b.chores.len() > 0; turns++ {
		b.turn()
		least, most := done[0], 0
		for _, n := range done {
			least, most = min(least, n), max(most, n)
		}
		if most-least > 1 {
			t.Fatalf("after %d turns one has had %d slices, another %d", turns, most, least)
		}
	}
	if want := (300 + maxSlices - 1) / maxSlices; turns != want {
		t.Errorf("%d turns, want %d", turns, want)
	}
}

func TestTimers(t *testing.T) {
	var ts timers
	now := time.Now()
	var rung []int
	all := make([]timer, 5)
	for i := range all {
		all[i].ring = func(time.Time) { rung = append(rung, i) }
		ts.set(&all[i], now.Add(time.Duration(10-i)*time.Second))
	}
	ts.stop(&all[3])
	ts.stop(&all[3])
	ts.set(&all[0], now.Add(time.Second)) // earlier than before
	if at := ts.next(); !at.Equal(now.Add(time.Second)) {
		t.Errorf("next at %v", at.Sub(now))
	}
	ts.run(now.Add(8 * time.Second))
	if want := []int{0, 4, 2}; len(rung) != 3 || rung[0] != want[0] || rung[1] != want[1] || rung[2] != want[2] {
		t.Errorf("rung %v, want %v", rung, want)
	}
}

func TestFifo(t *testing.T) {
	var q fifo[int]
	in, out := 0, 0
	for round := range 1000 {
		for range round%7 + round/200 {
			q.push(in)
			in++
		}
		for range min(q.len(), 4) {
			if *q.first() != out || q.pop() != out {
				t.Fatalf("round %d: out of order", round)
			}
			out++
		}
	}
	for q.len() > 0 {
		if q.pop() != out {
			t.Fatal("out of order")
		}
		out++
	}
	if in != out || cap(q.items) > 64 {
		t.Errorf("%d in, %d out, %d kept", in, out, cap(q.items))
	}
}
