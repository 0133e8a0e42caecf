package modbus

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/goburrow/modbus"
)

// Proxy lets other masters share the line: they speak Modbus TCP to us, and their
// requests take turns with ours. Names are those of the configuration file.
type Proxy struct {
	Address  string // host:port; "" is none
	Writable bool   // default: other masters may only read
	Units    []int  // which they may ask; default all
}

func (p Proxy) validate() error {
	if p.Address == "" {
		if p.Writable || len(p.Units) > 0 {
			return errors.New("proxy.address must not be empty")
		}
		return nil
	}
	if _, port, err := net.SplitHostPort(p.Address); err != nil || port == "" {
		return fmt.Errorf("proxy.address (%q) must be host:port, such as 127.0.0.1:1502", p.Address)
	}
	for _, unit := range p.Units {
		if unit < 0 || unit > 255 {
			return fmt.Errorf("proxy.units (%d) must be between 0 and 255", unit)
		}
	}
	return nil
}

// proxy is the server. Each connection has a goroutine, and one request at a time
// on its way; the loop carries it out between two of our own.
type proxy struct {
	config Proxy
	member *member
	log    *slog.Logger

	slots       chan struct{} // one a connection
	connections sync.WaitGroup
}

// How many masters may be connected, and how long one may be silent.
const (
	maxMasters  = 32
	masterIdle  = 10 * time.Minute
	acceptPause = 100 * time.Millisecond
)

// serveProxy accepts masters until ctx ends, and waits for what it started.
func serveProxy(ctx context.Context, ln net.Listener, c Proxy, m *member) {
	p := &proxy{config: c, member: m, log: m.log, slots: make(chan struct{}, maxMasters)}
	defer p.connections.Wait()
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	for ctx.Err() == nil {
		conn, err := ln.Accept()
		if err != nil {
			p.wait(ctx, acceptPause) // out of descriptors, say
			continue
		}
		select {
		case p.slots <- struct{}{}:
			p.connections.Go(func() { p.serve(ctx, conn) })
		default:
			p.log.Warn("another master is turned away: too many are connected", "address", conn.RemoteAddr().String(), "limit", maxMasters)
			conn.Close()
		}
	}
}

func (p *proxy) wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// serve answers one master until it goes, or speaks something else.
func (p *proxy) serve(ctx context.Context, conn net.Conn) {
	defer func() { <-p.slots }()
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	r := bufio.NewReaderSize(conn, 2*tcpMaxFrame)
	out := make([]byte, 0, tcpMaxFrame)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(masterIdle)) // one that is closed fails in the read
		var head [tcpHeader]byte
		pdu, err := readRequest(r, &head)
		if err != nil {
			return
		}
		answer := p.answer(ctx, head[tcpHeader-1], pdu)
		out = append(out[:0], head[:4]...)
		out = binary.BigEndian.AppendUint16(out, uint16(1+len(answer)))
		out = append(append(out, head[tcpHeader-1]), answer...)
		_ = conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

// readRequest reads a frame of Modbus TCP.
func readRequest(r io.Reader, head *[tcpHeader]byte) (pdu []byte, err error) {
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	protocol, length := binary.BigEndian.Uint16(head[2:]), int(binary.BigEndian.Uint16(head[4:]))
	if protocol != 0 || length < 2 || length+6 > tcpMaxFrame {
		return nil, errNotModbus
	}
	pdu = make([]byte, length-1)
	_, err = io.ReadFull(r, pdu)
	return pdu, err
}

// reading are the functions that change nothing.
var reading = []byte{
	modbus.FuncCodeReadCoils, modbus.FuncCodeReadDiscreteInputs, modbus.FuncCodeReadHoldingRegisters, modbus.FuncCodeReadInputRegisters,
	modbus.FuncCodeReadFIFOQueue, funcReportServerID, funcEncapsulated,
}

// wholeRequest says whether pdu, of a function that [expect] knows, is as long as
// its function has it. On a serial line a device takes what is beyond for the next
// frame, which could be anything: a write, where other masters may only read.
func wholeRequest(pdu []byte) bool {
	counted := func(at int) bool { return len(pdu) > at && len(pdu) == at+1+int(pdu[at]) }
	switch pdu[0] {
	case modbus.FuncCodeWriteMultipleCoils, modbus.FuncCodeWriteMultipleRegisters:
		return counted(5)
	case modbus.FuncCodeReadWriteMultipleRegisters:
		return counted(9)
	case modbus.FuncCodeMaskWriteRegister:
		return len(pdu) == 7
	case modbus.FuncCodeReadFIFOQueue, funcReportServerID, funcEncapsulated:
		return true // expect knows no others
	}
	return len(pdu) == 5
}

// answer is the PDU of the answer to a request.
func (p *proxy) answer(ctx context.Context, unit byte, pdu []byte) []byte {
	refuse := func(code byte) []byte { return []byte{pdu[0] | exceptionFlag, code} }
	want, known := expect(pdu)
	switch {
	case !known, !p.config.Writable && !slices.Contains(reading, pdu[0]):
		return refuse(exceptionIllegalFunction)
	case !wholeRequest(pdu):
		return refuse(exceptionIllegalValue)
	case len(p.config.Units) > 0 && !slices.Contains(p.config.Units, int(unit)):
		return refuse(modbus.ExceptionCodeGatewayPathUnavailable)
	case p.member.trunk.line.Serial() && (unit < 1 || unit > 247):
		return refuse(modbus.ExceptionCodeGatewayPathUnavailable)
	case want.length == 2 && want.matched == 2: // of nothing
		return refuse(exceptionIllegalValue)
	}
	reply := make(chan errandResult, 1)
	e := &errand{member: p.member, unit: unit, pdu: pdu, reply: reply}
	if _, _, ok := p.member.trunk.errands.put(e, func(*errand) bool { return false }); !ok {
		return refuse(modbus.ExceptionCodeServerDeviceBusy)
	}
	select {
	case result := <-reply:
		if result.err != nil {
			return refuse(modbus.ExceptionCodeGatewayPathUnavailable)
		}
		return result.pdu
	case <-ctx.Done():
		return refuse(modbus.ExceptionCodeGatewayPathUnavailable)
	}
}
