package transport

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// silent is a connection on which everything that the peer says has come, and nothing
// comes any more. What is answered is kept.
type silent struct {
	in, out bytes.Buffer
}

func (s *silent) Read(b []byte) (int, error)       { return s.in.Read(b) }
func (s *silent) Write(b []byte) (int, error)      { return s.out.Write(b) }
func (s *silent) Close() error                     { return nil }
func (s *silent) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *silent) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *silent) SetDeadline(time.Time) error      { return nil }
func (s *silent) SetReadDeadline(time.Time) error  { return nil }
func (s *silent) SetWriteDeadline(time.Time) error { return nil }

// FuzzUpgrade lets a peer send any request and any frames behind it. Whatever is let
// in has asked for MQTT, and no message is longer than it may be.
func FuzzUpgrade(f *testing.F) {
	const good = "GET /mqtt HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	const asked = good + "Sec-WebSocket-Protocol: mqtt\r\n"
	for _, frames := range []string{
		"", "\x82\x82\x00\x00\x00\x00\xC0\x00", "\x81\x82\x00\x00\x00\x00hi", "\x82\x02\xC0\x00", "\xC2\x82\x00\x00\x00\x00\xC0\x00",
		"\x02\x82\x00\x00\x00\x00\xC0\x00\x80\x82\x00\x00\x00\x00\xC0\x00", "\x82\xFF\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"\x88\x82\x00\x00\x00\x00\x03\xE8", "\x89\x80\x00\x00\x00\x00", "\x82\xFE\x08\x01\x00\x00\x00\x00" + strings.Repeat("x", 2049),
	} {
		f.Add([]byte(asked + "\r\n" + frames))
	}
	f.Add([]byte(good + "\r\n"))
	f.Add([]byte(asked + "Origin: https://evil.example\r\n\r\n"))
	f.Add([]byte(asked + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"))
	f.Add([]byte("\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		peer := &silent{}
		peer.in.Write(b)
		c, err := WebSocket{MaxFrame: 2048}.Accept(peer)
		let := bytes.HasPrefix(peer.out.Bytes(), []byte("HTTP/1.1 101 "))
		if (err == nil) != let {
			t.Fatalf("%v, and answered %q", err, peer.out.Bytes())
		}
		if err != nil {
			return
		}
		if !bytes.Contains(bytes.ToLower(b), []byte("mqtt")) {
			t.Fatal("let in without asking for MQTT")
		}
		got, err := io.ReadAll(c) // ends, with an error or without
		if len(got) > len(b) {
			t.Fatalf("%d bytes came of %d, %v", len(got), len(b), err)
		}
		c.Close()
	})
}
