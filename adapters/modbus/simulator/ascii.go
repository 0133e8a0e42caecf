package simulator

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"time"
)

// ServeASCII answers ASCII frames on line until ctx ends, or the line is gone.
func (s *Slave) ServeASCII(ctx context.Context, line Line, wire Wire) error {
	return s.serveLine(ctx, line, wire, func(m medium) framing { return &asciiFraming{medium: m} })
}

// ServeASCIIOverTCP is a serial device server for ASCII frames on the connections
// of ln.
func (s *Slave) ServeASCIIOverTCP(ctx context.Context, ln net.Listener, wire Wire) error {
	return s.listen(ctx, ln, func(ctx context.Context, conn net.Conn) error {
		return onConn(ctx, conn, func(line Line) error { return s.ServeASCII(ctx, line, wire) })
	})
}

// asciiFraming is ASCII: two digits a byte between a colon and the line's end, the
// last two of them the LRC.
//
//	: unit PDU LRC CR LF
//
// A colon begins a new frame whatever came before it. There is no silence to keep,
// but within a frame it is at most a second.
type asciiFraming struct {
	medium

	// Owned by next.
	text  []byte    // received, and not a whole line yet
	begun time.Time // when the first of text came
}

const (
	asciiPause   = time.Second
	asciiMaxText = 513
)

func (f *asciiFraming) next() (frame, error) {
	var b [256]byte
	for {
		if request, ok := f.cut(); ok {
			return request, nil
		}
		patience := time.Duration(0)
		if len(f.text) > 0 {
			patience = asciiPause
		}
		n, err := f.read(b[:], patience)
		if len(f.text) == 0 {
			f.begun = time.Now()
		}
		f.text = append(f.text, b[:n]...)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && !f.stopped():
			f.garbage()
		case err != nil:
			return frame{}, err
		}
	}
}

func (f *asciiFraming) garbage() {
	f.count.badFrames.Add(1)
	f.text = f.text[:0]
}

// cut takes the first line that is a request out of the text.
func (f *asciiFraming) cut() (request frame, ok bool) {
	for {
		end := bytes.IndexByte(f.text, '\n') + 1
		if end == 0 {
			if len(f.text) > asciiMaxText {
				f.garbage()
			}
			return frame{}, false
		}
		line := append([]byte(nil), f.text[:end]...)
		f.text = append(f.text[:0], f.text[end:]...)
		f.onWire(f.begun, len(line))
		body, ok := parseASCII(line)
		if !ok {
			f.count.badFrames.Add(1)
			continue
		}
		if f.wire.Echo {
			f.emit(line, time.Now())
		}
		request = frame{unit: body[0], pdu: body[1:], end: time.Now()}
		if f.wire.Char > 0 {
			request.end = f.frameEnd
		}
		return request, true
	}
}

// parseASCII gives unit and PDU of a line.
func parseASCII(line []byte) (body []byte, ok bool) {
	text, ended := bytes.CutSuffix(line, []byte("\r\n"))
	colon := bytes.LastIndexByte(text, ':')
	if !ended || colon < 0 {
		return nil, false
	}
	body, err := hex.DecodeString(string(text[colon+1:]))
	if err != nil || len(body) < 3 || lrc(body) != 0 {
		return nil, false
	}
	return body[:len(body)-1], true
}

// send writes an answer with its faults.
func (f *asciiFraming) send(a frame, fault Fault) {
	body := append([]byte{a.unit}, a.pdu...)
	body = append(body, lrc(body))
	line := append([]byte{':'}, bytes.ToUpper(hex.AppendEncode(nil, body))...)
	line = append(line, '\r', '\n')
	for range fault.Flip {
		i := rand.N(7 * len(line)) // a character has seven bits
		line[i/7] ^= 1 << (i % 7)
	}
	if heard, ok := parseASCII(line); ok && !bytes.Equal(heard, body[:len(body)-1]) {
		f.slave.tellUndetected(heard)
	}
	line = line[:max(0, len(line)-fault.Cut)]
	f.emit(append(append([]byte(nil), fault.Noise...), line...), a.end)
}

// lrc is the checksum of ASCII frames: what makes the sum of all bytes 0.
func lrc(b []byte) (sum byte) {
	for _, x := range b {
		sum -= x
	}
	return sum
}
