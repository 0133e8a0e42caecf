package simulator

import (
	"encoding/binary"
	"time"
)

// Identity is what a unit says of itself: with function 43/14 by object (0 vendor,
// 1 product code, 2 revision …), with function 17 the product.
type Identity map[byte]string

// Identify gives the unit an identity. Without one it knows neither function.
func (u *Unit) Identify(id Identity) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.identity = id
}

// Queue gives the unit a FIFO queue, which function 24 reads and leaves as it is.
func (u *Unit) Queue(address uint16, values ...uint16) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.queues == nil {
		u.queues = make(map[uint16][]uint16)
	}
	u.queues[address] = values
}

// describe answers the functions 17, 24 and 43/14.
func (u *Unit) describe(pdu []byte, _ time.Time) ([]byte, exception) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case pdu[0] == 24 && len(pdu) == 3:
		return u.queueLocked(binary.BigEndian.Uint16(pdu[1:]))
	case u.identity == nil:
		return nil, illegalFunction
	case pdu[0] == 17 && len(pdu) == 1:
		text := u.identity[1]
		answer := append([]byte{17, byte(len(text) + 2), 1}, text...)
		return append(answer, 0xFF), 0 // it runs
	case pdu[0] == 43 && len(pdu) == 4 && pdu[1] == 14:
		return u.objectsLocked(pdu[2], pdu[3])
	}
	return nil, illegalValue
}

func (u *Unit) queueLocked(address uint16) ([]byte, exception) {
	queue, exists := u.queues[address]
	switch {
	case !exists:
		return nil, illegalAddress
	case len(queue) > 31:
		return nil, illegalValue
	}
	answer := binary.BigEndian.AppendUint16([]byte{24}, uint16(2+2*len(queue)))
	answer = binary.BigEndian.AppendUint16(answer, uint16(len(queue)))
	for _, v := range queue {
		answer = binary.BigEndian.AppendUint16(answer, v)
	}
	return answer, 0
}

// objectsLocked gives the objects from first on that fit: code 1 is the basic
// three, 2 those up to 0x7F, 3 all, 4 the one that is named.
func (u *Unit) objectsLocked(code, first byte) ([]byte, exception) {
	last, known := map[byte]byte{1: 2, 2: 0x7F, 3: 0xFF, 4: first}[code]
	if _, exists := u.identity[first]; !known || code == 4 && !exists {
		if !known {
			return nil, illegalValue
		}
		return nil, illegalAddress
	}
	answer := []byte{43, 14, code, 0x83, 0, 0, 0}
	for id := int(first); id <= int(last); id++ {
		text, exists := u.identity[byte(id)]
		if !exists {
			continue
		}
		text = text[:min(len(text), 200)]
		if len(answer)+2+len(text) > 253 {
			answer[4], answer[5] = 0xFF, byte(id) // more follows
			break
		}
		answer[6]++
		answer = append(append(answer, byte(id), byte(len(text))), text...)
	}
	return answer, 0
}

// exchange answers function 23: it writes first, and then reads.
func (u *Unit) exchange(pdu []byte, b Behaviour, now time.Time, count *counts) ([]byte, exception) {
	if len(pdu) < 10 {
		return nil, illegalValue
	}
	address, n := binary.BigEndian.Uint16(pdu[5:]), int(binary.BigEndian.Uint16(pdu[7:]))
	if n < 1 || n > 121 || int(pdu[9]) != 2*n || len(pdu) != 10+2*n {
		return nil, illegalValue
	}
	if int(address)+n > 1<<16 {
		return nil, illegalAddress
	}
	values := make([]uint16, n)
	for i := range values {
		values[i] = binary.BigEndian.Uint16(pdu[10+2*i:])
	}
	if refused := u.write(Holdings, address, values, count); refused != 0 {
		return nil, refused
	}
	return u.read(23, Holdings, binary.BigEndian.Uint16(pdu[1:]), int(binary.BigEndian.Uint16(pdu[3:])), b, now, count)
}
