package modbus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/goburrow/modbus"
)

// The header of Modbus TCP:
//
//	+----------------+----------+--------+------+-----
//	| transaction id | protocol | length | unit | PDU
//	| 2 bytes        | 2, zero  | 2      | 1    |
//	+----------------+----------+--------+------+-----
//
// length counts unit and PDU.
const (
	tcpHeader   = 7
	tcpMaxFrame = 260
)

// tcpTransport sends Modbus TCP frames over a link and finds their answers. It
// is a goburrow Transporter; the bus's goroutine owns it. The library's own
// keeps the connection after a timeout and takes the next frame that comes for
// the answer, so that from then on each answer is the one before; this one drops
// frames whose transaction id isn't that of the request.
type tcpTransport struct {
	link link

	exchange

	n   int // bytes in buf that belong to no finished frame
	buf [4 * tcpMaxFrame]byte
	out [tcpMaxFrame]byte // the answer, valid until the next Send
}

// Send is goburrow's Transporter. The answer is valid until the next Send.
func (t *tcpTransport) Send(request []byte) ([]byte, error) {
	want, ok := expect(request[tcpHeader:])
	if !ok {
		return nil, fmt.Errorf("function %d is not supported", request[tcpHeader])
	}
	t.dropped = 0
	err := t.link.Write(request)
	t.sent = time.Now()
	t.meanwhile() // a fast device has answered before we ask for it
	if err != nil {
		return nil, &lineError{err}
	}
	deadline := t.sent.Add(t.timeout)
	for {
		frame, err := t.next(deadline)
		if err != nil {
			return nil, err
		}
		if binary.BigEndian.Uint16(frame) != binary.BigEndian.Uint16(request) {
			t.dropped++ // the answer to a request that was given up
			continue
		}
		return frame, check(frame, request[6], &want)
	}
}

// check says what is wrong with an answer that has the right transaction id.
func check(frame []byte, unit byte, want *expectation) error {
	pdu := frame[tcpHeader:]
	switch {
	case frame[6] != unit:
		return fmt.Errorf("%w: from unit %d instead of %d", errGarbled, frame[6], unit)
	case want.answeredBy(pdu) || want.refusedBy(pdu):
		return nil
	case pdu[0] == want.function():
		return fmt.Errorf("%w: %d bytes instead of %d", errGarbled, len(pdu), want.length)
	}
	return fmt.Errorf("%w: of function %d instead of %d", errGarbled, pdu[0], want.function())
}

// next gives the next frame of the stream, whatever it answers.
func (t *tcpTransport) next(deadline time.Time) ([]byte, error) {
	for {
		length, err := t.frameLength()
		if err != nil {
			return nil, err
		}
		if length > 0 && t.n >= length {
			frame := t.out[:copy(t.out[:], t.buf[:length])]
			t.n = copy(t.buf[:], t.buf[length:t.n])
			return frame, nil
		}
		m, err := t.link.Read(t.buf[t.n:], deadline)
		t.n += m
		switch {
		case err == nil || m > 0:
		case isTimeout(err) && t.dropped > 0:
			return nil, fmt.Errorf("%w, only %d answers to earlier requests", errNoAnswer, t.dropped)
		case isTimeout(err):
			return nil, errNoAnswer
		default:
			return nil, &lineError{err}
		}
	}
}

var errNotModbus = errors.New("the host does not speak Modbus TCP")

// frameLength is the length of the frame that the buffer begins with, 0 while it
// isn't known. After a header that can't be one the stream is of no use.
func (t *tcpTransport) frameLength() (int, error) {
	if t.n < tcpHeader {
		return 0, nil
	}
	protocol, length := binary.BigEndian.Uint16(t.buf[2:]), int(binary.BigEndian.Uint16(t.buf[4:]))
	if protocol != 0 || length < 2 || length+6 > tcpMaxFrame {
		return 0, &lineError{errNotModbus}
	}
	return length + 6, nil
}

// tcpHandler numbers and frames all requests of a bus, whatever the unit. Of
// goburrow's handler only the packager is used: Send is ours.
type tcpHandler struct {
	modbus.TCPClientHandler
	*tcpTransport
	taps *taps
}

func (h *tcpHandler) Send(request []byte) ([]byte, error) {
	return h.taps.traced(request, tcpHeader, 0, h.tcpTransport.Send)
}

// rtuHandler frames the requests of a bus; the unit is set before each.
type rtuHandler struct {
	modbus.RTUClientHandler
	*rtuTransport
	taps *taps
}

func (h *rtuHandler) Send(request []byte) ([]byte, error) {
	return h.taps.traced(request, rtuHeader, rtuTrailer, h.rtuTransport.Send)
}
