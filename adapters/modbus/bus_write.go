package modbus

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/goburrow/modbus"
)

// writeBit sets a coil.
func (b *bus) writeBit(unit byte, address uint16, on bool, timeout time.Duration) error {
	value := uint16(0)
	if on {
		value = 0xFF00
	}
	return b.write(unit, modbus.FuncCodeWriteSingleCoil, address, value, timeout, func() ([]byte, error) {
		return b.client.WriteSingleCoil(address, value)
	})
}

// writeBits sets count coils; data has eight in a byte, the lowest first.
func (b *bus) writeBits(unit byte, address, count uint16, data []byte, timeout time.Duration) error {
	return b.write(unit, modbus.FuncCodeWriteMultipleCoils, address, count, timeout, func() ([]byte, error) {
		return b.client.WriteMultipleCoils(address, count, data)
	})
}

// writeMask sets one bit of a register, and leaves it to the device to keep the
// others. The answer repeats the whole request.
func (b *bus) writeMask(unit byte, address uint16, bit int8, on bool, timeout time.Duration) error {
	and, or := ^(uint16(1) << bit), uint16(0)
	if on {
		or = 1 << bit
	}
	head := binary.BigEndian.AppendUint16([]byte{modbus.FuncCodeMaskWriteRegister}, address)
	head = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(head, and), or)
	want, _ := expectEcho(head)
	b.probed = false
	_, err := b.request(unit, want, timeout, func() ([]byte, error) { return b.client.MaskWriteRegister(address, and, or) })
	return err
}

// writeRegister sets one register.
func (b *bus) writeRegister(unit byte, address, value uint16, timeout time.Duration) error {
	return b.write(unit, modbus.FuncCodeWriteSingleRegister, address, value, timeout, func() ([]byte, error) {
		return b.client.WriteSingleRegister(address, value)
	})
}

// writeRegisters sets several registers in one request.
func (b *bus) writeRegisters(unit byte, address uint16, data []byte, timeout time.Duration) error {
	count := uint16(len(data) / 2)
	return b.write(unit, modbus.FuncCodeWriteMultipleRegisters, address, count, timeout, func() ([]byte, error) {
		return b.client.WriteMultipleRegisters(address, count, data)
	})
}

// exchangeRegisters sets registers and reads the same ones, in one request.
func (b *bus) exchangeRegisters(unit byte, address uint16, data []byte, timeout time.Duration) ([]byte, error) {
	count := uint16(len(data) / 2)
	want, _ := expectData(modbus.FuncCodeReadWriteMultipleRegisters, len(data))
	b.probed = false
	if !b.numbered && b.state(unit).confuses(&want) {
		return nil, errOutOfStep
	}
	return b.request(unit, want, timeout, func() ([]byte, error) {
		return b.client.ReadWriteMultipleRegisters(address, count, address, count, data)
	})
}

// write carries out a request whose answer repeats function, address and value.
func (b *bus) write(unit, function byte, address, value uint16, timeout time.Duration, do func() ([]byte, error)) error {
	head := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16([]byte{function}, address), value)
	want, _ := expectEcho(head)
	b.probed = false
	_, err := b.request(unit, want, timeout, do)
	return err
}

// raw carries out any request that this package knows the answer's form of, and
// gives the answer behind its function code. It is for the functions that
// goburrow's client lacks (17, 43/14) or has wrong (24), and for other masters'
// requests. The answer is valid until the next request.
func (b *bus) raw(unit byte, pdu []byte, timeout time.Duration) ([]byte, error) {
	want, ok := expect(pdu)
	if !ok {
		return nil, &modbus.ModbusError{FunctionCode: pdu[0] | exceptionFlag, ExceptionCode: exceptionIllegalFunction}
	}
	b.probed = false
	if u := b.state(unit); !b.numbered && want.matched < 3 && u.confuses(&want) {
		return nil, errOutOfStep
	}
	return b.request(unit, want, timeout, func() ([]byte, error) { return b.send(pdu) })
}

// send is goburrow's client for any function.
func (b *bus) send(pdu []byte) ([]byte, error) {
	request, err := b.handler.Encode(&modbus.ProtocolDataUnit{FunctionCode: pdu[0], Data: pdu[1:]})
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	answer, err := b.handler.Send(request)
	if err != nil {
		return nil, err
	}
	if err := b.handler.Verify(request, answer); err != nil {
		return nil, fmt.Errorf("%w: %w", errGarbled, err)
	}
	response, err := b.handler.Decode(answer)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errGarbled, err)
	case response.FunctionCode != pdu[0]:
		refusal := &modbus.ModbusError{FunctionCode: response.FunctionCode}
		if len(response.Data) > 0 {
			refusal.ExceptionCode = response.Data[0]
		}
		return nil, refusal
	}
	return response.Data, nil
}
