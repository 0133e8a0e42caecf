package load

import (
	"encoding/binary"
	"slices"
)

// stamp is the beginning of each payload.
//
//	 4 bytes   4 bytes      8 bytes     8 bytes, ns, of the sender's clock
//	+--------+------------+-----------+-----------+
//	|  run   | publisher  | sequence  |   time    |
//	+--------+------------+-----------+-----------+
type stamp struct {
	run       uint32
	publisher uint32
	sequence  uint64
	time      int64
}

const stampSize = 24

func (s stamp) put(b []byte) {
	binary.BigEndian.PutUint32(b, s.run)
	binary.BigEndian.PutUint32(b[4:], s.publisher)
	binary.BigEndian.PutUint64(b[8:], s.sequence)
	binary.BigEndian.PutUint64(b[16:], uint64(s.time))
}

// readStamp is false for what is no payload of ours.
func readStamp(b []byte) (s stamp, ok bool) {
	if len(b) < stampSize {
		return s, false
	}
	return stamp{
		run:       binary.BigEndian.Uint32(b),
		publisher: binary.BigEndian.Uint32(b[4:]),
		sequence:  binary.BigEndian.Uint64(b[8:]),
		time:      int64(binary.BigEndian.Uint64(b[16:])),
	}, true
}

// stream follows the sequence numbers of one publisher at one subscriber. They
// begin at 0. What has been skipped is remembered, so that a late message is told
// from a repeated one.
type stream struct {
	next      uint64
	missing   []span // ascending
	late      uint64 // out of order
	duplicate uint64
}

// span is the sequence numbers from first to before end.
type span struct{ first, end uint64 }

// take counts a message; fresh is false for a repeated one.
func (s *stream) take(seq uint64) (fresh bool) {
	switch {
	case seq == s.next:
		s.next++
		return true
	case seq > s.next:
		s.missing = append(s.missing, span{s.next, seq})
		s.next = seq + 1
		return true
	}
	i, found := slices.BinarySearchFunc(s.missing, seq, func(m span, seq uint64) int {
		switch {
		case m.end <= seq:
			return -1
		case m.first > seq:
			return 1
		}
		return 0
	})
	if !found {
		s.duplicate++
		return false
	}
	s.late++
	s.fill(i, seq)
	return true
}

// fill takes seq out of the span at i.
func (s *stream) fill(i int, seq uint64) {
	m := s.missing[i]
	left, right := span{m.first, seq}, span{seq + 1, m.end}
	var rest []span
	for _, part := range []span{left, right} {
		if part.first < part.end {
			rest = append(rest, part)
		}
	}
	s.missing = slices.Replace(s.missing, i, i+1, rest...)
}
