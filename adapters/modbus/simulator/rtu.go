package simulator

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"time"
)

// ServeRTU answers RTU frames on line until ctx ends, or the line is gone.
func (s *Slave) ServeRTU(ctx context.Context, line Line, wire Wire) error {
	return s.serveLine(ctx, line, wire, func(m medium) framing { return &rtuFraming{medium: m} })
}

// ServeRTUOverTCP is a serial device server: RTU frames on the connections of ln.
func (s *Slave) ServeRTUOverTCP(ctx context.Context, ln net.Listener, wire Wire) error {
	return s.listen(ctx, ln, func(ctx context.Context, conn net.Conn) error {
		return onConn(ctx, conn, func(line Line) error { return s.ServeRTU(ctx, line, wire) })
	})
}

// onConn serves a connection as a line, and closes it.
func onConn(ctx context.Context, conn net.Conn, serve func(Line) error) error {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	return serve(conn)
}

// rtuFraming is RTU: unit, PDU, CRC. Where a request ends is known from its
// function; bytes that are no request are dropped at the next silence.
type rtuFraming struct {
	medium

	// Owned by next.
	buf [1024]byte
	n   int
}

// garbagePause is a silence after which a part of a frame is given up.
const garbagePause = 20 * time.Millisecond

func (f *rtuFraming) next() (frame, error) {
	var begun time.Time
	for {
		if n := requestLength(f.buf[:f.n]); n > 0 && f.n >= n {
			if request, ok := f.cut(n, begun); ok {
				return request, nil
			}
			continue
		}
		m, err := f.read(f.buf[f.n:], f.patience())
		if f.n == 0 {
			begun = time.Now()
		}
		f.n += m
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && !f.stopped():
			f.garbage()
		case err != nil:
			return frame{}, err
		case f.n == len(f.buf):
			f.garbage()
		}
	}
}

// patience is how long the rest of a frame may take.
func (f *rtuFraming) patience() time.Duration {
	if f.n == 0 {
		return 0
	}
	return garbagePause + 256*f.wire.Char
}

func (f *rtuFraming) garbage() {
	f.count.badFrames.Add(1)
	f.n = 0
}

// cut takes a request of n bytes, whose first came at begun, out of the buffer.
func (f *rtuFraming) cut(n int, begun time.Time) (request frame, ok bool) {
	b := f.buf[:n]
	if !intact(b) {
		f.garbage()
		return frame{}, false
	}
	b = append([]byte(nil), b...)
	request = frame{unit: b[0], pdu: b[1 : n-2]}
	f.n = copy(f.buf[:], f.buf[n:f.n])
	heard := f.onWire(begun, n)
	request.end = time.Now()
	if f.wire.Char > 0 {
		request.end = f.frameEnd.Add(f.wire.Quiet)
	}
	if f.wire.Echo {
		f.emit(b, time.Now())
	}
	return request, heard
}

// send writes an answer with its faults.
func (f *rtuFraming) send(a frame, fault Fault) {
	b := append([]byte{a.unit}, a.pdu...)
	b = binary.LittleEndian.AppendUint16(b, crc16(b))
	if fault.Flip > 0 {
		sent := bytes.Clone(b)
		for range fault.Flip {
			i := rand.N(8 * len(b))
			b[i/8] ^= 1 << (i % 8)
		}
		if intact(b) && !bytes.Equal(b, sent) {
			f.slave.tellUndetected(bytes.Clone(b[:len(b)-2]))
		}
	}
	b = b[:max(0, len(b)-fault.Cut)]
	f.emit(append(append([]byte(nil), fault.Noise...), b...), a.end)
}

// requestLength is the length of the request that b begins with, 0 while it
// isn't known.
func requestLength(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case 17:
		return 4
	case 24, 43:
		return map[byte]int{24: 6, 43: 7}[b[1]]
	case 15, 16:
		if len(b) < 7 {
			return 0
		}
		return 9 + int(b[6])
	case 22:
		return 10
	case 23:
		if len(b) < 11 {
			return 0
		}
		return 13 + int(b[10])
	default:
		return 8
	}
}

// intact says whether b ends with the checksum of what is before it.
func intact(b []byte) bool {
	n := len(b) - 2
	return crc16(b[:n]) == binary.LittleEndian.Uint16(b[n:])
}

// crc16 is the checksum of RTU frames, bit by bit as the standard describes it.
func crc16(b []byte) uint16 {
	crc := uint16(0xFFFF)
	for _, x := range b {
		crc ^= uint16(x)
		for range 8 {
			low := crc & 1
			crc >>= 1
			if low == 1 {
				crc ^= 0xA001
			}
		}
	}
	return crc
}
