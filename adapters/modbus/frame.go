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
	rtuHeader       = 1 // the unit
	rtuTrailer      = 2 // the CRC
	rtuOverhead     = rtuHeader + rtuTrailer
	exceptionLength = 2 // of the PDU: function, code
)

// expectation is what the good answer to a request looks like: the bytes that
// its PDU begins with, and its length. An answer to another request, or one of
// another length than was asked for, doesn't match.
//
//	read:      function, byte count | data
//	write:     function, address, value or quantity, as in the request
//	describe:  function [, MEI type] | as long as it says itself
type expectation struct {
	prefix  [7]byte
	matched int // bytes of prefix
	length  int // bytes of the PDU; 0: the answer says itself how long it is
}

// expect says what answers a request; ok is false for a function that this
// package doesn't use.
func expect(pdu []byte) (e expectation, ok bool) {
	if len(pdu) == 0 {
		return e, false
	}
	switch n := len(pdu); {
	case pdu[0] == funcReportServerID && n == 1,
		pdu[0] == modbus.FuncCodeReadFIFOQueue && n == 3:
		return expectAny(pdu[:1])
	case pdu[0] == funcEncapsulated && n == 4 && pdu[1] == meiIdentification:
		return expectAny(pdu[:2])
	case n < 5:
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
	case modbus.FuncCodeReadWriteMultipleRegisters:
		return expectData(pdu[0], 2*int(binary.BigEndian.Uint16(pdu[3:])))
	}
	return e, false
}

// The functions for which goburrow has no names.
const (
	funcReportServerID = 17
	funcEncapsulated   = 43 // with the MEI type
	meiIdentification  = 14
)

// expectAny expects an answer that says itself how long it is.
func expectAny(head []byte) (e expectation, ok bool) {
	e.matched = copy(e.prefix[:], head)
	return e, true
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
	length := e.lengthOf(pdu)
	return length > 0 && len(pdu) == length && bytes.Equal(pdu[:e.matched], e.prefix[:e.matched])
}

// lengthOf is how long the good answer is that pdu begins with, 0 while that
// can't be told.
func (e *expectation) lengthOf(pdu []byte) int {
	if e.length > 0 {
		return e.length
	}
	return answerLength(pdu)
}

// least is how long the good answer is at least.
func (e *expectation) least() int { return max(e.length, exceptionLength) }

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
	if n := answerLength(b[1:]); n > 0 && n+rtuOverhead <= rtuMaxFrame {
		return n + rtuOverhead
	}
	return 0
}

// answerLength is the length of the answer that pdu begins with, 0 when pdu is
// too short to tell or begins with nothing that could be an answer.
func answerLength(pdu []byte) int {
	if len(pdu) < 2 {
		return 0
	}
	switch f := pdu[0]; {
	case f&exceptionFlag != 0:
		return exceptionLength
	case f >= modbus.FuncCodeReadCoils && f <= modbus.FuncCodeReadInputRegisters,
		f == modbus.FuncCodeReadWriteMultipleRegisters, f == funcReportServerID:
		return 2 + int(pdu[1])
	case f == modbus.FuncCodeWriteSingleCoil, f == modbus.FuncCodeWriteSingleRegister,
		f == modbus.FuncCodeWriteMultipleCoils, f == modbus.FuncCodeWriteMultipleRegisters:
		return 5
	case f == modbus.FuncCodeMaskWriteRegister:
		return 7
	case f == modbus.FuncCodeReadFIFOQueue && len(pdu) >= 3:
		return 3 + int(binary.BigEndian.Uint16(pdu[1:]))
	case f == funcEncapsulated:
		return identificationLength(pdu)
	}
	return 0
}

// identificationLength follows the objects of an answer to function 43/14:
//
//	43, 14, code, conformity, more follows, next object, count | id, length, text | …
func identificationLength(pdu []byte) int {
	const head = 7
	if len(pdu) < head {
		return 0
	}
	n := head
	for range pdu[head-1] {
		if len(pdu) < n+2 {
			return 0
		}
		n += 2 + int(pdu[n+1])
	}
	return n
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
