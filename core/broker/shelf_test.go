package broker

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/weir-edge/weir/core/packet"
)

// narrow is a link that takes a bounded number of bytes until it is widened.
type narrow struct {
	room  int
	taken []byte
}

func (l *narrow) write(b, tail []byte) (n int, err error) {
	for _, part := range [][]byte{b, tail} {
		k := min(len(part), l.room)
		l.taken = append(l.taken, part[:k]...)
		l.room -= k
		n += k
	}
	return n, nil
}

func (l *narrow) listen(bool) {}
func (l *narrow) close()      {}

// pattern is a payload that begins with its number and can be checked to its end.
func pattern(number uint32, size int) []byte {
	b := bytes.Repeat([]byte{byte(number*31 + 7)}, size)
	binary.BigEndian.PutUint32(b, number)
	return b
}

// numbers checks all PUBLISH packets in a stream and tells which have come.
func numbers(t *testing.T, stream []byte) (got []uint32) {
	t.Helper()
	for len(stream) > 0 {
		h, n, err := packet.ReadHeader(stream)
		if err != nil || n == 0 || len(stream) < n+h.Length {
			t.Fatalf("the stream ends within a packet: %v", err)
		}
		if h.Type == packet.PUBLISH {
			var p packet.Publish
			if err := p.Parse(h.Flags, stream[n:n+h.Length], packet.V5); err != nil {
				t.Fatal(err)
			}
			number := binary.BigEndian.Uint32(p.Payload)
			if !bytes.Equal(p.Payload, pattern(number, len(p.Payload))) {
				t.Fatalf("message %d is not what was sent", number)
			}
			got = append(got, number)
		}
		stream = stream[n+h.Length:]
	}
	return got
}

// TestLargePayloadsStayWhole: memory of a packet is not used again while somebody
// still sends from it or has kept it, whatever the receivers do in between.
func TestLargePayloadsStayWhole(t *testing.T) {
	sizes := []int{largePayload - 1, largePayload, 100_000, 100_001, 300_000}
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			b := newBench(t)
			b.cfg.Limits.MaxClientBytes = 1 << 20
			var links [4]*narrow
			var conns [4]*conn
			for i := range links {
				qos := byte(i % 2)
				conns[i] = b.connect(packet.Connect{ClientID: []byte{'a' + byte(i)}, CleanStart: true}, filter("t", qos))
				links[i] = &narrow{room: 1 << 30}
				conns[i].link = links[i]
			}
			from := b.connect(packet.Connect{ClientID: []byte("publisher"), CleanStart: true})
			const messages = 40
			for n := range uint32(messages) {
				for i, l := range links[1:] { // the first always has room
					if l.room = random.IntN(400_000); random.IntN(3) == 0 {
						conns[i+1].writable()
					}
				}
				p := packet.Publish{Topic: []byte("t"), Payload: pattern(n, sizes[random.IntN(len(sizes))]), QoS: 1, PacketID: uint16(n + 1), Retain: random.IntN(4) == 0}
				for rest := p.AppendTo(nil, packet.V5); len(rest) > 0; {
					space := from.space()
					k := copy(space[:min(len(space), 1+random.IntN(100_000))], rest)
					from.took(k)
					rest = rest[k:]
					if random.IntN(4) == 0 {
						b.turn()
					}
				}
				b.turn()
			}
			for i, l := range links {
				l.room = 1 << 30
				for range messages {
					conns[i].writable()
					b.turn()
				}
				got := numbers(t, l.taken)
				for k := range got {
					if k > 0 && got[k] <= got[k-1] {
						t.Fatalf("receiver %d: out of order: %v", i, got)
					}
				}
				if i == 0 && len(got) != messages {
					t.Errorf("the receiver that always has room got %d of %d", len(got), messages)
				}
			}
		})
	}
}

// TestLargePayloadsShareMemory: one after the other they come in the same memory,
// which goes when there are no more of them.
func TestLargePayloadsShareMemory(t *testing.T) {
	b := newBench(t)
	b.connect(packet.Connect{ClientID: []byte("s"), CleanStart: true}, filter("t", 1))
	from := b.connect(packet.Connect{ClientID: []byte("p"), CleanStart: true})
	message := (&packet.Publish{Topic: []byte("t"), Payload: make([]byte, 1<<20)}).AppendTo(nil, packet.V5)
	send := func() {
		for rest := message; len(rest) > 0; {
			k := copy(from.space(), rest[:min(len(rest), 64<<10)])
			from.took(k)
			rest = rest[k:]
		}
		b.turn()
	}
	send()
	if len(b.shelf.free) != 1 {
		t.Fatalf("%d on the shelf after the first", len(b.shelf.free))
	}
	if n := testing.AllocsPerRun(10, send); n > 2 {
		t.Errorf("%v allocations for a message", n)
	}
	if b.shelf.size != cap(b.shelf.free[0]) || b.shelf.size > len(message)+8<<10 {
		t.Errorf("%d bytes on the shelf", b.shelf.size)
	}
	b.timers.run(b.now.Add(shelfRest + time.Second))
	if b.shelf.size != 0 || len(b.shelf.free) != 0 {
		t.Error("still there after a while")
	}
}

func TestShelfIsBounded(t *testing.T) {
	b := newBench(t)
	for range 10 {
		b.shelve(make([]byte, 1<<20))
	}
	b.shelve(make([]byte, maxShelf+1))
	b.shelve(make([]byte, largePayload-1))
	if b.shelf.size != maxShelf || len(b.shelf.free) != maxShelf>>20 {
		t.Errorf("%d bytes in %d pieces", b.shelf.size, len(b.shelf.free))
	}
	if b.shelf.get(2<<20) != nil || b.shelf.get(1<<19) != nil {
		t.Error("gave memory of the wrong size")
	}
}
