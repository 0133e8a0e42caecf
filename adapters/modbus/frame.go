package modbus

import (
	"bytes"
	"encoding/binary"

	"github.com/goburrow/modbus"
)

// exceptionFlag is set in the function code of an exception.
const exceptionFlag = 0x80

// Sizes in bytes.
const (
	rtuMinFrame     = 4 // unit, function, CRC
	rtuMaxFrame     = 256
	rtuOverhead     = 3 // unit and CRC
	exceptionLength = 2 // of the PDU: function, code
)

// expectation is what the good answer to a request looks like: the bytes that
// its PDU begins with, and its length. An answer to another request, or one of
// another length than was asked for, doesn't match.
//
//	read:   function, byte count | data
//	write:  function, address, value or quantity, as in the request
type expectation struct {
	prefix  [7]byte
	matched int // bytes of prefix
	length  int // bytes of the PDU
}

// expect says what answers a request; ok is false for a function that this
// package doesn't use.
func expect(pdu []byte) (e expectation, ok bool) {
	if len(pdu) < 5 {
		return e, false
	}
	switch pdu[0] {
	case modbus.FuncCodeReadCoils, modbus.FuncCodeReadDiscreteInputs:
		return expectData(pdu[0], (int(binary.BigEndian.Uint16(pdu[3:]))+7)/8)
	case modbus.FuncCodeReadHoldingRegisters, modbus.FuncCodeReadInputRegisters:
		return expectData(pdu[0], 2*int(binary.BigEndian.Uint16(pdu[3:])))
	case modbus.FuncCodeWriteSingleCoil, modbus.FuncCodeWriteSingleRegister,
		modbus.FuncCodeWriteMultipleCoils, modbus.FuncCodeWriteMultipleRegisters:
		return expectEcho(pdu[:5])
	case modbus.FuncCodeMaskWriteRegister:
		if len(pdu) >= 7 {
			return expectEcho(pdu[:7])
		}
	}
	return e, false
}

func expectData(function byte, count int) (e expectation, ok bool) {
	e.prefix[0], e.prefix[1] = function, byte(count)
	e.matched, e.length = 2, 2+count
	return e, count <= 250
}

func expectEcho(head []byte) (e expectation, ok bool) {
	e.matched = copy(e.prefix[:], head)
	e.length = e.matched
	return e, true
}

// function is the function code of the request.
func (e *expectation) function() byte { return e.prefix[0] }

// answeredBy says whether pdu is the good answer.
func (e *expectation) answeredBy(pdu []byte) bool {
	return len(pdu) == e.length && bytes.Equal(pdu[:e.matched], e.prefix[:e.matched])
}

// refusedBy says whether pdu is an exception to the request.
func (e *expectation) refusedBy(pdu []byte) bool {
	return len(pdu) == exceptionLength && pdu[0] == e.prefix[0]|exceptionFlag
}

// same says whether an answer to e can't be told from an answer to other.
func (e *expectation) same(other *expectation) bool { return *e == *other }

// responseLength is the length of the RTU frame that b begins with, 0 when b is
// too short to tell or begins with nothing that could be an answer.
func responseLength(b []byte) int {
	if len(b) < 3 {
		return 0
	}
	switch f := b[1]; {
	case f&exceptionFlag != 0:
		return rtuOverhead + exceptionLength
	case f >= modbus.FuncCodeReadCoils && f <= modbus.FuncCodeReadInputRegisters:
		return rtuOverhead + 2 + int(b[2])
	case f == modbus.FuncCodeWriteSingleCoil, f == modbus.FuncCodeWriteSingleRegister,
		f == modbus.FuncCodeWriteMultipleCoils, f == modbus.FuncCodeWriteMultipleRegisters:
		return rtuOverhead + 5
	case f == modbus.FuncCodeMaskWriteRegister:
		return rtuOverhead + 7
	}
	return 0
}

// intact says whether frame ends with the CRC of what is before it.
func intact(frame []byte) bool {
	n := len(frame) - 2
	return n >= rtuMinFrame-2 && crc16(frame[:n]) == binary.LittleEndian.Uint16(frame[n:])
}

// crc16 is the checksum of RTU frames: polynomial 0xA001 (reflected), all ones
// at the start, the low byte sent first.
func crc16(b []byte) uint16 {
	crc := uint16(0xFFFF)
	for _, x := range b {
		crc = crc>>4 ^ crcNibble[(crc^uint16(x))&15]
		crc = crc>>4 ^ crcNibble[(crc^uint16(x)>>4)&15]
	}
	return crc
}

// crcNibble has the CRC of each half byte.
var crcNibble = [16]uint16{
	0x0000, 0xCC01, 0xD801, 0x1400, 0xF001, 0x3C00, 0x2800, 0xE401,
	0xA001, 0x6C00, 0x7800, 0xB401, 0x5000, 0x9C01, 0x8801, 0x4400,
}
