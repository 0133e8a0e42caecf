package storage

import (
	"cmp"
	"slices"
	"time"

	"github.com/weir-edge/weir/core"
)

// held is a message in the tail: in memory, with open debts or on its way to the
// disk. It belongs to the owner.
type held struct {
	seq     core.Seq
	m       *core.Message
	due     time.Time // to be written from then on
	debts   []debt
	open    int  // debts that are not paid
	writing bool // the committer has it
	settled bool // the promise about it holds
	gone    bool // not in the tail any more
}

type debt struct {
	r    *receiver
	live bool // handed out
	paid bool
}

// absent says whether somebody who was not there has still to fetch it.
func (e *held) absent() bool {
	for i := range e.debts {
		if d := &e.debts[i]; !d.live && !d.paid {
			return true
		}
	}
	return false
}

// landed ends the flight of what was paid meanwhile. Written, it counts as unsaved.
func (e *held) landed() {
	for i := range e.debts {
		e.debts[i].r.flying = 0
	}
}

// debtOf finds the debt of a receiver, or nil.
func (e *held) debtOf(r *receiver) *debt {
	for i := range e.debts {
		if e.debts[i].r == r {
			return &e.debts[i]
		}
	}
	return nil
}

// tail holds messages in order. Those that have left it leave holes, which are
// closed when they outnumber the rest.
type tail struct {
	entries []*held
	live    int       // entries that are not gone
	bytes   int64     // of their messages
	nextDue time.Time // of what the committer does not have; zero: nothing
}

func (t *tail) push(e *held) {
	t.expect(e.due)
	t.entries = append(t.entries, e)
	t.live++
	t.bytes += int64(e.m.Size())
}

func (t *tail) find(seq core.Seq) *held {
	i, ok := slices.BinarySearchFunc(t.entries, seq, func(e *held, s core.Seq) int { return cmp.Compare(e.seq, s) })
	if !ok || t.entries[i].gone {
		return nil
	}
	return t.entries[i]
}

// after is the index of the first entry above seq.
func (t *tail) after(seq core.Seq) int {
	i, _ := slices.BinarySearchFunc(t.entries, seq+1, func(e *held, s core.Seq) int { return cmp.Compare(e.seq, s) })
	return i
}

func (t *tail) remove(e *held) {
	if e.gone {
		return
	}
	e.gone = true
	t.live--
	t.bytes -= int64(e.m.Size())
	if holes := len(t.entries) - t.live; holes > 32 && holes > len(t.entries)/2 {
		t.entries = slices.DeleteFunc(t.entries, func(e *held) bool { return e.gone })
	}
}

// hurry makes an entry due at once.
func (t *tail) hurry(e *held, now time.Time) {
	e.due = now
	t.expect(now)
}

// expect notes that something is due at a moment.
func (t *tail) expect(due time.Time) {
	if t.nextDue.IsZero() || due.Before(t.nextDue) {
		t.nextDue = due
	}
}

// choose marks what the next group takes, and gives it in order. It is what is
// due, what somebody absent waits for, and, so that for every receiver the order
// on disk is the order of sequence numbers, all earlier entries that are owed to
// a receiver of a chosen one. The marks of the receivers are of this pass.
func (t *tail) choose(now time.Time, pass uint64) []*held {
	var chosen []*held
	t.nextDue = time.Time{}
	for _, e := range slices.Backward(t.entries) {
		if e.gone || e.open == 0 || e.writing {
			continue
		}
		if now.Before(e.due) && !e.absent() && !e.concerns(pass) {
			t.expect(e.due)
			continue
		}
		chosen = append(chosen, e)
		for i := range e.debts {
			if d := &e.debts[i]; !d.paid {
				d.r.mark = pass
			}
		}
	}
	slices.Reverse(chosen)
	return chosen
}

// groupBytes is about how much a group holds: what is left comes with the next.
const groupBytes = 4 << 20

// cut takes the oldest of what was chosen; that keeps to the rule as well.
func (t *tail) cut(chosen []*held, now time.Time) []*held {
	size := 0
	for i, e := range chosen {
		if size += e.m.Size(); i > 0 && size > groupBytes {
			t.expect(now)
			return chosen[:i]
		}
	}
	return chosen
}

// concerns says whether an unpaid receiver was marked in this pass.
func (e *held) concerns(pass uint64) bool {
	for i := range e.debts {
		if d := &e.debts[i]; !d.paid && d.r.mark == pass {
			return true
		}
	}
	return false
}
