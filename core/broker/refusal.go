package broker

import (
	"hash/maphash"
	"time"

	"github.com/weir-edge/weir/core"
)

// refusal keeps the order of a client's messages when one of them was refused
// for want of room (MQTT 5). What the client has sent behind it, before it could
// know, is refused as well, so that it sends all of it again in its order; taken
// now, it would come to stand before what was refused.
//
// A refusal is over when the refused message comes again, or when the client has
// evidently given it up: a whole window of others has come, or none for a while.
// That while begins when the client is told, which may be long after: answers leave
// in the order of the messages, and one before may wait for the disk.
type refusal struct {
	on     bool
	seed   maphash.Seed
	sum    uint64 // of the first message refused
	left   int    // messages that may still be from before the client knew
	untold int    // refused ones whose answers have not left yet
	until  time.Time
}

// refusalLasts bounds how long the client is waited for.
const refusalLasts = time.Second

// begin: m was refused.
func (r *refusal) begin(m *core.Message, window int, now time.Time) {
	if !r.on {
		r.seed = maphash.MakeSeed()
	}
	r.on, r.sum, r.left, r.until = true, r.of(m), window, now.Add(refusalLasts)
	r.untold++
}

// covers says whether m is to be refused because of what was refused before.
func (r *refusal) covers(m *core.Message, now time.Time) bool {
	if !r.on {
		return false
	}
	r.left--
	if r.left < 0 || r.untold == 0 && now.After(r.until) || r.of(m) == r.sum {
		r.on = false
		return false
	}
	r.until = now.Add(refusalLasts)
	r.untold++
	return true
}

// told: the answer to a refused message leaves.
func (r *refusal) told(now time.Time) {
	r.untold = max(0, r.untold-1)
	r.until = now.Add(refusalLasts)
}

func (r *refusal) of(m *core.Message) uint64 {
	return maphash.String(r.seed, m.Topic)*31 + maphash.Bytes(r.seed, m.Payload)
}
