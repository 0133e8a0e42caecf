package modbus

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goburrow/modbus"

	"github.com/weir-edge/weir/adapters"
	"github.com/weir-edge/weir/core"
)

var _ adapters.Tracer = (*Adapter)(nil)

// Trace has every transaction of the line told, also those for other adapters and
// masters that share it, until stop is called. tell must not wait.
func (a *Adapter) Trace(tell func(core.Transaction)) (stop func()) { return a.trunk.taps.add(tell) }

// taps are those who want to be told. While there are none, they cost a look.
type taps struct {
	mu   sync.Mutex
	next int
	all  map[int]func(core.Transaction)           // guarded by mu
	list atomic.Pointer[[]func(core.Transaction)] // a copy for the loop; nil: nobody
}

func (t *taps) add(tell func(core.Transaction)) (remove func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all = make(map[int]func(core.Transaction))
	}
	number := t.next
	t.next++
	t.all[number] = tell
	t.publishLocked()
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.all, number)
		t.publishLocked()
	}
}

func (t *taps) publishLocked() {
	if len(t.all) == 0 {
		t.list.Store(nil)
		return
	}
	list := make([]func(core.Transaction), 0, len(t.all))
	for _, tell := range t.all {
		list = append(list, tell)
	}
	t.list.Store(&list)
}

// traced sends a request and tells of it. header is the bytes before the PDU, and
// trailer those behind it.
func (t *taps) traced(request []byte, header, trailer int, send func([]byte) ([]byte, error)) ([]byte, error) {
	list := t.list.Load()
	if list == nil {
		return send(request)
	}
	begun := time.Now()
	answer, err := send(request)
	x := core.Transaction{
		Time:    begun,
		Took:    time.Since(begun).Seconds(),
		Unit:    int(request[header-1]),
		Request: hex.EncodeToString(request),
		Answer:  hex.EncodeToString(answer),
	}
	x.Meaning = describeRequest(request[header : len(request)-trailer])
	switch {
	case err != nil:
		x.Error = err.Error()
	case len(answer) > header+trailer:
		x.Result, x.Error = describeAnswer(request[header:], answer[header:len(answer)-trailer])
	}
	for _, tell := range *list {
		tell(x)
	}
	return answer, err
}

// describeRequest says in words what a request asks for.
func describeRequest(pdu []byte) string {
	function := pdu[0]
	if len(pdu) < 5 {
		return map[byte]string{funcReportServerID: "report server id", modbus.FuncCodeReadFIFOQueue: "read queue", funcEncapsulated: "identify"}[function]
	}
	address, n := binary.BigEndian.Uint16(pdu[1:]), binary.BigEndian.Uint16(pdu[3:])
	if t := slices.Index(readFunctions[:], function); t >= 0 {
		return fmt.Sprintf("read %v:%d, %d", table(t), address, n)
	}
	switch function {
	case modbus.FuncCodeWriteSingleCoil:
		return fmt.Sprintf("write coil:%d, %d", address, n>>15)
	case modbus.FuncCodeWriteSingleRegister:
		return fmt.Sprintf("write holding:%d, %d", address, n)
	case modbus.FuncCodeWriteMultipleCoils:
		return fmt.Sprintf("write coil:%d, %d", address, n)
	case modbus.FuncCodeWriteMultipleRegisters:
		return fmt.Sprintf("write holding:%d, %d: %s", address, n, registers(pdu[min(6, len(pdu)):]))
	case modbus.FuncCodeMaskWriteRegister:
		return fmt.Sprintf("mask holding:%d", address)
	case modbus.FuncCodeReadWriteMultipleRegisters:
		return fmt.Sprintf("write and read holding:%d, %d", address, n)
	}
	return fmt.Sprintf("function %d", function)
}

// describeAnswer says what came back, or with what exception it was refused.
func describeAnswer(request, answer []byte) (result, refusal string) {
	if answer[0]&exceptionFlag != 0 && len(answer) >= exceptionLength {
		return "", explain(&modbus.ModbusError{FunctionCode: answer[0], ExceptionCode: answer[1]})
	}
	switch answer[0] {
	case modbus.FuncCodeReadCoils, modbus.FuncCodeReadDiscreteInputs:
		n := 0
		if len(request) >= 5 {
			n = int(binary.BigEndian.Uint16(request[3:]))
		}
		return bitText(answer[min(2, len(answer)):], n), ""
	case modbus.FuncCodeReadHoldingRegisters, modbus.FuncCodeReadInputRegisters, modbus.FuncCodeReadWriteMultipleRegisters:
		return registers(answer[min(2, len(answer)):]), ""
	case modbus.FuncCodeReadFIFOQueue:
		return registers(answer[min(5, len(answer)):]), ""
	case funcReportServerID, funcEncapsulated:
		return printable(answer[1:]), ""
	}
	return "ok", ""
}

// maxShown is how many values a line of a trace shows.
const maxShown = 16

// registers are the numbers in b.
func registers(b []byte) string {
	var words []string
	for i := 0; i+1 < len(b) && len(words) < maxShown; i += 2 {
		words = append(words, fmt.Sprint(binary.BigEndian.Uint16(b[i:])))
	}
	return strings.Join(words, " ") + rest(len(b)/2)
}

// bitText are the first n bits in b, the lowest of each byte first.
func bitText(b []byte, n int) string {
	var words []string
	for i := range min(n, 8*len(b), maxShown) {
		words = append(words, fmt.Sprint(b[i/8]>>(i%8)&1))
	}
	return strings.Join(words, " ") + rest(n)
}

func rest(n int) string {
	if n <= maxShown {
		return ""
	}
	return fmt.Sprintf(" … (%d)", n)
}
