package simulator

import (
	"encoding/binary"
	"time"
)

// Exception codes.
const (
	illegalFunction = 1
	illegalAddress  = 2
	illegalValue    = 3
)

// exception is a refusal, by its code.
type exception byte

// execute carries out the request in pdu and gives the PDU of the answer.
func (u *Unit) execute(pdu []byte, now time.Time, count *counts) []byte {
	b := u.current()
	answer, refused := []byte(nil), exception(b.Exception)
	if refused == 0 {
		answer, refused = u.dispatch(pdu, b, now, count)
	}
	if refused != 0 {
		count.exceptions.Add(1)
		return []byte{pdu[0] | 0x80, byte(refused)}
	}
	return answer
}

func (u *Unit) dispatch(pdu []byte, b Behaviour, now time.Time, count *counts) ([]byte, exception) {
	if pdu[0] == b.NoFunction {
		return nil, illegalFunction
	}
	switch pdu[0] {
	case 17, 24, 43:
		return u.describe(pdu, now)
	}
	if len(pdu) < 5 {
		return nil, illegalValue
	}
	address, value := binary.BigEndian.Uint16(pdu[1:]), binary.BigEndian.Uint16(pdu[3:])
	switch pdu[0] {
	case 1, 2, 3, 4:
		t := [...]Table{1: Coils, 2: Discretes, 3: Holdings, 4: Inputs}[pdu[0]]
		return u.read(pdu[0], t, address, int(value), b, now, count)
	case 5:
		if value != 0 && value != 0xFF00 {
			return nil, illegalValue
		}
		return pdu[:5], u.write(Coils, address, []uint16{value >> 15}, count)
	case 6:
		return pdu[:5], u.write(Holdings, address, []uint16{value}, count)
	case 15, 16:
		return u.writeMany(pdu, address, int(value), count)
	case 22:
		return u.mask(pdu, address, now, count)
	case 23:
		return u.exchange(pdu, b, now, count)
	}
	return nil, illegalFunction
}

// read answers the functions 1 to 4.
func (u *Unit) read(function byte, t Table, address uint16, n int, b Behaviour, now time.Time, count *counts) ([]byte, exception) {
	bits := t == Coils || t == Discretes
	switch {
	case n < 1, bits && n > 2000, !bits && n > 125:
		return nil, illegalValue
	case !bits && b.MaxRegisters > 0 && n > b.MaxRegisters:
		return nil, illegalValue
	case int(address)+n > 1<<16:
		return nil, illegalAddress
	}
	answer := []byte{function, 0}
	if bits {
		answer = append(answer, make([]byte, (n+7)/8)...)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := range n {
		v, exists := u.getLocked(t, address+uint16(i), now)
		if !exists {
			return nil, illegalAddress
		}
		if bits {
			answer[2+i/8] |= byte(v&1) << (i % 8)
		} else {
			answer = binary.BigEndian.AppendUint16(answer, v)
		}
	}
	answer[1] = byte(len(answer) - 2)
	count.registers.Add(uint64(n))
	return answer, 0
}

// write sets the registers or bits from address on, all or none.
func (u *Unit) write(t Table, address uint16, values []uint16, count *counts) exception {
	u.mu.Lock()
	for i := range values {
		if _, exists := u.cells[t][address+uint16(i)]; !exists {
			u.mu.Unlock()
			return illegalAddress
		}
	}
	for i, v := range values {
		if !u.forgets {
			u.cells[t][address+uint16(i)] = cell{value: v}
		}
	}
	written := u.written
	u.mu.Unlock()
	count.written.Add(uint64(len(values)))
	if written != nil {
		for i, v := range values {
			written(t, address+uint16(i), v)
		}
	}
	return 0
}

// writeMany answers the functions 15 and 16.
func (u *Unit) writeMany(pdu []byte, address uint16, n int, count *counts) ([]byte, exception) {
	t, size := Holdings, 2*n
	if pdu[0] == 15 {
		t, size = Coils, (n+7)/8
	}
	if n < 1 || len(pdu) != 6+size || int(pdu[5]) != size {
		return nil, illegalValue
	}
	if int(address)+n > 1<<16 {
		return nil, illegalAddress
	}
	data, values := pdu[6:], make([]uint16, n)
	for i := range values {
		if t == Coils {
			values[i] = uint16(data[i/8] >> (i % 8) & 1)
		} else {
			values[i] = binary.BigEndian.Uint16(data[2*i:])
		}
	}
	return pdu[:5], u.write(t, address, values, count)
}

// mask answers function 22: new = (old and pattern) or (addition and not pattern).
func (u *Unit) mask(pdu []byte, address uint16, now time.Time, count *counts) ([]byte, exception) {
	if len(pdu) != 7 {
		return nil, illegalValue
	}
	and, or := binary.BigEndian.Uint16(pdu[3:]), binary.BigEndian.Uint16(pdu[5:])
	u.mu.Lock()
	old, exists := u.getLocked(Holdings, address, now)
	u.mu.Unlock()
	if !exists {
		return nil, illegalAddress
	}
	return pdu, u.write(Holdings, address, []uint16{old&and | or&^and}, count)
}
