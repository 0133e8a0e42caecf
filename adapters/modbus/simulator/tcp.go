package simulator

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"time"
)

// ServeTCP answers Modbus TCP on ln until ctx ends; it closes ln.
func (s *Slave) ServeTCP(ctx context.Context, ln net.Listener) error {
	return s.listen(ctx, ln, s.ServeConn)
}

// ServeConn answers Modbus TCP on one connection until it or ctx ends; it closes
// the connection.
func (s *Slave) ServeConn(ctx context.Context, conn net.Conn) error {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	return s.serve(ctx, &tcpFraming{conn: conn, r: bufio.NewReader(conn), count: &s.count, turn: newTurn()})
}

// tcpFraming is Modbus TCP: transaction id, protocol 0, length, unit, PDU.
type tcpFraming struct {
	conn  net.Conn
	r     *bufio.Reader
	count *counts

	turn turn
	out  []byte // guarded by turn
}

const tcpHeader = 7

var errNotModbus = errors.New("the peer does not speak Modbus TCP")

func (f *tcpFraming) next() (frame, error) {
	var header [tcpHeader]byte
	if _, err := io.ReadFull(f.r, header[:]); err != nil {
		return frame{}, err
	}
	protocol, length := binary.BigEndian.Uint16(header[2:]), binary.BigEndian.Uint16(header[4:])
	if protocol != 0 || length < 2 || length > 254 {
		f.count.badFrames.Add(1)
		return frame{}, errNotModbus
	}
	pdu := make([]byte, length-1)
	if _, err := io.ReadFull(f.r, pdu); err != nil {
		return frame{}, err
	}
	return frame{tag: binary.BigEndian.Uint16(header[:]), unit: header[6], pdu: pdu, end: time.Now()}, nil
}

// send writes an answer. A client that is gone makes next fail, so the error of
// writing says nothing new. TCP keeps bytes intact, so of the faults only Drop and
// Delay apply.
func (f *tcpFraming) send(a frame, _ Fault) {
	f.turn.take()
	defer f.turn.give()
	b := binary.BigEndian.AppendUint16(f.out[:0], a.tag)
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(1+len(a.pdu)))
	b = append(b, a.unit)
	b = append(b, a.pdu...)
	f.out = b
	_, _ = f.conn.Write(b)
}
