package simulator

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"time"
)

// Line carries the bytes of RTU frames: the master side of a pseudo-terminal, a
// connection.
type Line interface {
	io.ReadWriter
	SetReadDeadline(time.Time) error
}

// ServeRTU answers RTU frames on line until ctx ends, or the line is gone.
func (s *Slave) ServeRTU(ctx context.Context, line Line, wire Wire) error {
	f := &rtuFraming{line: line, wire: wire, count: &s.count, done: ctx.Done(), turn: newTurn()}
	defer context.AfterFunc(ctx, func() { _ = line.SetReadDeadline(time.Unix(1, 0)) })()
	err := s.serve(ctx, f)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// ServeRTUOverTCP is a serial device server: RTU frames on the connections of ln.
func (s *Slave) ServeRTUOverTCP(ctx context.Context, ln net.Listener, wire Wire) error {
	return s.listen(ctx, ln, func(ctx context.Context, conn net.Conn) error {
		defer conn.Close()
		defer context.AfterFunc(ctx, func() { conn.Close() })()
		return s.ServeRTU(ctx, conn, wire)
	})
}

// rtuFraming is RTU: unit, PDU, CRC. Where a request ends is known from its
// function; bytes that are no request are dropped at the next silence.
type rtuFraming struct {
	line  Line
	wire  Wire
	count *counts
	done  <-chan struct{}

	// Owned by next.
	buf      [1024]byte
	n        int
	frameEnd time.Time // when the last request's last byte was on the wire

	turn turn
	idle time.Time // when the wire is free again; guarded by turn
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
		m, err := f.read()
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

func (f *rtuFraming) read() (int, error) {
	deadline := time.Time{}
	if f.n > 0 {
		deadline = time.Now().Add(garbagePause + 256*f.wire.Char)
	}
	// The end of ctx sets a deadline too, and must not be undone.
	if err := f.line.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	if f.stopped() {
		return 0, os.ErrDeadlineExceeded
	}
	return f.line.Read(f.buf[f.n:])
}

func (f *rtuFraming) stopped() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

func (f *rtuFraming) garbage() {
	f.count.badFrames.Add(1)
	f.n = 0
}

// cut takes a request of n bytes, whose first came at begun, out of the buffer.
func (f *rtuFraming) cut(n int, begun time.Time) (request frame, ok bool) {
	b := f.buf[:n]
	intact := crc16(b[:n-2]) == binary.LittleEndian.Uint16(b[n-2:])
	if !intact {
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

// onWire accounts for a request of n bytes that begins now. It is not heard on a
// strict wire, when it came too early.
func (f *rtuFraming) onWire(begun time.Time, n int) (heard bool) {
	f.turn.take()
	defer f.turn.give()
	heard = true
	if f.wire.Char > 0 && begun.Sub(f.idle) < f.wire.Quiet-f.wire.slack() {
		f.count.violations.Add(1)
		heard = !f.wire.Strict
	}
	took := time.Duration(n) * f.wire.Char
	f.frameEnd = begun.Add(took)
	f.idle = later(f.idle, f.frameEnd)
	f.count.busy.Add(int64(took))
	return heard
}

// send writes an answer with its faults.
func (f *rtuFraming) send(a frame, fault Fault) {
	b := append([]byte{a.unit}, a.pdu...)
	b = binary.LittleEndian.AppendUint16(b, crc16(b))
	for range fault.Flip {
		i := rand.N(8 * len(b))
		b[i/8] ^= 1 << (i % 8)
	}
	b = b[:max(0, len(b)-fault.Cut)]
	f.emit(append(append([]byte(nil), fault.Noise...), b...), a.end)
}

// emit puts b onto the wire, where each byte takes its time. A line that is gone
// makes next fail, so the error of writing says nothing new.
func (f *rtuFraming) emit(b []byte, from time.Time) {
	f.turn.take()
	defer f.turn.give()
	from = later(from, f.idle)
	f.wire.write(f.line, b, from)
	took := time.Duration(len(b)) * f.wire.Char
	f.idle = from.Add(took)
	f.count.busy.Add(int64(took))
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
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
