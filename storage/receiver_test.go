package storage

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/core"
)

// TestPaidIsRemembered: a receiver with an old debt goes past a segment of which
// it has paid everything, without reading it. When more is written to that
// segment and the receiver begins anew, it must still know what it has paid: a
// message that is paid twice would stand for another one that is not.
func TestPaidIsRemembered(t *testing.T) {
	r := &receiver{last: 3}
	m := &core.Message{}
	for seq := core.Seq(1); seq <= 3; seq++ {
		r.hand(seq, uint64(seq), m, false)
	}
	r.pay(2, true)
	r.pay(3, true)
	r.rewind()
	r.hand(1, 1, m, false)
	r.pass(3)
	if got, want := r.paidAbove(), []core.Seq{2, 3}; !cmp.Equal(got, want) {
		t.Errorf("the next page tells that %v are paid, want %v", got, want)
	}
	if r.pay(2, true) {
		t.Error("2 was paid twice")
	}
	r.rewind()
	if !r.takeAhead(2) || !r.takeAhead(3) {
		t.Error("2 or 3 would be delivered again")
	}
}

func TestPassMovesThePosition(t *testing.T) {
	r := &receiver{last: 5}
	m := &core.Message{}
	r.hand(1, 1, m, false)
	r.pass(5)
	r.pay(1, true)
	if r.position != 1 {
		t.Errorf("position is %d, want 1", r.position)
	}
	r.rewind()
	r.pass(5)
	if r.position != 5 || !r.caughtUp() {
		t.Errorf("position is %d, want 5", r.position)
	}
}
