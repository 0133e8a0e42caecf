package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// WebSocket says what an upgrade to WebSocket is to be like.
type WebSocket struct {
	// Origins are the sites whose pages may connect, as host patterns, with or
	// without a scheme; "*" is all. Pages of the listener's own host and clients
	// that are no browser may always.
	Origins []string
	// MaxFrame bounds a message of WebSocket, in bytes.
	MaxFrame int64
}

const (
	// maxUpgrade bounds the HTTP request.
	maxUpgrade = 16 << 10
	// closeLinger is how long a peer may take to answer the end of the connection.
	closeLinger = time.Second
	frameBuffer = 4 << 10
)

// Subprotocols that clients may ask for [MQTT-6.0.0-3]; the second is the name that
// clients of MQTT 3.1 use.
var subprotocols = []string{"mqtt", "mqttv3.1"}

// Accept does the handshake on a fresh connection.
func (w WebSocket) Accept(c net.Conn) (net.Conn, error) {
	limited := &io.LimitedReader{R: c, N: maxUpgrade}
	br := bufio.NewReaderSize(limited, frameBuffer)
	a := &answer{conn: c, br: br, header: http.Header{}}
	r, err := http.ReadRequest(br)
	switch {
	case err != nil && limited.N <= 0:
		http.Error(a, "the request is too large", http.StatusRequestHeaderFieldsTooLarge)
		return nil, a.finish(errors.New("request of more than 16 KiB"))
	case err != nil && errors.Is(err, io.EOF):
		return nil, fmt.Errorf("read request: %w", err)
	case err != nil:
		http.Error(a, "this is no HTTP request", http.StatusBadRequest)
		return nil, a.finish(fmt.Errorf("read request: %w", err))
	case r.Header.Get("Upgrade") != "" && !offersMQTT(r.Header): // [MQTT-6.0.0-3]
		http.Error(a, "the subprotocol mqtt is missing", http.StatusBadRequest)
		return nil, a.finish(errors.New("subprotocol mqtt is missing"))
	}
	ws, err := websocket.Accept(a, r, &websocket.AcceptOptions{
		Subprotocols:       subprotocols, // [MQTT-6.0.0-4]
		OriginPatterns:     w.Origins,
		InsecureSkipVerify: slices.Contains(w.Origins, "*"),
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil {
		return nil, a.finish(err)
	}
	ws.SetReadLimit(w.MaxFrame + 1) // the library's bound is one that must not be reached
	return &frames{Conn: c, ws: ws}, nil
}

func offersMQTT(h http.Header) bool {
	for _, line := range h.Values("Sec-WebSocket-Protocol") {
		for name := range strings.SplitSeq(line, ",") {
			if slices.Contains(subprotocols, strings.ToLower(strings.TrimSpace(name))) {
				return true
			}
		}
	}
	return false
}

// answer is the response to the one request of a connection.
type answer struct {
	conn     net.Conn
	br       *bufio.Reader
	header   http.Header
	status   int
	body     []byte
	hijacked bool
}

var _ http.Hijacker = (*answer)(nil)

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) { a.status = status }

func (a *answer) Write(b []byte) (int, error) {
	a.body = append(a.body, b...)
	return len(b), nil
}

// Hijack sends the answer to an upgrade and hands the connection over.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	a.hijacked = true
	if err := a.send(); err != nil {
		return nil, nil, err
	}
	return a.conn, bufio.NewReadWriter(a.br, bufio.NewWriterSize(a.conn, frameBuffer)), nil
}

func (a *answer) send() error {
	w := bufio.NewWriter(a.conn)
	fmt.Fprintf(w, "HTTP/1.1 %d %s\r\n", a.status, http.StatusText(a.status))
	a.header.Write(w)
	w.WriteString("\r\n")
	w.Write(a.body)
	return w.Flush()
}

// finish sends a refusal, and reads on for a moment: where bytes of a large request
// are still on their way, an end at once would make the system throw the answer
// away.
func (a *answer) finish(why error) error {
	if a.hijacked {
		return why
	}
	a.header.Set("Connection", "close")
	a.conn.SetDeadline(time.Now().Add(closeLinger))
	if err := a.send(); err == nil {
		io.CopyN(io.Discard, a.conn, 1<<20)
	}
	return why
}

// frames carries a stream of bytes in binary frames [MQTT-6.0.0-1]. How it is cut
// into frames means nothing [MQTT-6.0.0-2].
type frames struct {
	net.Conn // deadlines and addresses
	ws       *websocket.Conn
	message  io.Reader // the rest of the present one, nil between two
}

func (f *frames) Read(b []byte) (int, error) {
	for {
		if f.message == nil {
			kind, r, err := f.ws.Reader(context.Background())
			if err != nil {
				return 0, f.failed(err)
			}
			if kind != websocket.MessageBinary {
				f.end(websocket.StatusUnsupportedData, "MQTT comes in binary frames")
				return 0, errors.New("a frame of text")
			}
			f.message = r
		}
		n, err := f.message.Read(b)
		if errors.Is(err, io.EOF) {
			f.message, err = nil, nil
		}
		if err != nil {
			err = f.failed(err)
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// failed tells the peer that it broke the protocol, where that is what err is about
// and the library has not told it.
func (f *frames) failed(err error) error {
	_, network := errors.AsType[net.Error](err)
	ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
	if !network && !ended && websocket.CloseStatus(err) == -1 {
		f.end(websocket.StatusProtocolError, "protocol error")
	}
	return err
}

func (f *frames) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if err := f.ws.Write(context.Background(), websocket.MessageBinary, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (f *frames) Close() error {
	return f.end(websocket.StatusNormalClosure, "")
}

// end says goodbye, without waiting long for the answer.
func (f *frames) end(code websocket.StatusCode, why string) error {
	f.Conn.SetDeadline(time.Now().Add(closeLinger))
	return f.ws.Close(code, why)
}
