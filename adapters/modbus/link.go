package modbus

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/weir-edge/weir/adapters/serialport"
)

// link is an open line. One goroutine owns it; only Interrupt may come from
// another. [serialport.Port] is one.
type link interface {
	// Read waits for at least one byte, until deadline.
	Read(b []byte, deadline time.Time) (int, error)
	// Write returns when the system has taken all of b.
	Write(b []byte) error
	// Flush discards what was received.
	Flush() error
	// Rest sleeps; nothing that comes meanwhile is lost.
	Rest(d time.Duration)
	// Interrupt makes the call in progress and all later ones fail.
	Interrupt()
	Close() error
}

// open opens the line. A serial line is there at once or not at all; a host has
// until timeout to answer.
func (l Line) open(ctx context.Context, timeout time.Duration) (opened link, err error) {
	switch {
	case l.Local():
		port, err := serialport.Open(l.Port)
		if err != nil {
			return nil, err
		}
		opened = port
	default:
		conn, err := l.dial(ctx, timeout)
		if err != nil {
			return nil, fmt.Errorf("connect to %s: %w", l.Address, err)
		}
		opened = newNetLink(conn)
	}
	return l.translated(opened), nil
}

// translated gives a link that carries RTU frames, where the line has ASCII.
func (l Line) translated(opened link) link {
	if l.ascii() {
		return &asciiLink{link: opened}
	}
	return opened
}

func (l Line) dial(ctx context.Context, timeout time.Duration) (net.Conn, error) {
	if l.Scheme == schemeTLS {
		return l.dialTLS(ctx, timeout)
	}
	d := net.Dialer{Timeout: timeout}
	return d.DialContext(ctx, "tcp", l.Address)
}

// netLink is a TCP connection as a link.
type netLink struct{ conn net.Conn }

// writeTimeout is far beyond what handing over a small frame takes.
const writeTimeout = 5 * time.Second

func (l *netLink) Read(b []byte, deadline time.Time) (int, error) {
	if err := l.conn.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	return l.conn.Read(b)
}

func (l *netLink) Write(b []byte) error {
	if err := l.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := l.conn.Write(b)
	return err
}

// Flush does nothing: both framings find their answer behind what is old.
func (l *netLink) Flush() error { return nil }

func (l *netLink) Rest(d time.Duration) { time.Sleep(d) }

// Interrupt closes the connection, which net.Conn allows at any time.
func (l *netLink) Interrupt() { l.conn.Close() }

func (l *netLink) Close() error { return l.conn.Close() }
